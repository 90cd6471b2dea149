package config

import "authsvc/internal/ldapname"

// validateGroups checks how groups are found, if they are to be, and fills in where the directory
// has them.
func (l *LDAP) validateGroups(sources map[string]source, wrong *problems) {
	for _, v := range []string{"LDAP_GROUP_BASE_DN", "LDAP_GROUP_FILTER", "LDAP_GROUP_NAME_ATTRIBUTE", "LDAP_REQUIRED_GROUPS"} {
		if _, set := sources[v]; set {
			l.Groups = true
		}
	}
	l.Groups = l.Groups || l.GroupNested
	if !ldapname.IsDescription(l.GroupNameAttribute) {
		wrong.add("LDAP_GROUP_NAME_ATTRIBUTE", "%q is not an attribute name", l.GroupNameAttribute)
	}
	for _, dn := range l.GroupBaseDNs {
		if refuseInDN(wrong, "LDAP_GROUP_BASE_DN", dn) {
			break
		}
		if _, err := ldapname.ParseDN(dn); err != nil {
			wrong.add("LDAP_GROUP_BASE_DN", "%q is not a DN (RFC 4514): %v", dn, err)
		}
	}
	for _, group := range l.RequiredGroups {
		if _, err := ldapname.ParseDN(group); err == nil {
			refuseInDN(wrong, "LDAP_REQUIRED_GROUPS", group)
		}
	}
	if l.GroupFilter != "" {
		l.validateGroupFilter(wrong)
	}
	if !l.Groups {
		return
	}
	if l.bindsByPrincipal() {
		wrong.note("LDAP_USER_DN_TEMPLATE", "", "must give a DN: a user's groups cannot be found without it")
	}
	kind := l.dialect().Groups
	if len(l.GroupBaseDNs) == 0 && len(l.BaseDNs) > 0 {
		if base := kind.Base(ldapname.DomainSuffix(l.BaseDNs[0])); base != "" {
			l.GroupBaseDNs = DNList{base}
		}
	}
	if !kind.InDomain && len(l.GroupBaseDNs) == 0 {
		wrong.add("LDAP_GROUP_BASE_DN", "is required with LDAP_REQUIRED_GROUPS and with every other LDAP_GROUP_* variable")
	}
}
