package config

import "authsvc/internal/ldapname"

// Uniform reports whether callers get the same answer for an unknown user as for a wrong password.
func (a *Auth) Uniform() bool { return a.FailureDetail == "uniform" }

// validateDecoy checks AUTH_UNIFORM_DECOY_DN against everything that it depends on.
func (c *Config) validateDecoy(wrong *problems) {
	const variable = "AUTH_UNIFORM_DECOY_DN"
	given := c.Auth.UniformDecoyDN
	if given == "" {
		return
	}
	refuseInDN(wrong, variable, given)
	dn, err := ldapname.ParseDN(given)
	switch {
	case err != nil:
		wrong.add(variable, "%q is not a DN (RFC 4514): %v", given, err)
	case len(dn.RDNs) == 0:
		wrong.add(variable, "%q is not the DN of an entry", given)
	case !c.Auth.Uniform():
		wrong.note(variable, "", "is used with AUTH_FAILURE_DETAIL=uniform only: set that, or remove this")
	case ldapname.SameDN(given, c.LDAP.BindDN):
		wrong.add(variable, "%q is the service identity of LDAP_BIND_DN: wrong passwords would lock it", given)
	case c.LDAP.bindsByPrincipal():
		wrong.note(variable, "", "needs users' DNs, which the template of LDAP_USER_DN_TEMPLATE does not give: a login of the decoy itself could not be refused. Use LDAP_BASE_DN instead")
	}
}

// warnUniform notes what weakens uniform mode.
func (c *Config) warnUniform() {
	if !c.Auth.Uniform() {
		return
	}
	if c.Auth.ThrottleFailures == 0 && c.Auth.ThrottleAccountFailures == 0 {
		c.Warnings = append(c.Warnings, "AUTH_FAILURE_DETAIL: with uniform, attempts on one name run one after another, and the throttle is off: a client that never stops guessing keeps the owner of the name waiting")
	}
	if c.Auth.UniformDecoyDN != "" && c.LDAP.UserDNTemplate != "" && c.LDAP.dialect().HidesUnknownDNs {
		c.Warnings = append(c.Warnings, "AUTH_UNIFORM_DECOY_DN: not used, since "+c.LDAP.dialect().Product+" answers a DN without an entry like a wrong password; use LDAP_BASE_DN instead of LDAP_USER_DN_TEMPLATE")
	}
}
