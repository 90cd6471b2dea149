package ldaptest

import (
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

func TestDS389_ServesTheTreeToTheServiceAlone(t *testing.T) {
	t.Parallel()
	s := StartDS389(t)
	s.Add(UserDN(0), map[string][]string{"objectClass": {"inetOrgPerson"}, "uid": {Username(0)}, "cn": {"x"}, "sn": {"x"}, "userPassword": {Password(0)}})
	c := dial(t, s.URL())
	finds := func() int {
		res, err := find(c, BaseDN, "(uid=user0)")
		require.NoError(t, err)
		return len(res.Entries)
	}
	require.NoError(t, c.Bind(UserDN(0), Password(0)))
	require.Zero(t, finds())
	require.Equal(t, ldap.LDAPResultInvalidCredentials, code(c.Bind(UserDN(0), Password(1))))
	require.NoError(t, c.Bind(ServiceDN, ServicePassword))
	require.Equal(t, 1, finds())
	s.Modify(UserDN(0), map[string][]string{"nsAccountLock": {"true"}})
	require.Equal(t, ldap.LDAPResultUnwillingToPerform, code(c.Bind(UserDN(0), Password(0))))
}
