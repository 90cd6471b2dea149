package config

import (
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// groupPlaceholder stands in group filters for the DN of the user, or of a group.
const groupPlaceholder = "{dn}"

// membersFilter finds groups by every attribute that usual schemas name members in (RFC 4519, RFC 2307).
const membersFilter = "(|(member={dn})(uniqueMember={dn})(memberUid={username}))"

// validateGroups checks how groups are found, if they are to be, and fills in where FreeIPA has them.
func (l *LDAP) validateGroups(sources map[string]source, wrong *problems) {
	for _, v := range []string{"LDAP_GROUP_BASE_DN", "LDAP_GROUP_FILTER", "LDAP_GROUP_NAME_ATTRIBUTE", "LDAP_REQUIRED_GROUPS"} {
		if _, set := sources[v]; set {
			l.Groups = true
		}
	}
	l.Groups = l.Groups || l.GroupNested
	if !attribute(l.GroupNameAttribute) {
		wrong.add("LDAP_GROUP_NAME_ATTRIBUTE", "%q is not an attribute's name", l.GroupNameAttribute)
	}
	for _, dn := range l.GroupBaseDNs {
		if _, err := ldap.ParseDN(dn); err != nil {
			wrong.add("LDAP_GROUP_BASE_DN", "%q is not a DN (RFC 4514): %v", dn, err)
		}
	}
	if l.GroupFilter != "" {
		l.validateGroupFilter(wrong)
	}
	if !l.Groups {
		return
	}
	if l.Preset == "ad" && principal(l.UserDNTemplate) {
		wrong.note("LDAP_USER_DN_TEMPLATE", "", "gives no DN, by which alone a user's groups can be found")
	}
	if l.Preset == "freeipa" && len(l.GroupBaseDNs) == 0 && len(l.BaseDNs) > 0 {
		if suffix := suffixOf(l.BaseDNs[0]); suffix != "" {
			l.GroupBaseDNs = DNList{"cn=groups,cn=accounts," + suffix}
		}
	}
	if l.Preset != "ad" && len(l.GroupBaseDNs) == 0 {
		wrong.add("LDAP_GROUP_BASE_DN", "is required with LDAP_REQUIRED_GROUPS or any other of LDAP_GROUP_*")
	}
}

func (l *LDAP) validateGroupFilter(wrong *problems) {
	filter := l.GroupFilter
	if !strings.Contains(filter, groupPlaceholder) && !strings.Contains(filter, placeholder) {
		wrong.add("LDAP_GROUP_FILTER", "%q has neither %s nor %s", filter, groupPlaceholder, placeholder)
		return
	}
	// Both at once: where one may stand, the other may.
	one := strings.ReplaceAll(filter, groupPlaceholder, placeholder)
	if _, err := ldap.CompileFilter(strings.ReplaceAll(one, placeholder, "name")); err != nil {
		wrong.add("LDAP_GROUP_FILTER", "%q is not a filter (RFC 4515): %v", filter, err)
		return
	}
	if !assertedOnly(one) {
		wrong.add("LDAP_GROUP_FILTER", "%q has a placeholder where no value stands", filter)
	}
}

// suffixOf gives the domain components at the end of a DN (RFC 2247), which are all there is above a FreeIPA's tree.
func suffixOf(dn string) string {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return ""
	}
	suffix := ""
	for i := len(parsed.RDNs) - 1; i >= 0; i-- {
		rdn := parsed.RDNs[i]
		if len(rdn.Attributes) != 1 || !strings.EqualFold(rdn.Attributes[0].Type, "dc") {
			break
		}
		suffix = "dc=" + ldap.EscapeDN(rdn.Attributes[0].Value) + "," + suffix
	}
	return strings.TrimSuffix(suffix, ",")
}
