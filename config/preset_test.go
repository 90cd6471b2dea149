package config_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// adFilter is the contract's.
const adFilter = "(&(objectCategory=person)(objectClass=user)(|(sAMAccountName={username})(userPrincipalName={username})))"

func TestContract_PresetsGiveDefaultsThatSettingsWinOver(t *testing.T) {
	t.Parallel()
	for preset, want := range map[string][3]string{
		"":         {"(uid={username})", "uid", "no_response"},
		"openldap": {"(uid={username})", "uid", "no_response"},
		"ad":       {adFilter, "sAMAccountName", "unsent"},
		"389ds":    {"(uid={username})", "uid", "no_response"},
		"freeipa":  {"(&(objectClass=inetOrgPerson)(uid={username}))", "uid", "no_response"},
		"lldap":    {"(&(objectClass=person)(uid={username}))", "uid", "no_response"},
	} {
		c := mustLoad(t, minimal("LDAP_PRESET="+preset))
		assert.Equal(t, want, [3]string{c.LDAP.UserFilter, c.LDAP.UserNameAttribute, c.LDAP.BindRetry}, preset)
		set := minimal("LDAP_PRESET="+preset, "LDAP_USER_FILTER=(cn={username})", "LDAP_USER_NAME_ATTRIBUTE=cn", "LDAP_BIND_RETRY=no_response")
		c = mustLoad(t, set)
		assert.Equal(t, [3]string{"(cn={username})", "cn", "no_response"}, [3]string{c.LDAP.UserFilter, c.LDAP.UserNameAttribute, c.LDAP.BindRetry}, preset)
		assert.Equal(t, []string{"LDAP_USER_FILTER", "(cn={username})", "environment"}, setting(t, "LDAP_USER_FILTER", set))
	}
	assert.Equal(t, []string{"LDAP_BIND_RETRY", "unsent", "preset", "ad"}, setting(t, "LDAP_BIND_RETRY", minimal("LDAP_PRESET=ad")))
	assert.Equal(t, []string{"LDAP_PASSWORD_POLICY", "off", "preset", "lldap"}, setting(t, "LDAP_PASSWORD_POLICY", minimal("LDAP_PRESET=lldap")))
	assert.Equal(t, "on", mustLoad(t, minimal("LDAP_PRESET=lldap", "LDAP_PASSWORD_POLICY=on")).LDAP.PasswordPolicy)
	assert.Equal(t, []string{"LDAP_BIND_RETRY", "no_response", "default"}, setting(t, "LDAP_BIND_RETRY", minimal("LDAP_PRESET=389ds")))
}

func TestContract_APrincipalIsATemplateWithADAlone(t *testing.T) {
	t.Parallel()
	const noTemplate = "is not a DN|outside of a value"
	for _, good := range []string{"{username}@example.org", "{username}@ad.example.org", "{username}@EXAMPLE", "CN={username},CN=Users,DC=example,DC=org"} {
		c := mustLoad(t, template("LDAP_PRESET=ad", "LDAP_USER_DN_TEMPLATE="+good))
		assert.Equal(t, good, c.LDAP.UserDNTemplate)
	}
	for _, bad := range []string{
		"{username}@", "{username}@a@b", "{username}@a b", `{username}@a\b`, "{username}@{username}", "x{username}@example.org", "{username}@a/b",
		"{username}", `DOMAIN\{username}`, "{username}@a=b",
	} {
		assert.Regexp(t, noTemplate, problem(t, "LDAP_USER_DN_TEMPLATE", template("LDAP_PRESET=ad", "LDAP_USER_DN_TEMPLATE="+bad)))
	}
	for _, preset := range []string{"openldap", "389ds", "freeipa", "lldap"} {
		const upn = "{username}@example.org"
		assert.Regexp(t, noTemplate, problem(t, "LDAP_USER_DN_TEMPLATE", template("LDAP_PRESET="+preset, "LDAP_USER_DN_TEMPLATE="+upn)))
	}
}
