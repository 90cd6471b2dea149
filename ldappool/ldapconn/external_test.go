package ldapconn

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// seesUsers reports whether the connection may search for users, which only the service identity
// may.
func seesUsers(t *testing.T, c *Conn) bool {
	t.Helper()
	req := ldap.NewSearchRequest(ldaptest.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, 0, false, "(uid=user1)", []string{"uid"}, nil)
	r, err := c.Search(soon(t), time.Time{}, req, Filter{})
	require.NoError(t, err)
	return r.Code == ldap.LDAPResultSuccess && len(r.Entries) == 1
}

// TestExternal_IsTheServiceAtSlapdBeforeAndAfterAUser: a bind replaces the identity of the one
// before it, and the certificate stays that of the connection.
func TestExternal_IsTheServiceAtSlapdBeforeAndAfterAUser(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 3, TLS: true, ClientName: "authsvc"})
	client := slapd.CA().ClientTLS("localhost", slapd.CA().Issue(t, ldaptest.CertConfig{CommonName: "authsvc", Client: true}))
	for name, tt := range map[string]struct {
		url      string
		startTLS bool
	}{
		"ldaps":    {slapd.TLSURL(), false},
		"StartTLS": {strings.Replace(slapd.URL(), "127.0.0.1", "localhost", 1), true},
		"ldapi":    {slapd.LDAPIURL(), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireExternal(t, endpointOf(t, tt.url, tt.startTLS), client, false)
		})
	}
}

func TestExternal_IsTheServiceAt389DSBeforeAndAfterAUser(t *testing.T) {
	t.Parallel()
	ds := ldaptest.StartDS389WithTLS(t)
	for i := range 3 {
		ds.Add(ldaptest.UserDN(i), map[string][]string{
			"objectClass": {"inetOrgPerson"}, "uid": {ldaptest.Username(i)}, "cn": {ldaptest.Username(i)}, "sn": {"x"}, "userPassword": {ldaptest.Password(i)},
		})
	}
	cert := func(name string) *ldaptest.Cert {
		return ds.CA().Issue(t, ldaptest.CertConfig{CommonName: name, Client: true})
	}
	requireExternal(t, endpointOf(t, ds.TLSURL(), false), ds.CA().ClientTLS("localhost", cert("service")), true)
	requireRefused(t, endpointOf(t, ds.TLSURL(), false), ds.CA().ClientTLS("localhost", cert("stranger")), "", ldap.LDAPResultInvalidCredentials)
	// It ignores the identity that is asserted. This one is user1, who sees no users.
	requireRefused(t, endpointOf(t, ds.TLSURL(), false), ds.CA().ClientTLS("localhost", cert(ldaptest.Username(1))), ldaptest.ServiceDN, ldap.LDAPResultSuccess)
	requireRefused(t, endpointOf(t, ds.TLSURL(), false), ds.CA().ClientTLS("localhost"), "", ldap.LDAPResultInappropriateAuthentication)
	requireRefused(t, endpointOf(t, ds.URL(), false), nil, "", ldap.LDAPResultInappropriateAuthentication)
}

// requireExternal checks that EXTERNAL makes a connection the service's, whoever it was before.
// Some directories take the identity from the certificate before any bind.
func requireExternal(t *testing.T, to Endpoint, cfg *tls.Config, implicit bool) {
	t.Helper()
	c, err := Dial(soon(t), to, Options{TLS: cfg})
	require.NoError(t, err)
	defer c.Close()
	require.Equal(t, implicit, seesUsers(t, c), "before the bind")
	for _, asserted := range []string{"", ldaptest.ServiceDN} {
		r, err := c.BindExternal(soon(t), time.Time{}, asserted)
		require.NoError(t, err)
		require.Equal(t, &Result{}, r)
		require.True(t, seesUsers(t, c))

		user, err := c.Bind(soon(t), time.Time{}, ldaptest.UserDN(2), ldaptest.Password(2))
		require.NoError(t, err)
		require.Zero(t, user.Code)
		require.False(t, seesUsers(t, c), "as the user")

		user, err = c.Bind(soon(t), time.Time{}, ldaptest.UserDN(2), "wrong")
		require.NoError(t, err)
		require.EqualValues(t, ldap.LDAPResultInvalidCredentials, user.Code)
		require.False(t, seesUsers(t, c), "as nobody")
	}
}

// requireRefused checks that EXTERNAL has that result, and that the connection sees no users.
func requireRefused(t *testing.T, to Endpoint, cfg *tls.Config, asserted string, code uint16) {
	t.Helper()
	c, err := Dial(soon(t), to, Options{TLS: cfg})
	require.NoError(t, err)
	defer c.Close()
	r, err := c.BindExternal(soon(t), time.Time{}, asserted)
	require.NoError(t, err)
	require.Equal(t, code, r.Code, r.Diagnostic)
	require.False(t, seesUsers(t, c))
}

// TestExternal_SlapdRefuses has the codes that the doctor explains. A certificate that slapd has no
// rule for is no refusal: it is the identity of its own subject.
func TestExternal_SlapdRefuses(t *testing.T) {
	t.Parallel()
	open := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 3, TLS: true})
	asking := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 3, TLS: true, ClientName: "authsvc"})
	for name, tt := range map[string]struct {
		slapd *ldaptest.Slapd
		url   func(*ldaptest.Slapd) string
		name  string // of the certificate; empty: none
		code  uint16

		asserted string
	}{
		"no certificate is asked for":   {open, (*ldaptest.Slapd).TLSURL, "authsvc", ldap.LDAPResultAuthMethodNotSupported, ""},
		"no certificate is shown":       {asking, (*ldaptest.Slapd).TLSURL, "", ldap.LDAPResultAuthMethodNotSupported, ""},
		"without TLS":                   {asking, (*ldaptest.Slapd).URL, "authsvc", ldap.LDAPResultAuthMethodNotSupported, ""},
		"a certificate of another name": {asking, (*ldaptest.Slapd).TLSURL, "stranger", ldap.LDAPResultSuccess, ""},
		"one that asserts the service":  {asking, (*ldaptest.Slapd).TLSURL, "stranger", ldap.LDAPResultInsufficientAccessRights, ldaptest.ServiceDN},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var certs []*ldaptest.Cert
			if tt.name != "" {
				certs = append(certs, tt.slapd.CA().Issue(t, ldaptest.CertConfig{CommonName: tt.name, Client: true}))
			}
			requireRefused(t, endpointOf(t, tt.url(tt.slapd), false), tt.slapd.CA().ClientTLS("localhost", certs...), tt.asserted, tt.code)
		})
	}
}
