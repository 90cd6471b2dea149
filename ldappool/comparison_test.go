package ldappool

import (
	"context"
	"crypto/tls"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestComparison_389DSThatForcesExternalServesNobody: with that setting it accepts every password
// on a connection that shows a certificate.
func TestComparison_389DSThatForcesExternalServesNobody(t *testing.T) {
	t.Parallel()
	ds := ldaptest.StartDS389WithTLS(t)
	ds.Add(ldaptest.UserDN(1), map[string][]string{
		"objectClass": {"inetOrgPerson"}, "uid": {ldaptest.Username(1)}, "cn": {ldaptest.Username(1)}, "sn": {"x"}, "userPassword": {ldaptest.Password(1)},
	})
	force := func(value string) {
		ds.Modify("cn=config", map[string][]string{"nsslapd-force-sasl-external": {value}})
	}
	force("on")
	p, err := New(Config{
		Servers: []string{ds.TLSURL()}, BindOnly: true, DialTimeout: 20 * time.Second, MaxWait: 20 * time.Second,
		TLS: ds.CA().ClientTLS("localhost", ds.CA().Issue(t, ldaptest.CertConfig{CommonName: "service", Client: true})),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close(context.Background())) })
	for _, password := range []string{"wrong", ldaptest.Password(1)} {
		_, err := p.Bind(t.Context(), ldaptest.UserDN(1), password)
		requireUnavailable(t, err, ds.TLSURL())
		require.ErrorContains(t, err, "accepts a random password")
	}
	force("off")
	until(t, p, "the server compares passwords", func(*Stat) bool {
		r, err := p.Bind(t.Context(), ldaptest.UserDN(1), "wrong")
		require.False(t, err == nil && r.Code == ldap.LDAPResultSuccess)
		return err == nil && r.Code == ldap.LDAPResultInvalidCredentials
	})
	mustBind(t, p)
}

// TestComparison_IsAskedForOncePerCertificate, also of a server that ends the connection after each
// failed bind, which costs no login.
func TestComparison_IsAskedForOncePerCertificate(t *testing.T) {
	t.Parallel()
	for name, hangsUp := range map[string]bool{"a server that stays": false, "one that hangs up": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var random atomic.Int64
			ca := ldaptest.NewCA(t)
			requests := ca.ServerTLS(t)
			requests.ClientAuth, requests.ClientCAs = tls.RequireAndVerifyClientCert, ca.Pool()
			s := ldaptest.NewServer(t, func(conn *ldaptest.Conn, req ldaptest.Request) {
				switch {
				case req.Op != ldaptest.OpBind:
					conn.ReplySearch(req, ldap.LDAPResultSuccess, ldaptest.Entry{})
				case req.DN == ldaptest.UserDN(1):
					conn.ReplyBind(req, ldap.LDAPResultSuccess, "")
				default:
					assert.False(t, strings.HasPrefix(req.DN, "uid="))
					random.Add(1)
					conn.ReplyBind(req, ldap.LDAPResultInvalidCredentials, "")
					if hangsUp {
						conn.Close()
					}
				}
			}, ldaptest.WithTLS(requests))
			with := func(c *Config) {
				c.TLS = ca.ClientTLS("localhost", ca.Issue(t, ldaptest.CertConfig{CommonName: "service", Client: true}))
			}
			cfg := Config{
				Servers: []string{"ldaps://" + s.Addr()}, BindOnly: true, DialTimeout: 20 * time.Second, MaxWait: 20 * time.Second,
				MaxConns: 4, MinIdleConns: 4,
			}
			with(&cfg)
			adopted := make(chan time.Duration, 1)
			cfg.Trace.Reconfigured = func(took time.Duration) { adopted <- took }
			p, err := New(cfg)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, p.Close(context.Background())) })
			for range 20 {
				mustBind(t, p)
			}
			first := random.Load()
			require.LessOrEqual(t, first, int64(4), "one dial, or those that began before its answer")
			require.Positive(t, first)

			require.NoError(t, reconfigure(p, with))
			for len(adopted) == 0 {
				mustBind(t, p)
			}
			require.Greater(t, random.Load(), first, "another certificate may be another identity")
			require.LessOrEqual(t, random.Load(), 2*first+4)
		})
	}
}
