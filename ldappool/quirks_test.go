package ldappool

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"
	"authsvc/ldappool/internal/core"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// quirksLearned records what a pool learns of its servers.
type quirksLearned struct {
	mu     sync.Mutex
	quirks []string
}

func (q *quirksLearned) watch(c *Config) {
	c.Trace.QuirkLearned = func(_, quirk string, _ error) {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.quirks = append(q.quirks, quirk)
	}
}

func (q *quirksLearned) all() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.quirks)
}

// hangsUpOnAnonymous has h answer a read of the root DSE on a connection without an identity by
// code, or not at all where that is 0, and end the connection. With everybody, it does so to all.
func hangsUpOnAnonymous(h *host, code uint16, everybody bool) {
	h.on(func(p *peer, r *request) bool {
		if r.kind != "ping" || p.identity != "" && !everybody {
			return false
		}
		if code != 0 {
			p.write(ldaptest.SearchDone(r.id, code, ""))
		}
		p.cut()
		return true
	})
}

// loginsWithPauses does as many logins, after pauses in which connections become doubtful, and
// returns how many failed.
func loginsWithPauses(t *testing.T, p *Pool, n int, search bool) (lost int) {
	t.Helper()
	for i := range n {
		time.Sleep(time.Duration(i%5) * core.CheckAfter)
		if search {
			if _, err := p.Search(context.Background(), people()); err != nil {
				t.Log(err)
				lost++
				continue
			}
		}
		r, err := p.Bind(context.Background(), ldaptest.UserDN(1), ldaptest.Password(1))
		if err != nil {
			t.Log(err)
			lost++
			continue
		}
		require.EqualValues(t, ldap.LDAPResultSuccess, r.Code)
	}
	return lost
}

// TestQuirks_AServerThatHangsUpOnItsCheckServesEveryLogin has servers that refuse a stranger's read
// of the root DSE and close, as glauth does by default.
func TestQuirks_AServerThatHangsUpOnItsCheckServesEveryLogin(t *testing.T) {
	t.Parallel()
	for _, code := range []uint16{1, 2, 8, 32, 48, 49, 50, 53, 80, 123, 0} {
		for _, everybody := range []bool{false, code != ldap.LDAPResultUnwillingToPerform} {
			t.Run(fmt.Sprintf("code %d everybody %v", code, everybody), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					m := newFakeNet()
					m.rebinds = true
					h := m.hosts["one"]
					hangsUpOnAnonymous(h, code, everybody)
					var learned quirksLearned
					p := m.start(t, learned.watch, func(c *Config) { c.OnlyListedControls = true })
					if code == 0 {
						time.Sleep(2*core.HangUpConfirmAfter + 10*time.Second) // for each who reads
					}
					time.Sleep(5 * time.Second)
					require.Zero(t, loginsWithPauses(t, p, 60, true))
					require.NotEmpty(t, learned.all())
					require.LessOrEqual(t, len(learned.all()), 2, "once for each reader")
					require.Equal(t, quirkHangsUp, learned.all()[0])
					require.Equal(t, ServerUsable, p.Stat().Servers[0].State)
				})
			})
		}
	}
}

// TestQuirks_TheFirstLoginOfAllIsServed asks before anything was learned.
func TestQuirks_TheFirstLoginOfAllIsServed(t *testing.T) {
	t.Parallel()
	for _, bindOnly := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			m := newFakeNet()
			m.rebinds = true
			hangsUpOnAnonymous(m.hosts["one"], 50, false)
			p := m.start(t, sizes(4, -1), func(c *Config) { c.BindOnly = bindOnly })
			require.Zero(t, loginsWithPauses(t, p, 30, !bindOnly))
		})
	}
}

// TestQuirks_WithoutAServiceIdentityTheDialIsProof has nobody to bind as.
func TestQuirks_WithoutAServiceIdentityTheDialIsProof(t *testing.T) {
	t.Parallel()
	for _, rule := range []ServiceBindRule{ServiceBindAuto, ServiceBindNever} {
		synctest.Test(t, func(t *testing.T) {
			m := newFakeNet()
			hangsUpOnAnonymous(m.hosts["one"], 50, true)
			p := m.start(t, func(c *Config) {
				c.BindOnly, c.BindLaneServiceBind = true, rule
				if rule == ServiceBindAuto {
					c.BindDN, c.BindPassword = "", ""
				}
			})
			require.Zero(t, loginsWithPauses(t, p, 30, false))
			require.Empty(t, m.hosts["one"].bindsOf(ldaptest.ServiceDN))
		})
	}
}

// TestQuirks_WhatOnlyClosesIsAFault: without an answer, and without a service identity that could
// show that the server is well, it is not usable.
func TestQuirks_WhatOnlyClosesIsAFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		hangsUpOnAnonymous(m.hosts["one"], 0, true)
		var learned quirksLearned
		p := m.start(t, learned.watch, func(c *Config) { c.BindOnly, c.BindDN, c.BindPassword = true, "", "" })
		time.Sleep(time.Minute)
		require.Equal(t, ServerDown, p.Stat().Servers[0].State)
		require.Empty(t, learned.all())
	})
}

// TestQuirks_AnErrorWithoutACloseIsAnAnswer, as before.
func TestQuirks_AnErrorWithoutACloseIsAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		h.on(func(p *peer, r *request) bool {
			if r.kind != "ping" {
				return false
			}
			return p.write(ldaptest.SearchDone(r.id, ldap.LDAPResultInsufficientAccessRights, ""))
		})
		var learned quirksLearned
		p := m.start(t, learned.watch)
		require.Zero(t, loginsWithPauses(t, p, 30, true))
		require.Empty(t, learned.all())
	})
}

// TestQuirks_EveryConnectionForUsersBeginsWithAServiceBind where that is the rule: a gateway may
// let a connection's first bind in without a second factor.
func TestQuirks_EveryConnectionForUsersBeginsWithAServiceBind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		m.rebinds = true
		h := m.hosts["one"]
		var mu sync.Mutex
		asked := map[int]bool{}
		exempt := 0
		h.on(func(p *peer, r *request) bool {
			mu.Lock()
			defer mu.Unlock()
			if r.kind == "bind" && r.dn != ldaptest.ServiceDN && !asked[p.number] {
				exempt++
			}
			asked[p.number] = asked[p.number] || r.kind == "bind"
			if r.kind == "bind" && r.dn != ldaptest.ServiceDN && r.id%7 == 0 {
				p.cut() // and the retry is by another connection
				return true
			}
			return false
		})
		p := m.start(t, func(c *Config) { c.BindLaneServiceBind, c.MaxLifetime = ServiceBindAlways, 20*time.Second })
		loginsWithPauses(t, p, 100, true)
		h.abortAll()
		loginsWithPauses(t, p, 10, true)
		require.Zero(t, exempt, "users' binds that were a connection's first")
	})
}

// TestQuirks_AlwaysIsAdoptedByAReload: connections without a service bind are replaced.
func TestQuirks_AlwaysIsAdoptedByAReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		m.rebinds = true
		var cfg Config
		p := m.start(t, func(c *Config) { cfg = *c })
		mustBind(t, p)
		cfg.Dial, cfg.BindLaneServiceBind = m.dial, ServiceBindAlways
		require.NoError(t, p.Reconfigure(cfg))
		time.Sleep(time.Minute)
		before := len(m.hosts["one"].requests("bind"))
		mustBind(t, p)
		last := m.hosts["one"].requests("bind")[before]
		for _, s := range m.hosts["one"].requests("bind", "ping") {
			if s.peer == last.peer {
				require.Equal(t, ldaptest.ServiceDN, s.dn, "the connection's first request")
				break
			}
		}
		require.Zero(t, p.Stat().Bind.Outdated)
	})
}

// TestQuirks_AWrongServicePasswordIsTriedRarely also where connections prove themselves by service
// binds: each counts against the account.
func TestQuirks_AWrongServicePasswordIsTriedRarely(t *testing.T) {
	t.Parallel()
	for _, rule := range []ServiceBindRule{ServiceBindAuto, ServiceBindAlways} {
		synctest.Test(t, func(t *testing.T) {
			m := newFakeNet()
			m.rebinds = true
			h := m.hosts["one"]
			hangsUpOnAnonymous(h, 50, true)
			p := m.start(t, sizes(32, 8), func(c *Config) { c.BindLaneServiceBind = rule })
			time.Sleep(10 * time.Second)
			require.Zero(t, loginsWithPauses(t, p, 5, true))
			h.set(func(h *host) { h.passwords[ldaptest.ServiceDN] = "another" })
			for i := range 25 {
				if i%5 == 4 {
					h.abortAll()
				}
				var done []<-chan error
				for range 10 {
					done = append(done, searchLater(context.Background(), p), bindLater(context.Background(), p))
				}
				for _, d := range done {
					<-d
				}
				time.Sleep(2 * time.Second)
			}
			require.LessOrEqual(t, h.refusedDials(), 5)
			h.set(func(h *host) { h.passwords[ldaptest.ServiceDN] = ldaptest.ServicePassword })
			time.Sleep(5 * time.Minute)
			require.Zero(t, loginsWithPauses(t, p, 5, true))
		})
	}
}

// TestQuirks_LoginsAtOnceAreServed: service binds are few at a time, and that loses no login.
func TestQuirks_LoginsAtOnceAreServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		m.rebinds = true
		hangsUpOnAnonymous(m.hosts["one"], 50, false)
		p := m.start(t)
		for range 5 {
			var done []<-chan error
			for range 20 {
				done = append(done, bindLater(context.Background(), p))
			}
			for _, d := range done {
				require.NoError(t, <-d)
			}
			time.Sleep(3 * time.Second)
		}
	})
}
