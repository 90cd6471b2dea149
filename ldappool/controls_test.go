package ldappool

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// lists is a script that shows a root DSE with those controls to whom may reads allows.
func lists(may func(p *peer) bool, controls ...string) func(p *peer, r *request) bool {
	return func(p *peer, r *request) bool {
		if r.kind != "ping" || !slices.Contains(r.attributes, "supportedControl") || !may(p) {
			return false
		}
		entry := ldaptest.SearchEntry(r.id, ldaptest.Entry{Attributes: map[string][]string{"supportedControl": controls}})
		p.write(append(entry, ldaptest.SearchDone(r.id, ldap.LDAPResultSuccess, "")...))
		return true
	}
}

func anyIdentity(*peer) bool   { return true }
func serviceOnly(p *peer) bool { return p.identity == ldaptest.ServiceDN }

// bindWithPolicy does a user's bind that asks for the password policy.
func bindWithPolicy(p *Pool) error {
	_, err := p.Bind(context.Background(), ldaptest.UserDN(1), ldaptest.Password(1), policyRequest)
	return err
}

// withControl counts the users' binds that came with a control and without.
func withControl(h *host) (with, without int) {
	for _, s := range h.bindsOf(ldaptest.UserDN(1)) {
		if len(s.controls) > 0 {
			with++
		} else {
			without++
		}
	}
	return with, without
}

func serviceFirst(c *Config) { c.BindOnly, c.BindLaneServiceBind = true, ServiceBindAlways }

func TestControls_AreSentIfTheRootDSEListsThem(t *testing.T) {
	t.Parallel()
	other := "1.2.840.113556.1.4.319"
	for name, c := range map[string]struct {
		rule   bool
		script func(p *peer, r *request) bool
		change func(*Config)
		sent   bool
	}{
		"listed":                        {true, lists(anyIdentity, other, policyRequest.OID), nil, true},
		"listed, without searches":      {true, lists(anyIdentity, policyRequest.OID), func(c *Config) { c.BindOnly = true }, true},
		"listed for the service only":   {true, lists(serviceOnly, policyRequest.OID), nil, true},
		"listed, service bind first":    {true, lists(serviceOnly, policyRequest.OID), serviceFirst, true},
		"others listed":                 {true, lists(anyIdentity, other), nil, false},
		"none listed":                   {true, lists(anyIdentity), nil, false},
		"no root DSE":                   {true, nil, nil, false},
		"no root DSE, without searches": {true, nil, func(c *Config) { c.BindOnly = true }, false},
		"always":                        {false, nil, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet()
				m.rebinds = true
				h := m.hosts["one"]
				h.on(c.script)
				p := m.start(t, sizes(4, -1), func(cfg *Config) {
					if c.change != nil {
						c.change(cfg)
					}
					cfg.OnlyListedControls = c.rule
				})
				for range 20 {
					if !p.config().BindOnly {
						mustSearch(t, p)
					}
					require.NoError(t, bindWithPolicy(p))
				}
				with, without := withControl(h)
				if c.sent {
					require.Equal(t, [2]int{20, 0}, [2]int{with, without})
				} else {
					require.Equal(t, [2]int{0, 20}, [2]int{with, without})
				}
				require.LessOrEqual(t, len(h.requests("ping")), 2, "one for each connection, and none for a login")
			})
		})
	}
}

// TestControls_CriticalOnesAreAlwaysSent: to leave one out would change what the bind means (RFC
// 4511 section 4.1.11).
func TestControls_CriticalOnesAreAlwaysSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, func(c *Config) { c.OnlyListedControls = true })
		_, err := p.Bind(context.Background(), ldaptest.UserDN(1), ldaptest.Password(1), policyRequest, Control{OID: "1.2.3", Critical: true})
		require.NoError(t, err)
		require.Equal(t, []string{"1.2.3"}, m.hosts["one"].bindsOf(ldaptest.UserDN(1))[0].controls)
	})
}

// TestControls_AServerThatAddsOneGetsIt from the next connection on.
func TestControls_AServerThatAddsOneGetsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		h.on(lists(anyIdentity, "1.2.3"))
		p := m.start(t, func(c *Config) { c.OnlyListedControls = true })
		require.NoError(t, bindWithPolicy(p))
		h.on(lists(anyIdentity, policyRequest.OID))
		h.abortAll()
		synctest.Wait()
		require.NoError(t, bindWithPolicy(p))
		with, without := withControl(h)
		require.Equal(t, [2]int{1, 1}, [2]int{with, without})
	})
}

// TestControls_AreNotGivenUpForAServerThatCuts: without the control an account that must change its
// password would be let in, and whoever can cut connections could have it so. For a server that
// cannot take the control it has to be switched off.
func TestControls_AreNotGivenUpForAServerThatCuts(t *testing.T) {
	t.Parallel()
	for _, retry := range []BindRetry{RetryNoResponse, RetryUnsent} {
		synctest.Test(t, func(t *testing.T) {
			m := newFakeNet()
			h := m.hosts["one"]
			h.on(func(p *peer, r *request) bool {
				if len(r.controls) > 0 {
					p.cut()
					return true
				}
				return lists(anyIdentity, policyRequest.OID)(p, r)
			})
			p := m.start(t, func(c *Config) { c.OnlyListedControls, c.BindRetry = true, retry })
			for range 20 {
				require.Error(t, bindWithPolicy(p))
				time.Sleep(100 * time.Millisecond)
			}
			h.on(lists(anyIdentity, policyRequest.OID))
			time.Sleep(time.Minute)
			require.NoError(t, bindWithPolicy(p))
			_, without := withControl(h)
			require.Zero(t, without)
		})
	}
}
