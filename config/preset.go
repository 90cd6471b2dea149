package config

import (
	"maps"

	"authsvc/internal/dialect"
)

// presetDefaults are the defaults of the preset that the sources name, if they are not the usual
// ones.
func presetDefaults(sources map[string]source) map[string]string {
	d := dialectNamed(sources["LDAP_PRESET"].value).Defaults
	defaults := map[string]string{
		"LDAP_USER_FILTER":          d.UserFilter,
		"LDAP_USER_NAME_ATTRIBUTE":  d.UserNameAttribute,
		"LDAP_GROUP_FILTER":         d.GroupFilter,
		"LDAP_GROUP_NAME_ATTRIBUTE": d.GroupNameAttribute,
		"LDAP_BIND_RETRY":           d.BindRetry,
		"LDAP_PASSWORD_POLICY":      d.PasswordPolicy,
	}
	maps.DeleteFunc(defaults, func(_, value string) bool { return value == "" })
	return defaults
}

// dialectNamed is the kind of directory that LDAP_PRESET names. For a name that there is not, which
// is a problem of its own, it is the default.
func dialectNamed(preset string) *dialect.Dialect {
	if d, err := dialect.Named(preset); err == nil {
		return d
	}
	return dialect.Default()
}

func (l *LDAP) dialect() *dialect.Dialect { return dialectNamed(l.Preset) }

// bindsByPrincipal reports whether the template makes a user principal name instead of a DN.
func (l *LDAP) bindsByPrincipal() bool {
	_, ok := l.dialect().PrincipalSuffix(l.UserDNTemplate)
	return ok
}
