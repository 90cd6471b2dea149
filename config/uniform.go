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
		wrong.note(variable, "", "is used only with AUTH_FAILURE_DETAIL=uniform: set that, or remove this variable")
	case ldapname.SameDN(given, c.LDAP.BindDN):
		wrong.add(variable, "%q is the service identity (LDAP_BIND_DN), which wrong passwords would lock: use another entry", given)
	case c.LDAP.bindsByPrincipal():
		wrong.note(variable, "", "needs the users' DNs, which this LDAP_USER_DN_TEMPLATE does not give: a login as the decoy itself could not be refused. Use LDAP_BASE_DN instead of the template")
	}
}

// warnUniform notes what weakens uniform mode.
func (c *Config) warnUniform() {
	if !c.Auth.Uniform() {
		return
	}
	if c.Auth.ThrottleFailures == 0 && c.Auth.ThrottleAccountFailures == 0 {
		c.Warnings = append(c.Warnings, "AUTH_FAILURE_DETAIL: in uniform mode the attempts on one name run one after another, and the throttle is off: a client that keeps guessing makes the user wait; set AUTH_THROTTLE_FAILURES")
	}
	if c.Auth.UniformDecoyDN != "" && c.LDAP.UserDNTemplate != "" && c.LDAP.dialect().HidesUnknownDNs {
		c.Warnings = append(c.Warnings, "AUTH_UNIFORM_DECOY_DN: not used, because "+c.LDAP.dialect().Product+" answers an unknown DN like a wrong password; use LDAP_BASE_DN instead of LDAP_USER_DN_TEMPLATE")
	}
}
