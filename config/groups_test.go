package config_test

import (
	"strings"
	"testing"

	"authsvc/config"

	"github.com/stretchr/testify/assert"
)

func TestGroups_AreLookedUpIfAnyOfTheirVariablesIsSet(t *testing.T) {
	t.Parallel()
	base := "LDAP_GROUP_BASE_DN=ou=groups,dc=org"
	assert.False(t, mustLoad(t, minimal()).LDAP.Groups)
	assert.False(t, mustLoad(t, minimal("LDAP_GROUP_NESTED=false")).LDAP.Groups)
	for _, set := range []string{base, "LDAP_GROUP_FILTER=(member={dn})", "LDAP_GROUP_NAME_ATTRIBUTE=cn", "LDAP_GROUP_NESTED=true", "LDAP_REQUIRED_GROUPS=staff"} {
		assert.True(t, mustLoad(t, minimal(base, set)).LDAP.Groups, set)
		if set != base {
			assert.Contains(t, problem(t, "LDAP_GROUP_BASE_DN", minimal(set)), "is required with LDAP_REQUIRED_GROUPS", set)
		}
	}
}

func TestGroups_PresetsKnowWhereTheyAre(t *testing.T) {
	t.Parallel()
	for preset, want := range map[string]struct {
		bases        config.DNList
		filter, name string
	}{
		"ad":      {nil, "", "sAMAccountName"},
		"freeipa": {config.DNList{"cn=groups,cn=accounts,dc=example,dc=org"}, "", "cn"},
		"lldap":   {config.DNList{"ou=groups,dc=example,dc=org"}, "(member={dn})", "cn"},
	} {
		settings := minimal("LDAP_PRESET="+preset, "LDAP_REQUIRED_GROUPS=staff", "LDAP_BASE_DN=cn=users,cn=accounts,DC=example , dc=org")
		l := mustLoad(t, settings).LDAP
		assert.Equal(t, want.bases, l.GroupBaseDNs, preset)
		assert.Equal(t, want.filter, l.GroupFilter, preset)
		assert.Equal(t, want.name, l.GroupNameAttribute, preset)
		set := mustLoad(t, append(settings, "LDAP_GROUP_BASE_DN=ou=x", "LDAP_GROUP_FILTER=(owner={dn})", "LDAP_GROUP_NAME_ATTRIBUTE=ou")).LDAP
		assert.Equal(t, []any{config.DNList{"ou=x"}, "(owner={dn})", "ou"}, []any{set.GroupBaseDNs, set.GroupFilter, set.GroupNameAttribute}, preset)
	}
	problem(t, "LDAP_GROUP_BASE_DN", minimal("LDAP_PRESET=freeipa", "LDAP_REQUIRED_GROUPS=staff", "LDAP_BASE_DN=o=example"))
	problem(t, "LDAP_GROUP_BASE_DN", minimal("LDAP_PRESET=389ds", "LDAP_REQUIRED_GROUPS=staff"))
}

func TestGroups_PlaceholderOfAFilterStandsForAValue(t *testing.T) {
	t.Parallel()
	base := "LDAP_GROUP_BASE_DN=ou=groups,dc=org"
	for _, good := range []string{"(member={dn})", "(memberUid={username})", "(member=x{dn}y{username})", "(member:1.2.840.113556.1.4.1941:={dn})"} {
		assert.Equal(t, good, mustLoad(t, minimal(base, "LDAP_GROUP_FILTER="+good)).LDAP.GroupFilter)
	}
	for bad, why := range map[string]string{
		"({dn}=member)": "outside of a value", "(a{username}={dn})": "outside of a value",
		"(member={dn}": "is not a filter", "{dn}": "is not a filter",
	} {
		assert.Contains(t, problem(t, "LDAP_GROUP_FILTER", minimal(base, "LDAP_GROUP_FILTER="+bad)), why, bad)
	}
}

// TestGroups_NeedASearchIdentity: with a DN template logins do without, but for groups.
func TestGroups_NeedASearchIdentity(t *testing.T) {
	t.Parallel()
	one := template("LDAP_POOL_MAX_CONNS=1")
	assert.True(t, mustLoad(t, one).LDAP.BindOnly())
	groups := []string{"LDAP_REQUIRED_GROUPS=staff", "LDAP_GROUP_BASE_DN=ou=groups,dc=org"}
	assert.Contains(t, problem(t, "LDAP_POOL_MAX_CONNS", append(one, groups...)), "must be between 2 and")
	c := mustLoad(t, append(template(), groups...))
	assert.False(t, c.LDAP.BindOnly())
	assert.NotContains(t, strings.Join(c.Warnings, " "), "not used")
	const upn = "LDAP_USER_DN_TEMPLATE={username}@example.org"
	assert.Contains(t, problem(t, "LDAP_USER_DN_TEMPLATE", append(template("LDAP_PRESET=ad", upn), groups...)), "must give a DN")
}
