package ldappool

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// Whatever is wrong with the first server, from the start or later: the pool reports it, and logins
// go to the second and lose nothing by it.
func TestFailover_NamesAnUnusableServerAndUsesTheOther(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		fail func(h *host)
		told string
	}{
		{"it refuses connections", func(h *host) { h.refuse(false) }, "connect: connection refused"},
		{"it lets dials hang", func(h *host) { h.set(func(h *host) { h.dropsDials = true }) }, "connect: context deadline exceeded"},
		{"it accepts and is silent", (*host).pause, "service bind: no answer in time"},
		{"it refuses the service bind", (*host).refuseService, "the service identity was refused: Invalid Credentials"},
		{"it is busy at the service bind", func(h *host) {
			h.on(func(p *peer, r *request) bool {
				busy := r.dn == ldaptest.ServiceDN && p.write(ldaptest.BindResponse(r.id, ldap.LDAPResultBusy, ""))
				return busy
			})
		}, "service bind: the service identity was refused: Busy"},
		{"it speaks something else", func(h *host) {
			h.on(func(p *peer, _ *request) bool { p.write([]byte("HTTP/1.1 400\r\n\r\n")); return true })
		}, "not an LDAP message"},
	} {
		for _, later := range []bool{false, true} {
			name := c.name
			if later {
				name += ", later"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					m := newFakeNet("one", "two")
					one, two := m.hosts["one"], m.hosts["two"]
					var p *Pool
					if later {
						p = startAtFirst(t, m)
						n, _ := countLostLogins(t, p, 2, 4, time.Second)
						require.Zero(t, n)
						c.fail(one)
						one.abortAll()
						synctest.Wait()
					} else {
						c.fail(one)
						p = m.start(t)
					}
					n, slowest := countLostLogins(t, p, 20, 4, 500*time.Millisecond)
					require.Zero(t, n)
					require.LessOrEqual(t, slowest, dialHedgeAfter+pingTimeout)
					require.Equal(t, two.url(), mustBind(t, p).Server)
					s := p.Stat().Servers[0]
					require.NotEqual(t, ServerUsable, s.State)
					require.ErrorContains(t, s.LastErr, c.told)

					two.refuse(true)
					synctest.Wait()
					_, err := p.Search(t.Context(), people())
					requireUnavailable(t, err, "ldap://one: "+s.LastErr.Error())
					requireUnavailable(t, err, "ldap://two: connect")
					if !isClosed(one.resumed) {
						one.resume()
					}
				})
			})
		}
	}
}

func TestFailover_NamesAServerWithAWrongCertificateAndUsesTheOther(t *testing.T) {
	t.Parallel()
	ca, another := ldaptest.NewCA(t), ldaptest.NewCA(t)
	handle := ldaptest.NewDirectory().Handle
	good := ldaptest.NewServer(t, handle, ldaptest.WithTLS(ca.ServerTLS(t)))
	goodStart := ldaptest.NewServer(t, handle, ldaptest.WithStartTLS(ca.ServerTLS(t)))
	demanding, old := ca.ServerTLS(t), ca.ServerTLS(t)
	demanding.ClientAuth = tls.RequireAnyClientCert
	old.CipherSuites, old.MaxVersion = []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}, tls.VersionTLS12
	for _, c := range []struct {
		name       string
		bad, other *ldaptest.Server
		told       string
	}{
		{"an authority that nobody trusts", ldaptest.NewServer(t, handle, ldaptest.WithTLS(another.ServerTLS(t))), good, "tls: failed to verify certificate"},
		{"a certificate for another host", ldaptest.NewServer(t, handle, ldaptest.WithTLS(ca.ServerTLS(t, "ldap.example.org"))), good, "tls: failed to verify certificate"},
		{"StartTLS and an authority that nobody trusts", ldaptest.NewServer(t, handle, ldaptest.WithStartTLS(another.ServerTLS(t))), goodStart, "tls: failed to verify certificate"},
		{"no StartTLS", ldaptest.NewServer(t, handle), goodStart, "starttls: refused"},
		{"an authority of the same name and with another key", ldaptest.NewServer(t, handle, ldaptest.WithTLS(another.ServerTLS(t))), good,
			"certificate signed by unknown authority: authority 1 of the client's has its name but another key"},
		{"a demand for a client certificate", ldaptest.NewServer(t, handle, ldaptest.WithTLS(demanding)), good,
			"tls: the server demands a client certificate, but none was sent: alert 116"},
		{"RSA key exchange only", ldaptest.NewServer(t, handle, ldaptest.WithTLS(old)), good,
			"tls: the server aborted the handshake: alert 40 (handshake failure): it accepts no offered cipher suite"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := pooled(t, Config{
				Servers: []string{c.bad.URL(), c.other.URL()}, TLS: ca.ClientTLS(""), Authorities: []*x509.Certificate{ca.Certificate()},
				StartTLS: c.other == goodStart,
				BindDN:   ldaptest.ServiceDN, BindPassword: ldaptest.ServicePassword,
			})
			for range 20 {
				require.True(t, loginSucceeds(p))
			}
			until(t, p, "the first server is down", func(s *Stat) bool { return s.Servers[0].State == ServerDown })
			require.ErrorContains(t, p.Stat().Servers[0].LastErr, c.told)
			require.Zero(t, c.bad.Count(ldaptest.OpBind), "no password was sent")
		})
	}
}
