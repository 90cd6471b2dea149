package ldappool

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// isLogins reports whether a request is part of a login, and not one of the pool's own.
func isLogins(r *request) bool {
	return r.kind == "search" && r.uid != "" || r.kind == "bind" && r.dn != ldaptest.ServiceDN
}

// answers makes a directory answer every such request with a code: "search", which a probe's is
// too, or "bind", a user's.
func answers(kind string, code uint16) func(p *peer, r *request) bool {
	return func(p *peer, r *request) bool {
		switch {
		case r.kind != kind || r.dn == ldaptest.ServiceDN:
			return false
		case kind == "bind":
			p.write(ldaptest.BindResponse(r.id, code, "not now"))
		default:
			p.write(ldaptest.SearchDone(r.id, code, "not now"))
		}
		return true
	}
}

// slowly makes a directory take a moment for each request, so that logins at the same time need a
// connection each.
func slowly(script func(p *peer, r *request) bool) func(p *peer, r *request) bool {
	return func(p *peer, r *request) bool {
		time.Sleep(time.Millisecond)
		return script != nil && script(p, r)
	}
}

// cuts has a directory cut every connection on which such a request comes.
func cuts(kind string) func(p *peer, r *request) bool {
	return func(p *peer, r *request) bool {
		if r.kind != kind || !isLogins(r) {
			return false
		}
		p.cut()
		return true
	}
}

// countLostLogins does concurrent logins, and returns how many did not get the right verdict and
// how long the slowest took.
func countLostLogins(t *testing.T, p *Pool, rounds, atOnce int, pause time.Duration) (n int, slowest time.Duration) {
	t.Helper()
	var mu sync.Mutex
	for range rounds {
		var callers sync.WaitGroup
		for range atOnce {
			callers.Go(func() {
				began := time.Now()
				ok := loginSucceeds(p)
				mu.Lock()
				defer mu.Unlock()
				slowest = max(slowest, time.Since(began))
				if !ok {
					n++
				}
			})
		}
		callers.Wait()
		time.Sleep(pause)
	}
	return n, slowest
}

// loginSucceeds reports whether one login got the right verdict.
func loginSucceeds(p *Pool) bool {
	if !p.config().BindOnly {
		r, err := p.Search(context.Background(), people())
		if err != nil || r.Code != ldap.LDAPResultSuccess {
			return false
		}
	}
	r, err := p.Bind(context.Background(), ldaptest.UserDN(1), ldaptest.Password(1))
	return err == nil && r.Code == ldap.LDAPResultSuccess
}

func TestBreaker_FailingServerGivesWayToTheSecond(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		script  func(p *peer, r *request) bool
		told    string
		most    int // logins that may be lost at once
		changes func(*Config)
	}{
		{"busy to searches", answers("search", ldap.LDAPResultBusy), "search: Busy (51)", 0, nil},
		{"unavailable to searches", answers("search", ldap.LDAPResultUnavailable), "search: Unavailable (52)", 0, nil},
		{"unwilling to search", answers("search", ldap.LDAPResultUnwillingToPerform), "search: Unwilling To Perform (53)", 0, nil},
		{"in referral state", answers("search", ldap.LDAPResultReferral), "search: Referral (10)", 0, nil},
		{"other to searches", answers("search", ldap.LDAPResultOther), "search: Other (80)", breakerWindow, nil},
		{"operations error to searches", answers("search", ldap.LDAPResultOperationsError), "search: Operations Error (1)", breakerWindow, nil},
		{"busy to binds", answers("bind", ldap.LDAPResultBusy), "bind: Busy (51)", 0, nil},
		{"unavailable to binds, and nothing else is asked", answers("bind", ldap.LDAPResultUnavailable), "bind: Unavailable (52)", 0, bindOnly},
		{"cuts searches", cuts("search"), "search: closed by the peer", 1, nil},
		{"cuts binds", cuts("bind"), "bind: closed by the peer", breakerWindow, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet("one", "two")
				one := m.hosts["one"]
				var seen changes
				changes := []func(*Config){seen.trace}
				if c.changes != nil {
					changes = append(changes, c.changes)
				}
				p := startAtFirst(t, m, changes...)
				one.on(slowly(nil))
				m.hosts["two"].on(slowly(nil))
				n, _ := countLostLogins(t, p, 5, 16, 20*time.Millisecond)
				require.Zero(t, n)
				began := time.Now()
				one.on(slowly(c.script))
				n, slowest := countLostLogins(t, p, 5, 16, 5*time.Millisecond)
				t.Logf("%d lost, the slowest took %v, states %v", n, slowest, seen.to(one))
				require.LessOrEqual(t, n, c.most)
				require.LessOrEqual(t, slowest, 20*time.Millisecond)
				require.NotEqual(t, []ServerState{ServerUsable}, seen.to(one))
				s := p.Stat().Servers[0]
				require.ErrorContains(t, s.LastErr, c.told)

				// Whatever probes say, it does not come and go.
				const minutes = 10
				later, open := 0, 0
				for range minutes * 20 {
					n, _ := countLostLogins(t, p, 1, 1, 3*time.Second)
					later += n
					if p.Stat().Servers[0].BreakerOpen {
						open++
					}
				}
				require.Zero(t, later)
				require.Positive(t, open)
				back := 0
				for _, s := range seen.to(one) {
					if s == ServerUsable {
						back++
					}
				}
				require.LessOrEqual(t, back, minutes*60/27+8)

				one.on(nil)
				failingFor := time.Since(began)
				becomes(t, p, one, ServerUsable)
				require.LessOrEqual(t, time.Since(began)-failingFor, breakerLatest)
				require.False(t, p.Stat().Servers[0].BreakerOpen)
				n, _ = countLostLogins(t, p, 60, 8, 5*time.Second)
				require.Zero(t, n)
				require.Equal(t, one.url(), mustBind(t, p).Server)
			})
		})
	}
}

func TestBreaker_BusyServerLosesNoLogin(t *testing.T) {
	t.Parallel()
	for _, size := range []int{2, 4, 32} {
		synctest.Test(t, func(t *testing.T) {
			m := newFakeNet("one", "two")
			p := startAtFirst(t, m, sizes(size, 1))
			m.hosts["one"].on(slowly(answers("search", ldap.LDAPResultBusy)))
			m.hosts["two"].on(slowly(nil))
			var callers sync.WaitGroup
			for range 40 {
				callers.Go(func() {
					for range 20 {
						r, err := p.Search(context.Background(), people())
						if err != nil || r.Code != ldap.LDAPResultSuccess {
							t.Errorf("MaxConns %d: %v %v", size, r, err)
						}
					}
				})
			}
			callers.Wait()
		})
	}
}

func TestBreaker_BusyAnswerIsRetriedOnceElsewhere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		kind string
		code uint16
		rule BindRetry
		sent int  // requests that the second server gets
		both bool // the second server answers the same
	}{
		{"a busy server's search", "search", ldap.LDAPResultBusy, RetryNoResponse, 1, false},
		{"an unavailable server's search", "search", ldap.LDAPResultUnavailable, RetryUnsent, 1, false},
		{"a search that nobody does", "search", ldap.LDAPResultUnavailable, RetryNoResponse, 1, true},
		{"a search that a server is unwilling to do", "search", ldap.LDAPResultUnwillingToPerform, RetryNoResponse, 1, false},
		{"a search that a server refers elsewhere", "search", ldap.LDAPResultReferral, RetryNoResponse, 1, false},
		{"a search that nobody does but refers elsewhere", "search", ldap.LDAPResultReferral, RetryNoResponse, 1, true},
		{"a bind that a server refers elsewhere", "bind", ldap.LDAPResultReferral, RetryNoResponse, 1, false},
		{"a search of which one answer says nothing", "search", ldap.LDAPResultOther, RetryNoResponse, 0, false},
		{"a busy server's bind", "bind", ldap.LDAPResultBusy, RetryNoResponse, 1, false},
		{"a bind that nobody does", "bind", ldap.LDAPResultBusy, RetryNoResponse, 1, true},
		{"a bind that must not be sent twice", "bind", ldap.LDAPResultBusy, RetryUnsent, 0, false},
		{"a bind of an account that a server is unwilling to let in", "bind", ldap.LDAPResultUnwillingToPerform, RetryNoResponse, 0, false},
		{"a wrong password", "bind", ldap.LDAPResultInvalidCredentials, RetryNoResponse, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet("one", "two")
				one, two := m.hosts["one"], m.hosts["two"]
				p := startAtFirst(t, m, func(cfg *Config) { cfg.BindRetry = c.rule })
				before := p.Stat().Retries
				one.on(answers(c.kind, c.code))
				want := uint16(ldap.LDAPResultSuccess)
				if c.both {
					two.on(answers(c.kind, c.code))
				}
				if c.sent == 0 || c.both {
					want = c.code
				}
				began := time.Now()
				var r Result
				if c.kind == "search" {
					answer, err := p.Search(t.Context(), people())
					require.NoError(t, err)
					r = answer.Result
				} else {
					answer, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
					require.NoError(t, err)
					r = answer.Result
				}
				require.Equal(t, want, r.Code)
				require.Zero(t, time.Since(began))
				require.EqualValues(t, c.sent, p.Stat().Retries-before)
				for _, h := range []*host{one, two} {
					sent := 0
					for _, s := range h.requests(c.kind) {
						if isLogins(&s.request) {
							sent++
						}
					}
					if h == one {
						require.Equal(t, 1, sent)
					} else {
						require.Equal(t, c.sent, sent)
					}
				}
			})
		})
	}
}

// A second server that cannot be reached is none: the caller gets what the first one said.
func TestBreaker_BusyAnswerIsReturnedIfTheOtherServerIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		p := startAtFirst(t, m)
		m.hosts["two"].refuse(true)
		m.hosts["one"].on(answers("search", ldap.LDAPResultBusy))
		began := time.Now()
		r, err := p.Search(t.Context(), people())
		require.NoError(t, err)
		require.EqualValues(t, ldap.LDAPResultBusy, r.Code)
		require.Zero(t, time.Since(began))
	})
}

func TestBreaker_UnwillingAnswerToABindLeavesTheServerUsable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		var seen changes
		p := startAtFirst(t, m, seen.trace)
		m.hosts["one"].on(answers("bind", ldap.LDAPResultUnwillingToPerform))
		for range 5 * breakerWindow {
			r, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
			require.NoError(t, err)
			require.EqualValues(t, ldap.LDAPResultUnwillingToPerform, r.Code)
			require.Equal(t, "ldap://one", r.Server)
		}
		require.Equal(t, []ServerState{ServerUsable}, seen.to(m.hosts["one"]))
	})
}

// Without another server, the caller gets this server's answer, and at once.
func TestBreaker_OnlyServerStaysInUse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		hosts []string
	}{{"there is one", []string{"one"}}, {"the other one is away", []string{"one", "two"}}, {"the other one is no better", []string{"one", "two", "worse"}}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet(c.hosts...)
				var seen changes
				for name, h := range m.hosts {
					h.on(answers("search", ldap.LDAPResultBusy))
					if name == "two" {
						h.refuse(false)
					}
				}
				p := m.start(t, seen.trace)
				time.Sleep(5 * time.Second)
				usable := func() (n int) {
					for _, s := range p.Stat().Servers {
						if s.State == ServerUsable {
							n++
						}
					}
					return n
				}
				for range 200 {
					began := time.Now()
					r, err := p.Search(t.Context(), people())
					require.NoError(t, err)
					require.EqualValues(t, ldap.LDAPResultBusy, r.Code)
					require.Zero(t, time.Since(began))
					require.Positive(t, usable())
					time.Sleep(50 * time.Millisecond)
				}
			})
		})
	}
}

func TestBreaker_ClosesWhenTheOtherServerFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		one, two := m.hosts["one"], m.hosts["two"]
		p := startAtFirst(t, m)
		one.on(slowly(answers("bind", ldap.LDAPResultBusy))) // which no probe finds out
		two.on(slowly(nil))
		n, _ := countLostLogins(t, p, 2, 16, time.Millisecond)
		require.Zero(t, n)
		require.NotEqual(t, ServerUsable, one.state(p))
		two.refuse(true)
		synctest.Wait()
		began := time.Now()
		_, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
		if err != nil {
			requireUnavailable(t, err, "ldap://one")
			requireUnavailable(t, err, "ldap://two")
		}
		becomes(t, p, one, ServerUsable)
		require.LessOrEqual(t, time.Since(began), 10*time.Millisecond)
		r, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
		require.NoError(t, err)
		require.EqualValues(t, ldap.LDAPResultBusy, r.Code)
	})
}

// Each time that a probe is mistaken, the next one waits twice as long, up to half a minute.
func TestBreaker_BackoffGrowsIfOnlyProbesSucceed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		one := m.hosts["one"]
		var mu sync.Mutex
		var went, came []time.Time
		p := startAtFirst(t, m, func(c *Config) {
			c.Trace.ServerChanged = func(e ServerEvent) {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case e.Server != one.url():
				case e.To == ServerUsable:
					came = append(came, time.Now())
				case e.From == ServerUsable:
					went = append(went, time.Now())
				}
			}
		})
		one.on(slowly(answers("bind", ldap.LDAPResultBusy)))
		m.hosts["two"].on(slowly(nil))
		for range 14 {
			becomes(t, p, one, ServerUsable)
			m.hosts["two"].abortAll() // so that there is a reason to dial
			synctest.Wait()
			n, _ := countLostLogins(t, p, 2, 16, time.Millisecond)
			require.Zero(t, n)
			require.NotEqual(t, ServerUsable, one.state(p))
		}
		becomes(t, p, one, ServerUsable)
		mu.Lock()
		defer mu.Unlock()
		require.Len(t, went, 14)
		want := probeSoonest
		for i, at := range went {
			require.InDelta(t, want, came[i+1].Sub(at), float64(want/10+10*time.Millisecond), "%d", i) // came has the start too
			want = min(2*want, breakerLatest)
		}
	})
}
