package ldaptest

import (
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// asBoth runs a test against slapd and against the directory in this process,
// which must not differ in what other packages' tests rely on.
func asBoth(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("slapd", func(t *testing.T) {
		t.Parallel()
		test(t, StartSlapd(t, SlapdConfig{Users: 10}).URL())
	})
	t.Run("in process", func(t *testing.T) {
		t.Parallel()
		test(t, NewServer(t, nil).URL())
	})
}

func TestDirectories_AgreeOnBinds(t *testing.T) {
	t.Parallel()
	asBoth(t, func(t *testing.T, url string) {
		t.Helper()
		c := dial(t, url)
		require.NoError(t, c.Bind(UserDN(3), Password(3)))
		require.NoError(t, c.Bind("UID=USER3,OU=people,DC=example,DC=org", Password(3)))
		require.Equal(t, ldap.LDAPResultInvalidCredentials, code(c.Bind(UserDN(3), "PASSWORD3")))
		require.Equal(t, ldap.LDAPResultInvalidCredentials, code(c.Bind("uid=nobody,"+PeopleDN, "x")))
		require.Equal(t, ldap.LDAPResultUnwillingToPerform, code(c.UnauthenticatedBind(UserDN(3))))
		require.NoError(t, c.UnauthenticatedBind(""))
		require.NoError(t, c.Bind(RootDN, RootPassword))
	})
}

func TestDirectories_AgreeOnWhoMayRead(t *testing.T) {
	t.Parallel()
	asBoth(t, func(t *testing.T, url string) {
		t.Helper()
		c := dial(t, url)
		reads := func() int { _, err := find(c, BaseDN, "(uid=user0)"); return code(err) }
		require.NoError(t, rootDSE(c))
		require.Equal(t, ldap.LDAPResultNoSuchObject, reads(), "anonymous")
		require.NoError(t, c.Bind(UserDN(0), Password(0)))
		require.Equal(t, ldap.LDAPResultNoSuchObject, reads(), "a user")
		require.NoError(t, c.Bind(ServiceDN, ServicePassword))
		require.Zero(t, reads(), "the service")
		require.Error(t, c.Bind(UserDN(0), "wrong"))
		require.Equal(t, ldap.LDAPResultNoSuchObject, reads(), "after a failed bind")
	})
}

func TestDirectories_AgreeOnSearches(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		base   string
		scope  int
		limit  int
		filter string
		code   int
		found  int
	}{
		"one user":                    {BaseDN, 2, 0, "(uid=user5)", 0, 1},
		"case does not matter":        {BaseDN, 2, 0, "(UID=USER5)", 0, 1},
		"nobody":                      {BaseDN, 2, 0, "(uid=user99)", 0, 0},
		"presence":                    {BaseDN, 2, 0, "(uid=*)", 0, 10},
		"or":                          {BaseDN, 2, 0, "(|(uid=user1)(uid=user2)(uid=user99))", 0, 2},
		"and not":                     {PeopleDN, 2, 0, "(&(uid=*)(!(uid=user1)))", 0, 9},
		"the whole tree":              {BaseDN, 2, 0, "(objectClass=*)", 0, 14},
		"children alone":              {PeopleDN, 1, 0, "(objectClass=*)", 0, 10},
		"the base alone":              {UserDN(1), 0, 0, "(objectClass=*)", 0, 1},
		"the base does not match":     {UserDN(1), 0, 0, "(uid=user2)", 0, 0},
		"a base that does not exist":  {"ou=nowhere," + BaseDN, 2, 0, "(uid=user1)", 32, 0},
		"more than the limit":         {BaseDN, 2, 3, "(uid=*)", 4, 3},
		"as many as the limit":        {BaseDN, 2, 1, "(uid=user1)", 0, 1},
		"an attribute nobody has set": {BaseDN, 2, 0, "(description=x)", 0, 0},
	}
	asBoth(t, func(t *testing.T, url string) {
		t.Helper()
		c := dial(t, url)
		require.NoError(t, c.Bind(ServiceDN, ServicePassword))
		for name, test := range tests {
			res, err := c.Search(ldap.NewSearchRequest(test.base, test.scope, 0, test.limit, 0, false, test.filter, nil, nil))
			require.Equal(t, test.code, code(err), name)
			require.Len(t, res.Entries, test.found, name)
		}
	})
}

func TestDirectories_AgreeOnAttributes(t *testing.T) {
	t.Parallel()
	asBoth(t, func(t *testing.T, url string) {
		t.Helper()
		c := dial(t, url)
		require.NoError(t, c.Bind(ServiceDN, ServicePassword))
		names := func(attrs ...string) map[string]string {
			res, err := find(c, UserDN(4), "(uid=user4)", attrs...)
			require.NoError(t, err)
			require.Len(t, res.Entries, 1)
			got := make(map[string]string)
			for _, a := range res.Entries[0].Attributes {
				got[a.Name] = a.Values[0]
			}
			return got
		}
		all := map[string]string{"objectClass": "inetOrgPerson", "uid": "user4", "cn": "User 4", "sn": "Number 4", "mail": "user4@example.org"}
		require.Equal(t, all, names())
		require.Equal(t, all, names("*"))
		require.Equal(t, map[string]string{"mail": "user4@example.org"}, names("mail", "telephoneNumber"))
		require.Empty(t, names("1.1"))
	})
}

func TestDirectories_AgreeOnWhoAmI(t *testing.T) {
	t.Parallel()
	asBoth(t, func(t *testing.T, url string) {
		t.Helper()
		c := dial(t, url)
		who, err := c.WhoAmI(nil)
		require.NoError(t, err)
		require.Empty(t, who.AuthzID)
		require.NoError(t, c.Bind(UserDN(2), Password(2)))
		who, err = c.WhoAmI(nil)
		require.NoError(t, err)
		require.Equal(t, "dn:"+UserDN(2), who.AuthzID)
	})
}
