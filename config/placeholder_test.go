package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPlaceholder_ErrorListsTheValidOnes(t *testing.T) {
	t.Parallel()
	const braces = `; write a literal brace as \7b or \7d`
	users := " is not a placeholder: the only placeholder is {username}" + braces
	groups := `, which is not a placeholder: use {dn}, {username} or an attribute of the user's entry such as {gidNumber}; write a literal brace as \7b or \7d`
	base := "LDAP_GROUP_BASE_DN=ou=g"
	for given, want := range map[string]string{
		"LDAP_USER_FILTER=(uid={{username}})":                         "has {, which" + users,
		"LDAP_USER_FILTER=(uid={username}})":                          "has }, which" + users,
		"LDAP_USER_FILTER=(&(uid={username})(o={realm}))":             "has {realm}, which" + users,
		"LDAP_USER_FILTER=(&(uid={username})(manager={dn}))":          "has {dn}, which" + users,
		"LDAP_USER_FILTER=(uid=${username})":                          "has ${username}, which" + users,
		"LDAP_USER_FILTER=(uid=%{username})":                          "has %{username}, which" + users,
		"LDAP_USER_FILTER=(|(uid={username})(mail={USERNAME}))":       "has {USERNAME}, which" + users,
		"LDAP_USER_FILTER=(|(uid={username})(cn={username)":           "has {username), which" + users,
		"LDAP_USER_FILTER=(uid={0})":                                  "has no {username}, and {0}" + users,
		"LDAP_USER_DN_TEMPLATE=uid={username},ou={realm},dc=x":        "has {realm}, which" + users,
		"LDAP_USER_DN_TEMPLATE=uid={user},dc=x":                       "has no {username}, and {user}" + users,
		"LDAP_GROUP_FILTER=(memberUid={Username})":                    "has {Username}" + groups,
		"LDAP_GROUP_FILTER=(member={DN})":                             "has {DN}" + groups,
		"LDAP_GROUP_FILTER=(|(member={dn})(gidNumber={{gidNumber}}))": "has {" + groups,
		"LDAP_GROUP_FILTER=(|(member={dn})(gidNumber={ gidNumber }))": "has { gidNumber }" + groups,
		"LDAP_GROUP_FILTER=(|(member={dn})(gidNumber={gid Number}))":  "has {gid Number}" + groups,
		"LDAP_GROUP_FILTER=(|(member={dn})(gidNumber={0}))":           "has {0}" + groups,
		"LDAP_GROUP_FILTER=(|(member={dn})(gidNumber={}))":            "has {}" + groups,
		"LDAP_GROUP_FILTER=(|(member={dn})(gidNumber=${gidNumber}))":  "has ${gidNumber}" + groups,
		"LDAP_GROUP_FILTER=(|(member={dn})({gidNumber}=1))":           "has a placeholder outside of a value",
		"LDAP_GROUP_FILTER=(objectClass=posixGroup)":                  "must have {dn}, {username} or an attribute of the user's entry",
		"LDAP_BASE_DN=ou={realm},dc=x":                                "has {realm}: placeholders are not supported here",
		"LDAP_BASE_DN=dc=x;ou={username},dc=x":                        "has {username}: placeholders are not supported here",
		"LDAP_GROUP_BASE_DN=ou={dn},dc=x":                             "has {dn}: placeholders are not supported here",
		"LDAP_BIND_DN=uid={username},dc=x":                            "has {username}: placeholders are not supported here",
		"LDAP_REQUIRED_GROUPS=staff;cn={username},ou=g":               "has {username}: placeholders are not supported here",
		"AUTH_UNIFORM_DECOY_DN=uid={username},dc=x":                   "has {username}: placeholders are not supported here",
	} {
		name, _ := cut(given)
		with := []string{base, "AUTH_FAILURE_DETAIL=uniform"}
		if name == "LDAP_USER_DN_TEMPLATE" {
			with = append(with, "LDAP_BASE_DN=")
		}
		if text := problem(t, name, minimal(append(with, given)...)); !strings.Contains(text, want) {
			t.Errorf("%s\nwant %s", text, want)
		}
	}
}

func TestPlaceholder_ThatExistsIsAccepted(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"LDAP_GROUP_FILTER=(gidNumber={gidNumber})",
		"LDAP_GROUP_FILTER=(|(member={dn})(memberUid={username})(gidNumber={gidNumber})(cn=dept-{departmentNumber}))",
		"LDAP_GROUP_FILTER=(&(objectClass=posixGroup)(gidNumber={1.3.6.1.1.1.1.1}))",
		"LDAP_GROUP_FILTER=(description={cn;lang-en})",
		`LDAP_USER_FILTER=(&(uid={username})(userPassword=\7bSSHA\7d*))`,
		"LDAP_BASE_DN=CN={31B2F340-016D-11D2-945F-00C04FB984F9},DC=x",
		"LDAP_BIND_DN=cn=service,olcDatabase={1}mdb,cn=config",
		"LDAP_REQUIRED_GROUPS={staff}",
	} {
		assert.NotNil(t, mustLoad(t, minimal("LDAP_GROUP_BASE_DN=ou=g", good)), good)
	}
}

func TestAttribute_IsANameOrAnOIDWithOptions(t *testing.T) {
	t.Parallel()
	mustLoad(t, minimal("LDAP_ATTRIBUTES=cn,x-1,2.5.4.3,cn;lang-en,userCertificate;binary"))
	for _, bad := range []string{"1", "-cn", ";binary", "cn;", "2.", "cn;;x", "c.n", "mail=x", "*", "+", "{cn}"} {
		assert.Contains(t, problem(t, "LDAP_ATTRIBUTES", minimal("LDAP_ATTRIBUTES="+bad)), "is not an attribute name")
	}
}
