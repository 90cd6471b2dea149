package ldapconn

import (
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
	tls := slapd.CA().ClientTLS("localhost", slapd.CA().Issue(t, ldaptest.CertConfig{CommonName: "authsvc", Client: true}))
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
			c, err := Dial(soon(t), endpointOf(t, tt.url, tt.startTLS), Options{TLS: tls})
			require.NoError(t, err)
			defer c.Close()
			require.False(t, seesUsers(t, c), "before the bind")
			for range 2 {
				r, err := c.BindExternal(soon(t), time.Time{})
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
		})
	}
}

// TestExternal_SlapdRefuses what the doctor explains by these codes.
func TestExternal_SlapdRefuses(t *testing.T) {
	t.Parallel()
	open := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 3, TLS: true})
	asking := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 3, TLS: true, ClientName: "authsvc"})
	for name, tt := range map[string]struct {
		slapd *ldaptest.Slapd
		url   func(*ldaptest.Slapd) string
		name  string // of the certificate; empty: none
		code  uint16
	}{
		"no certificate is asked for":   {open, (*ldaptest.Slapd).TLSURL, "authsvc", ldap.LDAPResultAuthMethodNotSupported},
		"no certificate is shown":       {asking, (*ldaptest.Slapd).TLSURL, "", ldap.LDAPResultAuthMethodNotSupported},
		"without TLS":                   {asking, (*ldaptest.Slapd).URL, "authsvc", ldap.LDAPResultAuthMethodNotSupported},
		"a certificate of another name": {asking, (*ldaptest.Slapd).TLSURL, "stranger", ldap.LDAPResultSuccess},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var certs []*ldaptest.Cert
			if tt.name != "" {
				certs = append(certs, tt.slapd.CA().Issue(t, ldaptest.CertConfig{CommonName: tt.name, Client: true}))
			}
			c, err := Dial(soon(t), endpointOf(t, tt.url(tt.slapd), false), Options{TLS: tt.slapd.CA().ClientTLS("localhost", certs...)})
			require.NoError(t, err)
			defer c.Close()
			r, err := c.BindExternal(soon(t), time.Time{})
			require.NoError(t, err)
			require.Equal(t, tt.code, r.Code, r.Diagnostic)
			require.False(t, seesUsers(t, c))
		})
	}
}
