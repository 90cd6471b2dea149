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

// changes collects the events of the ServerChanged hook.
type changes struct {
	mu  sync.Mutex
	all []ServerEvent
}

func (c *changes) trace(cfg *Config) {
	cfg.Trace.ServerChanged = func(e ServerEvent) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all = append(c.all, e)
	}
}

// to are the states that the server went to, in order.
func (c *changes) to(h *host) []ServerState {
	c.mu.Lock()
	defer c.mu.Unlock()
	var states []ServerState
	for _, e := range c.all {
		if e.Server == h.url() {
			states = append(states, e.To)
		}
	}
	return states
}

func (h *host) state(p *Pool) ServerState {
	for _, s := range p.Stat().Servers {
		if s.URL == h.url() {
			return s.State
		}
	}
	return ServerDown
}

// requireUnavailable checks the error of an operation that no server can serve.
func requireUnavailable(t *testing.T, err error, server string) {
	t.Helper()
	require.ErrorIs(t, err, ErrUnavailable)
	require.NotErrorIs(t, err, ErrOverloaded)
	require.ErrorContains(t, err, server)
	var answer *ldap.Error
	require.NotErrorAs(t, err, &answer, "a fault must not look like an answer of the directory")
}

func TestServer_AbsentOneIsReportedAtOnceWithItsAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		m.hosts["one"].refuse(false)
		p := m.start(t)
		began := time.Now()
		for range 3 {
			_, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
			requireUnavailable(t, err, "ldap://one")
			require.ErrorIs(t, err, errConnRefused)
			_, err = p.Search(t.Context(), people())
			requireUnavailable(t, err, "ldap://one")
		}
		require.Zero(t, time.Since(began))
		require.Equal(t, ServerDown, m.hosts["one"].state(p))
		require.False(t, p.Stat().Usable)
		require.False(t, p.Stat().Ready)
	})
}

func TestServer_PoolStartsWhileAllAreAbsent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		m.hosts["one"].refuse(false)
		m.hosts["two"].refuse(false)
		p := m.start(t)
		time.Sleep(time.Minute)
		_, err := p.Search(t.Context(), people())
		requireUnavailable(t, err, "ldap://one")
		requireUnavailable(t, err, "ldap://two")
		m.hosts["two"].accept()
		time.Sleep(probeLatest)
		mustSearch(t, p)
		mustBind(t, p)
		require.True(t, p.Stat().Usable)
		require.True(t, p.Stat().Ready)
	})
}

func TestServer_SlowOneIsAwaitedAtTheStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		m.hosts["one"].on(func(*peer, *request) bool { time.Sleep(800 * time.Millisecond); return false })
		p := m.start(t)
		mustSearch(t, p)
	})
}

func TestServer_RestartReplacesItsConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		var seen changes
		p := m.start(t, seen.trace)
		time.Sleep(2 * time.Second)
		mustBind(t, p)
		h.refuse(true)
		synctest.Wait()
		began := time.Now()
		_, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
		requireUnavailable(t, err, "ldap://one")
		require.Zero(t, time.Since(began))
		require.Equal(t, ServerDown, h.state(p))
		require.Zero(t, p.Stat().Search.Idle+p.Stat().Bind.Idle)

		time.Sleep(9500 * time.Millisecond)
		h.accept()
		began = time.Now()
		for h.state(p) != ServerUsable {
			time.Sleep(10 * time.Millisecond)
		}
		require.LessOrEqual(t, time.Since(began), probeLatest)
		mustBind(t, p)
		mustSearch(t, p)
		require.Equal(t, []ServerState{ServerUsable, ServerSuspect, ServerDown, ServerUsable}, seen.to(h))
		time.Sleep(1500 * time.Millisecond)
		require.Equal(t, 2, p.Stat().Search.Idle, "it is warm again")
	})
}

func TestProbe_IntervalIsATenthOfTheOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := m.start(t)
		time.Sleep(2 * time.Second)
		h.refuse(true)
		synctest.Wait()
		_, _ = p.Search(t.Context(), people())
		down, from := time.Now(), len(h.attempts())
		time.Sleep(time.Minute)
		probes := h.attempts()[from:]
		last := down
		for i, at := range probes {
			want := min(max(last.Sub(down)/10, probeSoonest), probeLatest)
			require.LessOrEqual(t, at.Sub(last), want, "probe %d", i)
			require.GreaterOrEqual(t, at.Sub(last), want*9/10, "probe %d", i)
			last = at
		}
		require.InDelta(t, 85, len(probes), 15)
	})
}

func TestProbe_RunsWithoutACaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		h.refuse(false)
		p := m.start(t)
		synctest.Wait()
		before := len(h.attempts())
		for range 100 {
			_, err := p.Search(t.Context(), people())
			require.ErrorIs(t, err, ErrUnavailable)
		}
		require.Len(t, h.attempts(), before)
	})
}

func TestFailover_UsesServersInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		one, two := m.hosts["one"], m.hosts["two"]
		p := m.start(t, sizes(32, -1))
		synctest.Wait()
		fill(t, m, p, 3)
		require.Len(t, one.bindsOf(ldaptest.UserDN(1)), 3)
		require.Empty(t, two.bindsOf(ldaptest.UserDN(1)))

		one.refuse(true)
		synctest.Wait()
		began := time.Now()
		require.Equal(t, "ldap://two", mustBind(t, p).Server)
		require.Equal(t, "ldap://two", mustSearch(t, p).Server)
		require.Zero(t, time.Since(began))

		// The first choice is dialled again when it is back.
		one.accept()
		time.Sleep(2 * time.Second)
		two.refuse(true)
		synctest.Wait()
		require.Equal(t, "ldap://one", mustBind(t, p).Server)
		require.Equal(t, "ldap://one", mustSearch(t, p).Server)
	})
}

func TestFailover_AbsentFirstServerDelaysNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		m.hosts["one"].set(func(h *host) { h.dropsDials = true })
		p := m.start(t)
		began := time.Now()
		for range 100 {
			require.Equal(t, "ldap://two", mustBind(t, p).Server)
			time.Sleep(100 * time.Millisecond)
		}
		require.Equal(t, 10*time.Second, time.Since(began))
	})
}

func TestProbe_CallersUseTheWorkingServerMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		m.hosts["one"].set(func(h *host) { h.dropsDials = true })
		p := m.start(t, sizes(32, -1))
		time.Sleep(10 * time.Second)
		for p.Stat().Search.Dialing == 0 {
			time.Sleep(10 * time.Millisecond)
		}
		g := hold(m.hosts["two"], "search")
		began := time.Now()
		var done []<-chan error
		for range 6 {
			done = append(done, searchLater(t.Context(), p))
		}
		for range done {
			g.await(t)
		}
		require.Zero(t, time.Since(began))
		g.open()
		for _, d := range done {
			require.NoError(t, <-d)
		}
	})
}

func TestFailover_CallerLeavesADialToASuspectServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		one, two := m.hosts["one"], m.hosts["two"]
		two.refuse(false)
		p := m.start(t, sizes(32, -1))
		fill(t, m, p, 1)
		two.accept()
		time.Sleep(2 * time.Second)
		one.pause()
		idle := bindLater(t.Context(), p) // pings the connection that there is
		synctest.Wait()
		began := time.Now()
		mustBind(t, p) // dials, and gives that up for the other server when the ping has failed
		require.Equal(t, pingTimeout, time.Since(began))
		require.NoError(t, <-idle)
	})
}

func TestServer_PausedOneIsDetectedAndRecovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		var seen changes
		p := m.start(t, seen.trace)
		time.Sleep(2 * time.Second)
		mustBind(t, p)
		h.pause()
		paused := time.Now()

		// One caller learns of it by its own timeout.
		_, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
		require.ErrorIs(t, err, ErrTimeout)
		require.Equal(t, 5*time.Second, time.Since(paused))
		require.Equal(t, ServerSuspect, h.state(p))

		// The next may wait for MaxWait, nobody longer, and soon every caller gets its error at
		// once.
		for range 10 {
			began := time.Now()
			_, err = p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
			require.ErrorIs(t, err, ErrUnavailable)
			require.LessOrEqual(t, time.Since(began), 2*time.Second+pingTimeout)
		}
		for h.state(p) != ServerDown {
			time.Sleep(10 * time.Millisecond)
		}
		require.LessOrEqual(t, time.Since(paused), 5*time.Second+3*time.Second+pingTimeout+10*time.Millisecond)
		began := time.Now()
		_, err = p.Search(t.Context(), people())
		requireUnavailable(t, err, "ldap://one")
		require.Zero(t, time.Since(began))

		time.Sleep(20 * time.Second)
		h.resume()
		began = time.Now()
		for h.state(p) != ServerUsable {
			time.Sleep(10 * time.Millisecond)
		}
		require.LessOrEqual(t, time.Since(began), probeLatest+3*time.Second)
		mustBind(t, p)
		mustSearch(t, p)
	})
}

func TestServer_DownRetiresItsIdleConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := m.start(t, sizes(32, 6))
		time.Sleep(3 * time.Second)
		h.pause()
		_, err := p.Bind(within(t, time.Second), ldaptest.UserDN(1), ldaptest.Password(1))
		require.Error(t, err)
		for h.state(p) != ServerDown {
			time.Sleep(10 * time.Millisecond)
		}
		require.Zero(t, p.Stat().Search.Idle+p.Stat().Bind.Idle, "at once")
		time.Sleep(2 * closeTimeout)
		require.GreaterOrEqual(t, p.Stat().Retired[RetiredServerDown], int64(8))
		h.resume()
	})
}

func TestIdle_ConnectionToASuspectServerIsAlwaysPinged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := m.start(t, sizes(32, -1))
		fill(t, m, p, 2)
		h.pause()
		_, err := p.Bind(within(t, 600*time.Millisecond), ldaptest.UserDN(2), ldaptest.Password(2))
		require.ErrorIs(t, err, ErrTimeout)
		began := time.Now()
		_, err = p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
		require.ErrorIs(t, err, ErrUnavailable)
		require.LessOrEqual(t, time.Since(began), 2*time.Second+pingTimeout)
		require.Len(t, h.bindsOf(ldaptest.UserDN(1)), 2, "those of before")
		h.resume()
	})
}

func TestFailover_PausedFirstServerGivesWayToTheSecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		p := m.start(t)
		time.Sleep(2 * time.Second)
		m.hosts["one"].pause()
		// The first caller after a quiet while pings, and goes on to the second server by itself.
		time.Sleep(2 * time.Second)
		began := time.Now()
		r, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
		require.NoError(t, err)
		require.Equal(t, "ldap://two", r.Server)
		require.LessOrEqual(t, time.Since(began), 2*pingTimeout)
		for range 10 {
			began = time.Now()
			require.Equal(t, "ldap://two", mustBind(t, p).Server)
			require.Zero(t, time.Since(began))
		}
	})
}

// A directory that has no more room for connections serves those that it has.
func TestServer_AtItsConnectionLimitStaysUsable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		full func(h *host)
	}{
		{"it refuses connections", func(h *host) { h.limit = 4 }},
		{"it closes connections at the first request", func(h *host) {
			h.script = func(p *peer, _ *request) bool {
				if p.number > 4 {
					p.cut()
				}
				return p.number > 4
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet()
				h := m.hosts["one"]
				var seen changes
				p := m.start(t, sizes(16, 2), seen.trace)
				time.Sleep(2 * time.Second)
				h.set(c.full)
				var callers sync.WaitGroup
				for i := range 32 {
					callers.Go(func() {
						for range 20 {
							var err error
							if i%2 == 0 {
								_, err = p.Search(context.Background(), people())
							} else {
								_, err = p.Bind(context.Background(), ldaptest.UserDN(1), ldaptest.Password(1))
							}
							if err != nil {
								t.Error(err)
							}
						}
					})
				}
				callers.Wait()
				for range 30 {
					time.Sleep(time.Second)
					mustSearch(t, p)
					mustBind(t, p)
				}
				require.NotContains(t, seen.to(h), ServerDown)
			})
		})
	}
}

func TestHealth_ImpatientCallerLeavesTheServerUsable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		var seen changes
		p := m.start(t, seen.trace)
		time.Sleep(2 * time.Second)
		h.on(func(*peer, *request) bool { time.Sleep(100 * time.Millisecond); return false })
		for range 10 {
			mustBind(t, p)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			_, err := p.Bind(ctx, ldaptest.UserDN(1), ldaptest.Password(1))
			cancel()
			require.Error(t, err)
		}
		require.Equal(t, []ServerState{ServerUsable}, seen.to(h))
	})
}

func TestDial_IsPacedIfAcceptedConnectionsEndAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		// It proves itself to the pool and then ends each connection that a user's bind comes by.
		h.on(func(p *peer, r *request) bool {
			if r.kind == "bind" && r.dn != ldaptest.ServiceDN {
				p.cut()
				return true
			}
			return false
		})
		p := m.start(t, sizes(8, -1))
		_, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
		require.ErrorIs(t, err, ErrConnLost)
		require.Len(t, h.bindsOf(ldaptest.UserDN(1)), 2, "a bind is sent again once")
		require.LessOrEqual(t, len(h.attempts()), 4)
	})
}

func TestDial_IsPacedIfConnectionsEndAfterTheFirstAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		h.on(func(p *peer, r *request) bool {
			time.Sleep(time.Millisecond)
			p.answer(r)
			p.cut()
			return true
		})
		p := m.start(t, sizes(8, -1), func(c *Config) {
			c.Trace.Dialed = func(DialEvent) { time.Sleep(time.Millisecond) } // the end comes before the first use
		})
		time.Sleep(time.Second)
		for _, later := range []func(context.Context, *Pool) <-chan error{bindLater, searchLater} {
			before := len(h.attempts())
			requireUnavailable(t, <-later(t.Context(), p), "ldap://one: ldappool: directory unavailable: closed by the peer")
			require.Equal(t, deadOnArrival, len(h.attempts())-before)
		}
	})
}

func TestServer_StateComesWithItsError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		var seen changes
		p := m.start(t, seen.trace)
		time.Sleep(2 * time.Second)
		h.refuse(true)
		time.Sleep(2 * time.Second)
		s := p.Stat().Servers[0]
		require.Equal(t, ServerDown, s.State)
		require.ErrorIs(t, s.LastErr, errConnRefused)
		require.Zero(t, s.Conns)
		require.Equal(t, 2*time.Second, time.Since(s.Since).Round(time.Second))
		seen.mu.Lock()
		defer seen.mu.Unlock()
		for _, e := range seen.all {
			require.Equal(t, e.To != ServerUsable, e.Err != nil, "%v", e)
		}
	})
}

// A stranger on the directory's port is not a directory.
func TestServer_WithoutLDAPIsUnavailable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		m.hosts["one"].on(func(p *peer, _ *request) bool {
			p.write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			return true
		})
		p := m.start(t)
		synctest.Wait()
		_, err := p.Search(t.Context(), people())
		requireUnavailable(t, err, "ldap://one")
		require.ErrorContains(t, err, "not an LDAP message")
	})
}

func TestServer_WithSearchConnectionsAloneServesNoLogin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := m.start(t, sizes(4, 1))
		mustSearch(t, p)
		mustBind(t, p)
		h.refuse(false)
		for _, peer := range h.open() {
			if !peer.service {
				peer.cut()
			}
		}
		_, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
		requireFault(t, err, ErrUnavailable)
		mustSearch(t, p)
		time.Sleep(2 * suspectGrace)
		s := p.Stat()
		require.Equal(t, ServerSuspect, s.Servers[0].State, "it still serves searches")
		require.False(t, s.Usable, "and no login")
		h.accept()
		time.Sleep(2 * suspectGrace)
		require.True(t, p.Stat().Usable)
		mustBind(t, p)
	})
}
