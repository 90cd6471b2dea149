package ldappool

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// How long the directories of these tests take.
const (
	dialTakes    = 30 * time.Millisecond
	requestTakes = time.Millisecond
	usualPause   = 20 * time.Millisecond // at most, between two logins of a caller
)

// slowDirectory slows the directory down, so that connections are in use and a wait for a dial is
// visible.
func slowDirectory(_ *peer, r *request) bool {
	if r.kind == "ping" || r.dn == ldaptest.ServiceDN {
		time.Sleep(dialTakes)
	} else if r.kind != "unbind" {
		time.Sleep(requestTakes)
	}
	return false
}

// loginLoad is several callers that log in continuously. None of their logins may fail.
type loginLoad struct {
	t        *testing.T
	pool     *Pool
	all      sync.WaitGroup
	stopped  chan struct{}
	stopOnce sync.Once
	pause    atomic.Int64 // the most between two logins of a caller, in nanoseconds

	mu      sync.Mutex // guards what follows
	logins  int
	longest time.Duration // wait for connections
}

func startLogins(t *testing.T, p *Pool) *loginLoad {
	t.Helper()
	c := &loginLoad{t: t, pool: p, stopped: make(chan struct{})}
	c.pause.Store(int64(usualPause))
	for range 4 {
		c.all.Go(func() {
			for !isClosed(c.stopped) {
				c.login()
				time.Sleep(rand.N(time.Duration(c.pause.Load()))) //nolint:gosec // a test
			}
		})
	}
	return c
}

func (c *loginLoad) login() {
	found, err := c.pool.Search(context.Background(), people())
	if err != nil || len(found.Entries) != 1 {
		c.t.Errorf("search: %v", err)
		return
	}
	bound, err := c.pool.Bind(context.Background(), ldaptest.UserDN(1), ldaptest.Password(1))
	if err != nil || bound.Code != 0 {
		c.t.Errorf("bind: %v", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.logins++
	c.longest = max(c.longest, found.Wait, bound.Wait)
}

// idleFor waits for d with fewer logins.
func (c *loginLoad) idleFor(d time.Duration) {
	c.pause.Store(int64(600 * time.Millisecond)) // and so that no lane gives up to the other what it has not used for a second
	time.Sleep(d)
	c.pause.Store(int64(usualPause))
	time.Sleep(200 * time.Millisecond)
}

// took returns the longest wait since the last call.
func (c *loginLoad) took() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	longest := c.longest
	c.longest = 0
	return longest
}

func (c *loginLoad) stop() {
	c.stopOnce.Do(func() { close(c.stopped) })
	c.all.Wait()
}

// loadedPool is a pool with a loginLoad, and the events of its hooks.
type loadedPool struct {
	*fakeNet
	pool  *Pool
	load  *loginLoad
	conns int

	mu      sync.Mutex // guards what follows
	adopted []time.Duration
	errs    []error // of dials
}

// underLoad plays with pools of 2, 4 and 16 connections to "one" that are in use all the time.
func underLoad(t *testing.T, play func(t *testing.T, s *loadedPool), change ...func(*Config)) {
	t.Helper()
	for _, conns := range []int{2, 4, 16} {
		t.Run(fmt.Sprintf("MaxConns %d", conns), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &loadedPool{fakeNet: newFakeNet("one", "two", "three"), conns: conns}
				for _, h := range s.hosts {
					h.on(slowDirectory)
				}
				s.pool = s.start(t, append([]func(*Config){sizes(conns, 4), servers("one"), func(c *Config) { c.Trace = s.trace() }}, change...)...)
				time.Sleep(time.Second)
				s.load = startLogins(t, s.pool)
				time.Sleep(2 * time.Second)
				s.load.took()
				defer s.load.stop()
				play(t, s)
				s.load.stop()
				synctest.Wait()
				require.NoError(t, s.pool.audit())
				require.Greater(t, s.load.logins, 100)
			})
		})
	}
}

func (s *loadedPool) trace() Trace {
	return Trace{
		Reconfigured: func(took time.Duration) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.adopted = append(s.adopted, took)
		},
		Dialed: func(e DialEvent) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if e.Err != nil {
				s.errs = append(s.errs, e.Err)
			}
		},
	}
}

// reconfigure changes the configuration in force.
func (s *loadedPool) reconfigure(t *testing.T, changes ...func(*Config)) {
	t.Helper()
	require.NoError(t, reconfigure(s.pool, changes...))
}

func reconfigure(p *Pool, changes ...func(*Config)) error {
	cfg := *p.config()
	for _, change := range changes {
		change(&cfg)
	}
	return p.Reconfigure(cfg)
}

// isAdopted requires that the last configuration is taken up within d, without more than the wait
// that a login may have.
func (s *loadedPool) isAdopted(t *testing.T, d, wait time.Duration) {
	t.Helper()
	for until := time.Now().Add(d); s.outdated() > 0; time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(until), "%+v", s.pool.Stat())
	}
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Len(t, s.adopted, 1)
	require.LessOrEqual(t, s.adopted[0], d)
	if s.conns == 2 {
		wait = 4 * dialTakes // a successor needs the place of another
	}
	require.LessOrEqual(t, s.load.took(), wait, "a login waited for longer than that")
	_, open := s.used()
	require.LessOrEqual(t, open, s.conns)
}

// total is how many connections there are.
func total(st *Stat) int { return st.Search.Idle + st.Search.InUse + st.Bind.Idle + st.Bind.InUse }

func (s *loadedPool) outdated() int {
	st := s.pool.Stat()
	return st.Search.Outdated + st.Bind.Outdated
}

func servers(names ...string) func(*Config) {
	return func(c *Config) {
		c.Servers = nil
		for _, name := range names {
			c.Servers = append(c.Servers, "ldap://"+name)
		}
	}
}

func password(is string) func(*Config) { return func(c *Config) { c.BindPassword = is } }

func TestReconfigure_NewPasswordBesideTheOldIsAdoptedAtOnce(t *testing.T) {
	t.Parallel()
	underLoad(t, func(t *testing.T, s *loadedPool) {
		t.Helper()
		h := s.hosts["one"]
		h.set(func(h *host) { h.second = "new" })
		before := s.pool.Stat()
		s.reconfigure(t, password("new"))
		require.Equal(t, before.Search.Idle+before.Search.InUse, s.outdated(), "binds as users are not outdated by it")
		s.isAdopted(t, 5*time.Second, dialTakes)
		h.set(func(h *host) { h.passwords[ldaptest.ServiceDN], h.second = "new", "" })
		time.Sleep(2 * time.Second)
		after := s.pool.Stat()
		require.Zero(t, h.refusedDials())
		require.Positive(t, after.Retired[RetiredReplaced])
		require.GreaterOrEqual(t, total(after), total(before))
		require.LessOrEqual(t, total(after), total(before)+4, "one for one; those that the four callers have are not idle, and may have been made up for")
		require.Equal(t, ServerUsable, h.state(s.pool))
	})
}

func TestReconfigure_PasswordChangedFirstInTheDirectoryFailsNoLogin(t *testing.T) {
	t.Parallel()
	underLoad(t, func(t *testing.T, s *loadedPool) {
		t.Helper()
		h := s.hosts["one"]
		h.changePassword("new")
		pause := 40 * time.Second
		if s.conns == 16 {
			pause = 3 * time.Minute // some are beyond their age, and the others are not replaced
		}
		s.load.idleFor(pause)
		s.load.took()
		refused := h.refusedDials()
		s.reconfigure(t, password("new"))
		// Each connection is pinged before its use while the server is in doubt, and a ping takes
		// as long as a dial here.
		s.isAdopted(t, 5*time.Second, 5*dialTakes)
		require.InDelta(t, refused, h.refusedDials(), 1, "but one that was just being dialled")
		require.Equal(t, ServerUsable, h.state(s.pool))
	}, func(c *Config) { c.MaxLifetime, c.MaxIdleTime = time.Minute, 30*time.Second })
}

func TestReconfigure_PasswordChangedFirstInThePoolIsTriedRarely(t *testing.T) {
	t.Parallel()
	underLoad(t, func(t *testing.T, s *loadedPool) {
		t.Helper()
		h := s.hosts["one"]
		s.reconfigure(t, password("new"))
		s.load.idleFor(4 * time.Minute) // connections are older than they may get, and nothing takes their place
		require.InDelta(t, 4, h.refusedDials(), 1, "after 0, 30, 90 and 210 s")
		require.Equal(t, ServerSuspect, h.state(s.pool))
		st := s.pool.Stat()
		require.ErrorContains(t, st.Servers[0].LastErr, "the service identity was refused")
		require.True(t, st.Usable)
		require.Positive(t, st.Search.Outdated)
		h.changePassword("new")
		s.load.idleFor(4*time.Minute + time.Second)
		require.Zero(t, s.outdated())
		require.InDelta(t, 4, h.refusedDials(), 1)
		require.Equal(t, ServerUsable, h.state(s.pool))

		// Back again: the pace of tries starts over, with one at once.
		s.load.took()
		tried := len(h.bindsOf(ldaptest.ServiceDN))
		s.reconfigure(t, password("wrong"))
		time.Sleep(time.Second)
		require.Len(t, h.bindsOf(ldaptest.ServiceDN)[tried:], 1)
		s.reconfigure(t, password("new"))
		time.Sleep(time.Second)
		require.Zero(t, s.outdated())
		require.Equal(t, ServerUsable, h.state(s.pool))
	}, func(c *Config) { c.MaxLifetime, c.MaxIdleTime = time.Minute, 30*time.Second })
}

func TestReconfigure_PasswordRejectedByTwoServersFailsNoLogin(t *testing.T) {
	t.Parallel()
	underLoad(t, func(t *testing.T, s *loadedPool) {
		t.Helper()
		s.reconfigure(t, servers("one", "two"))
		time.Sleep(5 * time.Second)
		s.reconfigure(t, password("new"))
		s.load.idleFor(20 * time.Second)
		require.LessOrEqual(t, s.hosts["one"].refusedDials()+s.hosts["two"].refusedDials(), 3)
		s.reconfigure(t, password(ldaptest.ServicePassword))
		s.load.idleFor(20 * time.Second)
		require.Zero(t, s.outdated())
		// Where no connection can be spared, one server that works is enough.
		states := []ServerState{s.hosts["one"].state(s.pool), s.hosts["two"].state(s.pool)}
		require.Contains(t, states, ServerUsable)
		require.True(t, s.conns < 16 || states[0] == states[1], "%v", states)
	})
}

func TestReconfigure_MovesConnectionsToAnotherServer(t *testing.T) {
	t.Parallel()
	underLoad(t, func(t *testing.T, s *loadedPool) {
		t.Helper()
		one, two := s.hosts["one"], s.hosts["two"]
		s.reconfigure(t, servers("two"))
		require.True(t, s.pool.Stat().Usable)
		require.True(t, s.pool.Stat().Ready)
		require.Len(t, s.pool.Stat().Servers, 1)
		dialled := len(one.attempts())
		if s.conns == 2 {
			time.Sleep(time.Second) // there is no room for a successor: those that there are go on until they end
			require.Len(t, one.open(), 2)
			one.refuse(true)
			time.Sleep(time.Second)
			require.Zero(t, s.outdated())
		} else {
			s.isAdopted(t, 5*time.Second, dialTakes)
		}
		time.Sleep(time.Second)
		require.Empty(t, one.open())
		require.Len(t, one.attempts(), dialled)
		require.NotEmpty(t, two.open())
		s.pool.mu.Lock()
		defer s.pool.mu.Unlock()
		require.Len(t, s.pool.stores, 1, "of the server that left")
	})
}

func TestReconfigure_BrokenNewServerFailsNoLogin(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(h *host){
		"refuses": func(h *host) { h.refuse(false) },
		"hangs":   func(h *host) { h.pause() },
		"deaf":    func(h *host) { h.set(func(h *host) { h.dropsDials = true }) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			underLoad(t, func(t *testing.T, s *loadedPool) {
				t.Helper()
				fault(s.hosts["two"])
				s.reconfigure(t, servers("two"))
				pause := time.Minute
				if s.conns > 2 {
					pause = 3 * time.Minute // connections are older than they may get, and nothing takes their place
				}
				s.load.idleFor(pause)
				require.NotEqual(t, ServerUsable, s.hosts["two"].state(s.pool))
				s.reconfigure(t, servers("three", "two"))
				if s.conns == 2 {
					s.hosts["one"].abortAll()
				}
				time.Sleep(5 * time.Second)
				require.Zero(t, s.outdated())
				require.Empty(t, s.hosts["one"].open())
			}, func(c *Config) { c.MaxLifetime, c.MaxIdleTime = 2*time.Minute, 30*time.Second })
		})
	}
}

func TestReconfigure_AdoptsAuthoritiesAndNamesWrongOnes(t *testing.T) {
	t.Parallel()
	old, next, wrong := ldaptest.NewCA(t), ldaptest.NewCA(t), ldaptest.NewCA(t)
	now := time.Now() // a bubble begins in another century
	with := func(ca *ldaptest.CA) func(*Config) {
		cfg := ca.ClientTLS("")
		cfg.Time = func() time.Time { return now }
		return func(c *Config) { c.TLS, c.Servers = cfg, []string{"ldaps://one"} }
	}
	withOld := with(old)
	oldCert, newCert := old.ServerTLS(t, "one"), next.ServerTLS(t, "one")
	oldCert.MaxVersion, newCert.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 // in 1.3 both sides write at once, which a pipe does not carry
	for _, conns := range []int{4, 16} {
		t.Run(fmt.Sprintf("MaxConns %d", conns), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &loadedPool{fakeNet: newFakeNet("one"), conns: conns}
				h := s.hosts["one"]
				h.tls = oldCert
				h.on(slowDirectory)
				s.pool = s.start(t, sizes(conns, 2), withOld, func(c *Config) { c.Trace = s.trace() })
				time.Sleep(time.Second)
				s.load = startLogins(t, s.pool)
				defer s.load.stop()
				time.Sleep(time.Second)

				s.reconfigure(t, withOld)
				require.Zero(t, s.outdated())
				s.reconfigure(t, with(wrong))
				s.load.idleFor(2 * time.Minute)
				require.ErrorContains(t, s.pool.Stat().Servers[0].LastErr, "certificate")
				require.Equal(t, ServerSuspect, s.pool.Stat().Servers[0].State)
				require.True(t, s.pool.Stat().Usable)

				h.set(func(h *host) { h.tls = newCert })
				s.reconfigure(t, with(next))
				time.Sleep(5 * time.Second)
				require.Zero(t, s.outdated())
				require.Equal(t, ServerUsable, s.pool.Stat().Servers[0].State)
				s.load.stop()
				require.Greater(t, s.load.logins, 100)
			})
		})
	}
}

func TestReconfigure_LimitsApplyAtOnceAndKeepConnections(t *testing.T) {
	t.Parallel()
	underLoad(t, func(t *testing.T, s *loadedPool) {
		t.Helper()
		before := s.pool.Stat()
		s.reconfigure(t, sizes(20, 6), func(c *Config) { c.RequestTimeout, c.MaxLifetime = 2*time.Second, time.Hour })
		require.Zero(t, s.outdated())
		time.Sleep(5 * time.Second)
		after := s.pool.Stat()
		require.Equal(t, before.Retired, after.Retired)
		require.GreaterOrEqual(t, after.Bind.Idle+after.Bind.InUse, 6)
		require.Equal(t, 20, after.MaxConns)

		for _, conns := range []int{7, 2, 1, 2, 16} {
			s.reconfigure(t, sizes(conns, 1))
			time.Sleep(500 * time.Millisecond)
			open, _ := s.used()
			require.LessOrEqual(t, open, conns)
		}
		require.Len(t, s.adopted, 6)
	})
}

func TestReconfigure_FiftyTimesUnderLoad(t *testing.T) {
	t.Parallel()
	underLoad(t, func(t *testing.T, s *loadedPool) {
		t.Helper()
		s.hosts["one"].set(func(h *host) { h.second = "new" })
		s.hosts["two"].set(func(h *host) { h.second = "new" })
		for i := range 50 {
			changes := []func(*Config){servers("one"), password("new"), servers("two", "one"), sizes(s.conns, 3), password(ldaptest.ServicePassword), sizes(max(s.conns/2, 2), 1), servers("one", "three")}
			s.reconfigure(t, changes[i%len(changes)])
			time.Sleep([]time.Duration{0, time.Millisecond, 20 * time.Millisecond, 500 * time.Millisecond}[i%4])
		}
		s.reconfigure(t, servers("one"), sizes(s.conns, 2), password("new"))
		if time.Sleep(time.Second); s.conns == 2 {
			s.hosts["two"].abortAll() // there is no room to replace them
			s.hosts["three"].abortAll()
		}
		time.Sleep(10 * time.Second)
		require.Zero(t, s.outdated())
		require.Empty(t, s.hosts["two"].open())
		require.Empty(t, s.hosts["three"].open())
		require.Zero(t, s.hosts["one"].refusedDials()+s.hosts["two"].refusedDials())
	})
}

func TestClose_ReportsNoEndOfAReconfiguration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one")
		adopted := 0
		p := m.start(t, func(c *Config) { c.Trace.Reconfigured = func(time.Duration) { adopted++ } })
		time.Sleep(time.Second)
		require.NoError(t, reconfigure(p, password("wrong")))
		time.Sleep(time.Second)
		require.NoError(t, p.Close(t.Context()))
		require.Zero(t, adopted, "no connection has the new password")
	})
}

func TestReconfigure_RacesClose(t *testing.T) {
	t.Parallel()
	for i := range 50 {
		synctest.Test(t, func(t *testing.T) {
			m := newFakeNet("one", "two")
			p := m.start(t, servers("one"))
			time.Sleep(time.Second)
			var all sync.WaitGroup
			for n := range 20 {
				all.Go(func() {
					time.Sleep(time.Duration(n) * time.Millisecond)
					err := reconfigure(p, servers([]string{"one", "two"}[n%2]), password(fmt.Sprint(n)))
					if err != nil {
						assert.ErrorIs(t, err, ErrClosed)
					}
				})
			}
			time.Sleep(time.Duration(i%20) * time.Millisecond)
			require.NoError(t, p.Close(t.Context()))
			all.Wait()
			require.ErrorIs(t, reconfigure(p), ErrClosed)
		})
	}
}

func TestReconfigure_WrongConfigurationChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t)
		before := p.config()
		err := p.Reconfigure(Config{Servers: []string{"http://one", "ldap:"}, BindDN: "cn=a", BindPassword: "b"})
		require.ErrorContains(t, err, `"http://one"`)
		require.ErrorContains(t, err, `"ldap:"`)
		err = p.Reconfigure(Config{BindDN: "cn=a", MaxConns: -1, MaxWait: -1})
		for _, field := range []string{"Servers", "BindDN", "MaxConns", "MaxWait"} {
			require.ErrorContains(t, err, "Config."+field)
		}
		require.Same(t, before, p.config())
		mustSearch(t, p)
		require.NoError(t, p.Reconfigure(Config{Servers: before.Servers, Trace: before.Trace, Dial: before.Dial}))
		require.Equal(t, 3*time.Second, p.config().DialTimeout)
		require.Equal(t, 32, p.config().MaxConns)
	})
}

func TestReconfigure_ServerInBothKeepsItsState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		p := m.start(t, servers("one", "two"))
		time.Sleep(time.Second)
		one, two := serverOf(p, 0), serverOf(p, 1)
		m.hosts["two"].abortAll() // it may have been found first
		time.Sleep(time.Second)
		gate := hold(m.hosts["one"], "bind") // a connection that is in use keeps its server
		bind := bindLater(t.Context(), p)
		<-gate.arrived
		p.update(func(time.Time) { two.IdleLimit, two.LearnedAt = time.Minute, time.Now() })
		since := p.Stat().Servers[1].Since
		require.NoError(t, reconfigure(p, servers("two", "one")))
		require.NoError(t, reconfigure(p, servers("two")))
		st := p.Stat().Servers
		require.Len(t, st, 1)
		require.Equal(t, "ldap://two", st[0].URL)
		require.Equal(t, time.Minute, st[0].IdleLimit)
		require.Equal(t, since, st[0].Since)
		require.Equal(t, ServerUsable, st[0].State)
		require.NoError(t, reconfigure(p, servers("one", "two")))
		require.Same(t, one, serverOf(p, 0), "it was still there")
		require.Same(t, two, serverOf(p, 1))
		gate.open()
		require.NoError(t, <-bind)
	})
}

func TestReconfigure_ServesWaitingCallers(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(c *Config){
		"another server":        servers("two"),
		"another server before": servers("two", "one"),
		"the right password":    password("new"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet("one", "two")
				m.hosts["one"].set(func(h *host) { h.dropsDials = name != "the right password" })
				for _, h := range m.hosts {
					h.on(slowDirectory)
					h.changePassword("new")
				}
				p := m.start(t, servers("one"), func(c *Config) { c.BindPassword = "new" })
				if name == "the right password" {
					time.Sleep(time.Second)
					m.hosts["one"].abortAll()
					require.NoError(t, reconfigure(p, password("old")))
				}
				done := searchLater(t.Context(), p)
				synctest.Wait()
				require.NoError(t, reconfigure(p, change))
				require.NoError(t, <-done)
			})
		})
	}
}

func TestReconfigure_MaintenanceTakesItsNewIntervalAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, func(c *Config) { c.HealthCheckInterval = time.Hour })
		time.Sleep(time.Second)
		require.NoError(t, reconfigure(p, func(c *Config) { c.HealthCheckInterval = 2 * time.Second }))
		before := len(m.hosts["one"].requests("ping"))
		time.Sleep(5 * time.Second)
		require.GreaterOrEqual(t, len(m.hosts["one"].requests("ping"))-before, 4, "of four connections")
	})
}
