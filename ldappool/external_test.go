package ldappool

import (
	"context"
	"crypto/tls"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// byExternal makes the service identity bind by SASL EXTERNAL.
func byExternal(c *Config) { c.BindMethod, c.BindDN, c.BindPassword = BindExternal, "", "" }

func TestExternal_SearchesAsTheServiceAtSlapd(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 3, TLS: true, ClientName: "authsvc"})
	client := s.CA().ClientTLS("localhost", s.CA().Issue(t, ldaptest.CertConfig{CommonName: "authsvc", Client: true}))
	for name, change := range map[string]func(*Config){
		"ldaps":    func(c *Config) { c.Servers = []string{s.TLSURL()} },
		"StartTLS": func(c *Config) { c.Servers, c.StartTLS = []string{s.URL()}, true },
		"ldapi":    func(c *Config) { c.Servers = []string{s.LDAPIURL()} },
	} {
		for _, rule := range []ServiceBindRule{ServiceBindAuto, ServiceBindAlways} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				asserted := []string{"", ldaptest.ServiceDN}[rule]
				p := slapdPool(t, s, byExternal, change, sizes(2, 1), func(c *Config) {
					c.TLS, c.BindLaneServiceBind, c.BindDN = client, rule, asserted
					c.DialTimeout, c.MaxWait = 20*time.Second, 20*time.Second
				})
				for range 5 {
					require.Equal(t, ldaptest.UserDN(1), mustSearch(t, p).Entries[0].DN)
					mustBind(t, p)
					r, err := p.Bind(t.Context(), ldaptest.UserDN(1), "wrong")
					require.NoError(t, err)
					require.EqualValues(t, ldap.LDAPResultInvalidCredentials, r.Code)
				}
			})
		}
	}
}

// TestExternal_ReplacesACertificateAtSlapd: new connections show the new one, the old ones serve
// until then, and where slapd refuses the new one they stay.
func TestExternal_ReplacesACertificateAtSlapd(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 3, TLS: true, ClientName: "authsvc"})
	with := func(ca *ldaptest.CA) func(*Config) {
		client := s.CA().ClientTLS("localhost", ca.Issue(t, ldaptest.CertConfig{CommonName: "authsvc", Client: true}))
		return func(c *Config) { c.TLS = client }
	}
	adopted := make(chan time.Duration, 10)
	p := slapdPool(t, s, byExternal, sizes(4, 1), with(s.CA()), func(c *Config) {
		c.Servers, c.DialTimeout, c.MaxWait = []string{s.TLSURL()}, 20*time.Second, 20*time.Second
		c.Trace.Reconfigured = func(took time.Duration) { adopted <- took }
	})
	mustSearch(t, p)
	binds := s.LogCount("method=163") // a SASL bind
	require.NoError(t, reconfigure(p, with(s.CA())))
	for len(adopted) == 0 {
		require.True(t, loginSucceeds(p))
	}
	require.Greater(t, s.LogCount("method=163"), binds, "new connections, as the new certificate")

	require.NoError(t, reconfigure(p, with(ldaptest.NewCA(t))))
	until(t, p, "the directory refuses a stranger's certificate", func(s *Stat) bool {
		require.True(t, loginSucceeds(p))
		return s.Servers[0].State == ServerSuspect
	})
	for range 100 {
		require.True(t, loginSucceeds(p))
	}
	require.Len(t, adopted, 1)
	require.NoError(t, reconfigure(p, with(s.CA())))
	until(t, p, "the next one is adopted", func(*Stat) bool { return loginSucceeds(p) && len(adopted) == 2 })
}

// TestExternal_RefusedCertificateKeepsTheOldConnections beyond their age, as a refused password
// does, and is tried as rarely.
func TestExternal_RefusedCertificateKeepsTheOldConnections(t *testing.T) {
	t.Parallel()
	certificate := func(c *Config) { c.TLS = &tls.Config{MinVersion: tls.VersionTLS12} }
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := m.start(t, byExternal, sizes(4, 2), func(c *Config) { c.MaxLifetime, c.MaxIdleTime = time.Minute, 30*time.Second })
		serves := func(d time.Duration) {
			t.Helper()
			for until := time.Now().Add(d); time.Now().Before(until); time.Sleep(time.Second) {
				mustSearch(t, p)
				mustBind(t, p)
			}
		}
		serves(5 * time.Second)
		h.changePassword("another's") // no certificate is the service's any more
		require.NoError(t, reconfigure(p, certificate))
		serves(4 * time.Minute)
		require.InDelta(t, 4, h.refusedDials(), 1, "after 0, 30, 90 and 210 s")
		require.Equal(t, ServerSuspect, h.state(p))
		require.Positive(t, p.Stat().Search.Outdated)
		h.changePassword(ldaptest.ServicePassword)
		require.NoError(t, reconfigure(p, certificate))
		serves(10 * time.Second)
		require.Zero(t, p.Stat().Search.Outdated)
		require.Equal(t, ServerUsable, h.state(p))
		for _, b := range h.bindsOf(ldaptest.ServiceDN) {
			require.True(t, b.external)
		}
	})
}

// TestExternal_ChecksConnectionsThatAUserWasBoundOn: the bind lane is checked by service binds at
// such a server.
func TestExternal_ChecksConnectionsThatAUserWasBoundOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		m.rebinds = true
		h := m.hosts["one"]
		hangsUpOnAnonymous(h, ldap.LDAPResultInsufficientAccessRights, false)
		p := m.start(t, byExternal)
		time.Sleep(5 * time.Second)
		require.Zero(t, loginsWithPauses(t, p, 60, true))
		users, again := map[int]bool{}, 0
		for _, b := range h.requests("bind") {
			require.Equal(t, b.dn == ldaptest.ServiceDN, b.external)
			if b.external && users[b.peer] {
				again++
			}
			users[b.peer] = users[b.peer] || !b.external
		}
		require.Positive(t, again, "service binds after a user's")
	})
}

// saslChallenge asks for another step of a SASL bind, which EXTERNAL does not have.
func saslChallenge(id int64) []byte {
	b := ldaptest.BindResponse(id, ldap.LDAPResultSaslBindInProgress, "")
	challenge := "\x87\x05hello" // serverSaslCreds
	b = append(b, challenge...)
	b[1] += byte(len(challenge)) // the message and
	b[6] += byte(len(challenge)) // the BindResponse
	return b
}

func TestExternal_RefusalIsAFaultAndNoVerdict(t *testing.T) {
	t.Parallel()
	coded := func(code uint16) func(int64) []byte {
		return func(id int64) []byte { return ldaptest.BindResponse(id, code, "") }
	}
	for name, tt := range map[string]struct {
		answer  func(id int64) []byte
		says    string
		refused bool // it is a fault of the configuration
	}{
		"not supported":        {coded(ldap.LDAPResultAuthMethodNotSupported), "Auth Method Not Supported, with SASL EXTERNAL", true},
		"an unknown subject":   {coded(ldap.LDAPResultInvalidCredentials), "Invalid Credentials, with SASL EXTERNAL", true},
		"no certificate":       {coded(ldap.LDAPResultInappropriateAuthentication), "Inappropriate Authentication, with SASL EXTERNAL", true},
		"a challenge":          {saslChallenge, "Sasl Bind In Progress, with SASL EXTERNAL", true},
		"another identity":     {coded(ldap.LDAPResultInsufficientAccessRights), "Insufficient Access Rights, with SASL EXTERNAL", true},
		"busy":                 {coded(ldap.LDAPResultBusy), "Busy, with SASL EXTERNAL", false},
		"an answer to another": {func(id int64) []byte { return ldaptest.BindResponse(id+1, 0, "") }, "service bind: ", false},
		"a search's end":       {func(id int64) []byte { return ldaptest.SearchDone(id, 0, "") }, "service bind: ", false},
		"no LDAP":              {func(int64) []byte { return []byte("+OK") }, "service bind: ", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet()
				h := m.hosts["one"]
				h.on(func(p *peer, r *request) bool { return r.external && (p.write(tt.answer(r.id)) || true) })
				p := m.start(t, byExternal)
				time.Sleep(time.Second)
				began := time.Now()
				_, searched := p.Search(t.Context(), people())
				_, bound := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
				require.LessOrEqual(t, time.Since(began), 5*time.Second)
				for _, err := range []error{searched, bound} {
					requireUnavailable(t, err, "ldap://one")
					require.ErrorContains(t, err, tt.says)
					if tt.refused {
						require.ErrorIs(t, err, ErrServiceRefused)
					} else {
						require.NotErrorIs(t, err, ErrServiceRefused)
					}
				}
				time.Sleep(time.Minute)
				if tt.refused {
					require.Len(t, h.bindsOf(ldaptest.ServiceDN), 2, "at once and after 30 s")
				}
			})
		})
	}
}

// TestExternal_SilenceIsBounded: a server that never answers the bind costs a dial's time, no more.
func TestExternal_SilenceIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		m.hosts["one"].on(func(_ *peer, r *request) bool { return r.external })
		p := m.start(t, byExternal)
		_, err := p.Search(context.Background(), people())
		require.ErrorIs(t, err, ErrUnavailable)
		time.Sleep(10 * time.Second)
		last := p.Stat().Servers[0].LastErr
		require.ErrorContains(t, last, "service bind")
		require.NotContains(t, last.Error(), "refused")
	})
}
