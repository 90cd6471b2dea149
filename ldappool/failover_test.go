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

	"github.com/stretchr/testify/require"
)

// startAtFirst makes a pool that knows both servers to be well, and whose connections all go to
// "one".
func startAtFirst(t *testing.T, m *fakeNet, changes ...func(*Config)) *Pool {
	t.Helper()
	two := m.hosts["two"]
	two.on(func(*peer, *request) bool { time.Sleep(10 * time.Millisecond); return false }) // "one" is found first
	p := m.start(t, append([]func(*Config){probing}, changes...)...)
	becomes(t, p, two, ServerUsable)
	two.on(nil)
	time.Sleep(5 * time.Second)
	return p
}

// probing makes probes search, as the service configures it.
func probing(c *Config) { c.ProbeSearch = base(ldaptest.PeopleDN) }

// becomes waits in the bubble for a server's state.
func becomes(t *testing.T, p *Pool, h *host, state ServerState) {
	t.Helper()
	for range 6000 {
		if h.state(p) == state {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	require.FailNow(t, "a minute has passed", "%s is %v and not %v", h.name, h.state(p), state)
}

// conns are the open connections to a server, as the pool has it.
func (h *host) conns(p *Pool) int {
	for _, s := range p.Stat().Servers {
		if s.URL == h.url() {
			return s.Conns
		}
	}
	return 0
}

// dials collects the attempts at connections that were no probes.
type dials struct {
	mu  sync.Mutex
	all []DialEvent
}

func (d *dials) trace(c *Config) {
	c.Trace.Dialed = func(e DialEvent) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if !e.Probe {
			d.all = append(d.all, e)
		}
	}
}

// to are those to a server so far.
func (d *dials) to(h *host) []DialEvent {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(d.all), func(e DialEvent) bool { return e.Server != h.url() })
}

// bindOnly has nothing but users' binds be asked for.
func bindOnly(c *Config) { c.BindOnly = true }

// The idle connections tell that the server hangs, half a second before anybody's wait is over. A
// caller that waits for a dial to it, and not for a ping, must profit from that.
func TestFailover_HungDialsToASuspectServerDelayNobody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		size, callers int
		changes       func(*Config)
	}{
		{2, 3, bindOnly},
		{2, 3, func(*Config) {}},
		{3, 4, func(*Config) {}},
		{4, 4, func(*Config) {}},
		{32, 4, func(*Config) {}},
		{32, 10, func(*Config) {}}, // as many dials as may be at one time
		{32, 30, func(*Config) {}},
	} {
		t.Run(fmt.Sprintf("%d callers, MaxConns %d", c.callers, c.size), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet("one", "two")
				one, two := m.hosts["one"], m.hosts["two"]
				var seen dials
				p := startAtFirst(t, m, c.changes, seen.trace, sizes(c.size, 2))
				require.Positive(t, p.Stat().Bind.Idle)
				one.pause()
				began := time.Now()
				var done []<-chan error
				for range c.callers {
					done = append(done, bindLater(t.Context(), p))
				}
				for _, d := range done {
					require.NoError(t, <-d)
				}
				// A connection to a server that hangs takes a moment to close, which matters where
				// there is one place.
				require.LessOrEqual(t, time.Since(began), pingTimeout+2*closeTimeout)
				require.Len(t, two.bindsOf(ldaptest.UserDN(1)), c.callers)
				time.Sleep(p.config().DialTimeout + 2*closeTimeout)
				for _, e := range seen.to(one) {
					require.LessOrEqual(t, e.Took, pingTimeout+2*closeTimeout, "nobody waits for it any more")
				}
				require.NotErrorIs(t, p.Stat().Servers[0].LastErr, context.Canceled, "a dial that was given up says nothing")
				one.resume()
			})
		})
	}
}

func TestFailover_HungDialsToTheOnlyServerGiveWayToTheProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := m.start(t, sizes(32, 1))
		time.Sleep(5 * time.Second)
		h.pause()
		callers := []<-chan error{bindLater(t.Context(), p), bindLater(t.Context(), p), bindLater(t.Context(), p)}
		time.Sleep(pingTimeout)
		synctest.Wait()
		require.Equal(t, ServerSuspect, h.state(p))
		require.Zero(t, p.Stat().Bind.Dialing)
		h.resume() // the probe is under way
		for _, done := range callers {
			require.NoError(t, <-done)
		}
	})
}

func TestFailover_SkipsIdleConnectionsToASuspectServer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind  string
		later func(context.Context, *Pool) <-chan error
	}{{"bind", bindLater}, {"search", searchLater}} {
		t.Run(c.kind, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet("one", "two")
				p := startAtFirst(t, m, sizes(32, -1))
				fillBy(t, m, 6, c.kind, func() <-chan error { return c.later(t.Context(), p) })
				time.Sleep(2 * time.Second)
				m.hosts["one"].pause()
				began := time.Now()
				require.NoError(t, <-c.later(t.Context(), p))
				require.Equal(t, pingTimeout, time.Since(began), "one connection's ping tells of all")
				time.Sleep(2 * closeTimeout)
				gone := p.Stat().Retired
				require.EqualValues(t, 1, gone[RetiredPing])
				require.EqualValues(t, 5, gone[RetiredServerDown])
				m.hosts["one"].resume()
			})
		})
	}
}

// leaving collects when connections were given up for a better server, by lane.
type leaving struct {
	mu   sync.Mutex
	when map[Lane][]time.Time
	from []string
}

func (l *leaving) trace(c *Config) {
	l.when = map[Lane][]time.Time{}
	c.Trace.Retired = func(e RetireEvent) {
		if e.Reason != RetiredReplaced {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.when[e.Lane] = append(l.when[e.Lane], time.Now())
		l.from = append(l.from, e.Server)
	}
}

// servers are those that they went to, in order.
func (l *leaving) servers() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.from)
}

func TestFailback_StartsWhenTheFirstServerIsStable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		size, idle int
		changes    func(*Config)
	}{
		{32, 2, func(*Config) {}},
		{32, 5, func(*Config) {}},
		{3, 1, func(*Config) {}},
		{4, 1, func(*Config) {}},
		{2, 1, bindOnly},
		{4, 2, bindOnly},
	} {
		t.Run(fmt.Sprintf("MaxConns %d, MinIdleConns %d", c.size, c.idle), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet("one", "two")
				one, two := m.hosts["one"], m.hosts["two"]
				one.refuse(false)
				var seen leaving
				p := m.start(t, sizes(c.size, c.idle), c.changes, seen.trace)
				time.Sleep(5 * time.Second)
				away := two.conns(p)
				require.Positive(t, away)
				one.accept()
				becomes(t, p, one, ServerUsable)
				home := time.Now()
				for two.conns(p) > 0 && time.Since(home) < 5*time.Minute {
					time.Sleep(50 * time.Millisecond)
					mustBind(t, p)
					if !p.config().BindOnly {
						mustSearch(t, p)
					}
				}
				require.Zero(t, two.conns(p))
				require.Equal(t, "ldap://one", mustBind(t, p).Server)

				require.Len(t, seen.servers(), away, "each connection leaves once")
				require.NotContains(t, seen.servers(), one.url())
				seen.mu.Lock()
				defer seen.mu.Unlock()
				for lane, when := range seen.when {
					last := home.Add(30*time.Second - p.config().HealthCheckInterval)
					for _, at := range when {
						require.GreaterOrEqual(t, at.Sub(last), p.config().HealthCheckInterval, "%s lane", lane)
						last = at
					}
				}
			})
		})
	}
}

// A first choice that comes and goes is left alone until it stays.
func TestFailback_WaitsWhileTheFirstServerFlaps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		one, two := m.hosts["one"], m.hosts["two"]
		one.refuse(false)
		var seen leaving
		p := m.start(t, seen.trace)
		time.Sleep(5 * time.Second)
		for i := range 8 {
			one.accept()
			becomes(t, p, one, ServerUsable)
			time.Sleep(time.Duration(5+5*(i*i%5)) * time.Second) // cuts at one age each time would be a limit
			one.refuse(true)
			two.abortAll() // so that there is a reason to dial
			synctest.Wait()
			mustSearch(t, p)
			mustBind(t, p)
			becomes(t, p, one, ServerDown)
			time.Sleep(2 * time.Second)
		}
		require.Empty(t, seen.servers())
		require.Positive(t, two.conns(p))
		one.accept()
		for began := time.Now(); two.conns(p) > 0 && time.Since(began) < 2*time.Minute; {
			time.Sleep(time.Second)
		}
		require.Zero(t, two.conns(p))
		require.Len(t, seen.servers(), 4, "both lanes' two")
	})
}

func TestFailover_KeepsTheProbesConnectionOnlyToABetterServer(t *testing.T) {
	t.Parallel()
	for _, size := range []int{3, 4, 32} {
		t.Run(fmt.Sprintf("MaxConns %d", size), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet("one", "two", "zero")
				one, two, zero := m.hosts["one"], m.hosts["two"], m.hosts["zero"]
				two.refuse(false)
				zero.refuse(false)
				p := m.start(t, sizes(size, 1), func(c *Config) { c.Servers = []string{zero.url(), one.url(), two.url()} })
				time.Sleep(5 * time.Second)
				require.Equal(t, 2, one.conns(p))
				two.accept()
				becomes(t, p, two, ServerUsable)
				time.Sleep(2 * closeTimeout)
				require.Zero(t, two.conns(p))
				require.EqualValues(t, 1, p.Stat().Retired[RetiredReplaced])
				require.Equal(t, 2, one.conns(p), "those that logins use stay")
				require.Equal(t, "ldap://one", mustSearch(t, p).Server)

				zero.accept()
				becomes(t, p, zero, ServerUsable)
				time.Sleep(2 * closeTimeout)
				require.Equal(t, 1, zero.conns(p))
				require.Equal(t, "ldap://zero", mustSearch(t, p).Server)
			})
		})
	}
}

// Each place has a connection that works, and a caller for it. A probe of a server that lets dials
// hang would hold a place for seconds, again and again.
func TestFailover_ProbesLeaveWorkingConnectionsTheirSlots(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		size    int
		changes func(*Config)
	}{
		{1, bindOnly},
		{2, bindOnly},
		{2, func(*Config) {}},
		{3, func(*Config) {}},
		{4, func(*Config) {}},
	} {
		t.Run(fmt.Sprintf("MaxConns %d", c.size), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet("one", "two")
				one, two := m.hosts["one"], m.hosts["two"]
				one.refuse(false)
				p := m.start(t, sizes(c.size, 2), c.changes)
				time.Sleep(5 * time.Second)
				one.set(func(h *host) { h.refusing, h.dropsDials = nil, true })
				two.on(func(*peer, *request) bool { time.Sleep(20 * time.Millisecond); return false })
				before := p.Stat()
				began := time.Now()
				var callers sync.WaitGroup
				for i := range c.size {
					callers.Go(func() {
						for time.Since(began) < 20*time.Second {
							ask := bindLater
							if i%2 == 0 && !p.config().BindOnly {
								ask = searchLater
							}
							if err := <-ask(t.Context(), p); err != nil {
								t.Error(err)
							}
						}
					})
				}
				callers.Wait()
				after := p.Stat()
				require.Equal(t, before.Refused, after.Refused)
				require.LessOrEqual(t, after.Retired[RetiredRebalanced]-before.Retired[RetiredRebalanced], int64(2))
			})
		})
	}
}

// Nobody asks anything of the second of two, and that it is gone is to be known before it is
// needed.
func TestFailover_StandbyIsChecked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		one, two := m.hosts["one"], m.hosts["two"]
		p := startAtFirst(t, m)
		require.Zero(t, two.conns(p))
		two.refuse(false)
		began := time.Now()
		becomes(t, p, two, ServerDown)
		require.LessOrEqual(t, time.Since(began), 2*p.config().HealthCheckInterval)
		require.Equal(t, "ldap://one", mustSearch(t, p).Server)
		two.accept()
		becomes(t, p, two, ServerUsable)
		before := len(one.open())
		looks := len(two.attempts())
		time.Sleep(10 * p.config().HealthCheckInterval)
		require.InDelta(t, looks+10, len(two.attempts()), 5, "one in each round, or in each second one")
		require.Zero(t, two.conns(p), "what the look leaves behind is nobody's")
		require.Len(t, one.open(), before)
	})
}

// A server that ends the last connection to it may be going away.
func TestFailover_StandbyThatEndsItsLastConnectionIsCheckedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		one, two := m.hosts["one"], m.hosts["two"]
		one.refuse(false)
		p := m.start(t)
		becomes(t, p, two, ServerUsable)
		time.Sleep(5 * time.Second)
		one.accept()
		becomes(t, p, one, ServerUsable)
		for range 10 { // callers enough for new connections, which go to the first
			bindLater(t.Context(), p)
		}
		time.Sleep(5 * time.Second)
		require.Positive(t, two.conns(p), "none of them has gone home yet")
		two.refuse(true)
		began := time.Now()
		becomes(t, p, two, ServerDown)
		require.LessOrEqual(t, time.Since(began), 2*warmInterval)
	})
}

// A look needs room, and is no reason to take anybody's.
func TestFailover_FullPoolSkipsTheStandbyCheck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		two := m.hosts["two"]
		p := startAtFirst(t, m, sizes(2, 1))
		require.Equal(t, 2, p.Stat().Search.Idle+p.Stat().Bind.Idle)
		looks := len(two.attempts())
		retired := p.Stat().Retired
		time.Sleep(time.Minute)
		require.Len(t, two.attempts(), looks)
		require.Equal(t, retired, p.Stat().Retired)
	})
}
