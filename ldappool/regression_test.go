package ldappool

import (
	"authsvc/ldappool/internal/core"
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

func TestMaintenance_PingsGoOnWhenConnectionsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := m.start(t, sizes(32, 2))
		time.Sleep(2 * time.Second)
		first := len(h.requests("ping"))
		keep := len(h.open())
		require.Equal(t, 4, keep)
		// The newest connection ends every five seconds, which is news to upkeep each time.
		for range 48 {
			time.Sleep(5 * time.Second)
			if peers := h.open(); len(peers) >= keep {
				peers[len(peers)-1].cut()
			}
		}
		require.GreaterOrEqual(t, p.Stat().Retired[RetiredPeerClosed], int64(40))
		pinged := map[int]int{}
		for _, s := range h.requests("ping")[first:] {
			pinged[s.peer]++
		}
		for number := 1; number < keep; number++ {
			require.InDelta(t, 240/15, pinged[number], 2, "connection %d", number)
		}
	})
}

func TestMaintenance_GoesOnDuringSlowPings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := m.start(t, sizes(32, 2), func(c *Config) {
			c.HealthCheckInterval, c.MaxIdleTime = 100*time.Millisecond, time.Minute
		})
		// Upkeep has one of them in its hands at nearly every moment.
		size := func(l LaneStat) int { return l.Idle + l.InUse }
		fill(t, m, p, 12)
		h.on(func(*peer, *request) bool { time.Sleep(20 * time.Millisecond); return false })
		time.Sleep(10 * time.Second)
		require.Equal(t, 2, size(p.Stat().Search))
		service := h.bindsOf(ldaptest.ServiceDN)
		for _, o := range h.open() {
			if slices.ContainsFunc(service, func(s seen) bool { return s.peer == o.number }) {
				o.cut()
			}
		}
		time.Sleep(4 * time.Second) // two dials, one after the other, a second apart at most
		require.Equal(t, 2, size(p.Stat().Search), "what ended is replaced")
		time.Sleep(2 * time.Minute)
		require.LessOrEqual(t, size(p.Stat().Bind), 3, "what nobody uses goes")
	})
}

// refusedSearcher makes a pool whose search connections work and whose next was refused: the
// service password was changed at the directory.
func refusedSearcher(t *testing.T, m *fakeNet, changes ...func(*Config)) *Pool {
	t.Helper()
	h := m.hosts["one"]
	p := m.start(t, append([]func(*Config){sizes(32, 2)}, changes...)...)
	time.Sleep(5 * time.Second)
	h.refuseService()
	before := len(h.bindsOf(ldaptest.ServiceDN))
	g := hold(h, "search")
	var done []<-chan error
	for range p.Stat().Search.Idle + 1 {
		done = append(done, searchLater(t.Context(), p))
	}
	time.Sleep(100 * time.Millisecond)
	g.open()
	for _, d := range done {
		require.NoError(t, <-d)
	}
	h.on(nil)
	require.Len(t, h.bindsOf(ldaptest.ServiceDN)[before:], 1)
	require.Equal(t, ServerSuspect, h.state(p))
	require.ErrorContains(t, p.Stat().Servers[0].LastErr, "the service identity was refused")
	return p
}

func TestServicePassword_RejectedOneLeavesUsersBindsTheirDials(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := refusedSearcher(t, m)
		refusals := len(h.bindsOf(ldaptest.ServiceDN))
		require.True(t, p.Stat().Usable)
		g := hold(h, "bind")
		began := time.Now()
		var done []<-chan error
		for range 6 {
			done = append(done, bindLater(t.Context(), p))
		}
		for range done {
			g.await(t)
		}
		require.Zero(t, time.Since(began), "all six are at the directory at one time")
		g.open()
		for _, d := range done {
			require.NoError(t, <-d)
		}
		mustSearch(t, p)
		require.Len(t, h.bindsOf(ldaptest.ServiceDN), refusals, "the service identity is left alone")
	})
}

func TestServicePassword_RejectedOneIsAnOutageWithoutSearchConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := refusedSearcher(t, m)
		mustBind(t, p)
		service := h.bindsOf(ldaptest.ServiceDN)
		for _, o := range h.open() {
			if slices.ContainsFunc(service, func(s seen) bool { return s.peer == o.number }) {
				o.cut()
			}
		}
		time.Sleep(time.Second)
		for range 8 {
			require.False(t, p.Stat().Usable)
			require.Equal(t, ServerDown, h.state(p))
			require.True(t, p.Stat().Ready, "it was, since the start")
			began := time.Now()
			_, err := p.Search(t.Context(), people())
			requireUnavailable(t, err, "ldap://one")
			require.ErrorContains(t, err, "the service identity was refused")
			_, err = p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
			requireUnavailable(t, err, "ldap://one")
			require.Zero(t, time.Since(began))
			time.Sleep(time.Minute)
		}
		h.set(func(h *host) { h.passwords[ldaptest.ServiceDN] = ldaptest.ServicePassword })
		time.Sleep(refusalLatest)
		require.True(t, p.Stat().Usable)
		mustSearch(t, p)
		mustBind(t, p)
	})
}

func TestReady_AfterTheServiceBind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		h.refuseService()
		p := m.start(t)
		for range 10 {
			time.Sleep(7 * time.Second)
			require.False(t, p.Stat().Ready, "an answer is not enough")
			require.False(t, p.Stat().Usable)
			require.False(t, p.Stat().Servers[0].Answered.IsZero())
		}
		h.set(func(h *host) { h.passwords[ldaptest.ServiceDN] = ldaptest.ServicePassword })
		time.Sleep(refusalLatest)
		require.True(t, p.Stat().Ready)
		require.True(t, p.Stat().Servers[0].Ready)
		h.refuse(true)
		becomes(t, p, h, ServerDown)
		require.True(t, p.Stat().Ready, "it says nothing of now")
		require.False(t, p.Stat().Usable)
	})
}

func TestReady_AfterTheFirstAnswerWithoutAServiceIdentity(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Config){
		"anonymous": func(c *Config) { c.BindDN, c.BindPassword = "", "" },
		"bind only": bindOnly,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet()
				m.hosts["one"].refuseService() // which nobody asks about
				p := m.start(t, change)
				time.Sleep(time.Second)
				require.True(t, p.Stat().Ready)
				require.Empty(t, m.hosts["one"].bindsOf(ldaptest.ServiceDN))
			})
		})
	}
}

func TestQueue_ZeroWaitersStillGrowThePool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(6, 1), func(c *Config) { c.MaxWaiters = -1 })
		time.Sleep(2 * time.Second)
		require.Equal(t, 1, p.Stat().Bind.Idle)
		g := hold(m.hosts["one"], "bind")
		began := time.Now()
		var done []<-chan error
		for range 5 {
			done = append(done, bindLater(t.Context(), p))
		}
		for range done {
			g.await(t)
		}
		require.Zero(t, time.Since(began))
		searches := hold(m.hosts["one"], "search")
		done = append(done, searchLater(t.Context(), p))
		searches.await(t)
		for _, ask := range []func(context.Context, *Pool) <-chan error{bindLater, searchLater} {
			require.ErrorIs(t, <-ask(t.Context(), p), ErrOverloaded)
		}
		require.Zero(t, time.Since(began), "there is no place, and nobody may wait")
		searches.open()
		g.open()
		for _, d := range done {
			require.NoError(t, <-d)
		}
	})
}

func TestError_NamesTheCallersDeadline(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		given time.Duration // to the caller; 0: no deadline
		when  func(t *testing.T, m *fakeNet, p *Pool)
		kind  error // nil: whether a dial is under way by then decides
		after time.Duration
		says  bool
	}{
		{"the directory has the request", 100 * time.Millisecond, holdBinds, ErrTimeout, 100 * time.Millisecond, true},
		{"every connection is in use", 100 * time.Millisecond, holdBindsAndOne, ErrOverloaded, 100 * time.Millisecond, true},
		{"an idle connection is asked for a sign of life", 100 * time.Millisecond, hang, nil, 100 * time.Millisecond, true},
		{"it is later than RequestTimeout", time.Minute, holdBinds, ErrTimeout, 5 * time.Second, false},
		{"it is later than MaxWait", time.Minute, holdBindsAndOne, ErrOverloaded, 2 * time.Second, false},
		{"there is none", 0, holdBinds, ErrTimeout, 5 * time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet()
				p := m.start(t, sizes(2, 1))
				time.Sleep(2 * time.Second)
				c.when(t, m, p)
				ctx := t.Context()
				if c.given > 0 {
					ctx = within(t, c.given)
				}
				began := time.Now()
				_, err := p.Bind(ctx, ldaptest.UserDN(2), ldaptest.Password(2))
				if c.kind != nil {
					requireFault(t, err, c.kind)
				}
				require.Equal(t, c.after, time.Since(began))
				if c.says {
					require.ErrorIs(t, err, context.DeadlineExceeded)
				} else {
					require.NotErrorIs(t, err, context.DeadlineExceeded)
				}
			})
		})
	}
}

// holdBinds keeps answers to users' binds back until the test ends.
func holdBinds(t *testing.T, m *fakeNet, _ *Pool) {
	t.Helper()
	g := hold(m.hosts["one"], "bind")
	t.Cleanup(g.open)
}

// holdBindsAndOne does so while the only connection for binds is in use.
func holdBindsAndOne(t *testing.T, m *fakeNet, p *Pool) {
	t.Helper()
	g, first := exhaust(t, m, p)
	searches := hold(m.hosts["one"], "search")
	second := searchLater(t.Context(), p)
	searches.await(t)
	t.Cleanup(func() {
		g.open()
		searches.open()
		<-first
		<-second
	})
}

// hang makes the directory answer nothing until the test ends.
func hang(t *testing.T, m *fakeNet, _ *Pool) {
	t.Helper()
	m.hosts["one"].pause()
	t.Cleanup(m.hosts["one"].resume)
}

func TestQueue_MaxWaitBoundsAllWaitsOfAnOperation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind  string
		later func(context.Context, *Pool) <-chan error
	}{{"bind", bindLater}, {"search", searchLater}} {
		t.Run(c.kind, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet()
				h := m.hosts["one"]
				p := m.start(t, sizes(2, 1))
				time.Sleep(2 * time.Second)
				// Of two callers the second waits, gets the connection, loses it, and waits for
				// another in vain.
				h.on(func(o *peer, r *request) bool {
					if r.kind != c.kind {
						return false
					}
					h.on(func(o *peer, r *request) bool {
						if r.kind == c.kind {
							h.set(func(h *host) { h.dropsDials = true })
							o.cut()
						}
						return r.kind == c.kind
					})
					time.Sleep(1500 * time.Millisecond)
					return false
				})
				// The other lane's connection is in use, too.
				other := mustAcquire(t, p, map[string]core.Lane{"bind": core.Search, "search": core.Bind}[c.kind])
				defer other.release()
				began := time.Now()
				first := c.later(t.Context(), p)
				synctest.Wait()
				err := <-c.later(t.Context(), p)
				require.NoError(t, <-first)
				require.Equal(t, 2*time.Second, time.Since(began))
				var op *OpError
				require.ErrorAs(t, err, &op)
				require.Equal(t, ErrUnavailable, op.Kind)
				require.Equal(t, 2*time.Second, op.Wait)
				require.Zero(t, p.Stat().Retries, "it was never sent again")
			})
		})
	}
}

// The dial of a bind's connection failed, the probe found the server well, and so on for as long as
// callers would wait.
func TestDial_IsPacedIfOnlyServiceConnectionsLive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := m.start(t, sizes(4, -1))
		mustSearch(t, p)
		synctest.Wait()
		h.on(func(p *peer, r *request) bool {
			if r.kind == "ping" {
				p.cut()
			}
			return r.kind == "ping"
		})
		from := len(h.attempts())
		began := time.Now()
		for time.Since(began) < 10*time.Second {
			_, err := p.Bind(context.Background(), ldaptest.UserDN(1), ldaptest.Password(1))
			require.ErrorIs(t, err, ErrUnavailable)
			time.Sleep(time.Millisecond)
		}
		require.Less(t, len(h.attempts())-from, 4*10*int(time.Second/probeSoonest))
		h.on(nil)
		time.Sleep(probeLatest)
		mustBind(t, p)
	})
}
