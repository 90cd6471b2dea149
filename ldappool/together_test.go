package ldappool

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"
	"authsvc/ldappool/internal/health"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// TestFailover_HungDialsLeaveTheOtherServerReachable has more callers than dials may be under
// way, or than there are connections, when the first server stops answering and no operation is
// under way there that would tell.
func TestFailover_HungDialsLeaveTheOtherServerReachable(t *testing.T) {
	t.Parallel()
	for name, conns := range map[string]int{
		"every dial that may be under way hangs": 32, "every connection hangs": 4, "the only connection hangs": 1,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet("one", "two")
				p := m.start(t, sizes(conns, -1), bindOnly, func(c *Config) { c.MaxIdleTime = 10 * time.Second })
				// The pool dials a server that has answered nothing for a while, and closes the
				// connection when it is old.
				time.Sleep(time.Minute + time.Second) // and not at that very moment
				for s := p.Stat(); s.Bind.Dialing+s.Servers[0].Conns > 0; s = p.Stat() {
					time.Sleep(time.Second)
				}
				m.hosts["one"].pause()
				var binds []<-chan error
				for range 12 {
					binds = append(binds, bindLater(context.Background(), p))
				}
				for _, bind := range binds {
					require.NoError(t, <-bind)
				}
			})
		})
	}
}

// TestServer_FrozenOneIsUnavailable: the only server stops answering, and more callers
// come than there are idle connections. The pool has room for all of them; what they wait for is
// the server.
func TestServer_FrozenOneIsUnavailable(t *testing.T) {
	t.Parallel()
	for name, op := range map[string]func(context.Context, *Pool) error{
		"binds": func(ctx context.Context, p *Pool) error { return <-bindLater(ctx, p) },
		"searches": func(ctx context.Context, p *Pool) error {
			_, err := p.Search(ctx, ldap.NewSearchRequest("dc=x", ldap.ScopeBaseObject, 0, 0, 0, false, "(uid=x)", nil, nil))
			return err
		},
	} {
		for when, quiet := range map[string]time.Duration{"in use": 0, "idle": 5 * time.Second, "without a connection": time.Hour} {
			t.Run(name+", "+when, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					m := newFakeNet("one")
					p := m.start(t, sizes(32, -1), func(c *Config) { c.MaxIdleTime = time.Minute })
					mustSearch(t, p)
					mustBind(t, p)
					time.Sleep(quiet)
					m.hosts["one"].pause()
					for range 3 { // also while it is known to be down
						errs := make(chan error, 6)
						for range cap(errs) {
							go func() { errs <- op(context.Background(), p) }()
						}
						for range cap(errs) {
							err := <-errs
							require.NotErrorIs(t, err, ErrOverloaded)
							require.True(t, errors.Is(err, ErrUnavailable) || errors.Is(err, ErrTimeout), "%v", err)
							require.Regexp(t, "dial|ping|probe|no answer in time", err.Error())
						}
					}
				})
			})
		}
	}
}

// TestProbe_HungOneDelaysNoLoginToARecoveredServer: what was dialed while the only server
// was away gets no answer until the dial times out after 5 s. A login that comes when the server is
// back is served nevertheless.
func TestProbe_HungOneDelaysNoLoginToARecoveredServer(t *testing.T) {
	t.Parallel()
	for away := 100 * time.Millisecond; away < 30*time.Second; away = away * 7 / 4 {
		synctest.Test(t, func(t *testing.T) {
			m := newFakeNet("one")
			h := m.hosts["one"]
			p := m.start(t, sizes(4, -1))
			mustSearch(t, p)
			h.on(func(*peer, *request) bool { return true }) // what is asked now is never answered
			h.abortAll()
			time.Sleep(away)
			h.on(nil)
			time.Sleep(1300 * time.Millisecond)
			require.Equal(t, ServerUsable, p.Stat().Servers[0].State, "after %v", away)
			mustBind(t, p)
			mustSearch(t, p)
		})
	}
}

// TestLane_CallerGetsTheOthersConnectionOnceItIsIdle waits until the other lane has not
// used its connection for a second; nothing else happens at that moment.
func TestLane_CallerGetsTheOthersConnectionOnceItIsIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(2, 1))
		time.Sleep(5 * time.Second)
		gate := hold(m.hosts["one"], "bind")
		mustSearch(t, p)
		var binds []<-chan error
		for range 2 {
			binds = append(binds, bindLater(context.Background(), p))
		}
		time.Sleep(pingAfter + 10*time.Millisecond)
		synctest.Wait()
		require.Equal(t, 2, p.Stat().Bind.InUse, "%+v", p.Stat())
		gate.open()
		for _, bind := range binds {
			require.NoError(t, <-bind)
		}
	})
}

// TestProbe_FindsARecoveredServerInABusyPool has callers queue for the connections to
// the other one all the time.
func TestProbe_FindsARecoveredServerInABusyPool(t *testing.T) {
	t.Parallel()
	for name, conns := range map[string]int{"one connection": 1, "two": 2, "eight": 8} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet("one", "two")
				one := m.hosts["one"]
				p := m.start(t, sizes(conns, 2), bindOnly)
				time.Sleep(time.Second)
				for _, h := range m.hosts {
					h.on(func(*peer, *request) bool { time.Sleep(20 * time.Millisecond); return false })
				}
				one.refuse(true)
				mustBind(t, p)
				over := make(chan struct{})
				var callers sync.WaitGroup
				for range 2*conns + 2 {
					callers.Go(func() {
						for !isClosed(over) {
							if _, err := p.Bind(context.Background(), ldaptest.UserDN(1), ldaptest.Password(1)); err != nil {
								t.Error(err)
								time.Sleep(time.Second)
							}
						}
					})
				}
				time.Sleep(time.Second)
				one.accept()
				time.Sleep(20 * time.Second)
				close(over)
				callers.Wait()
				require.Equal(t, ServerUsable, p.Stat().Servers[0].State)
			})
		})
	}
}

// TestFailover_WaitsForTheLastServerThatAnswers has the first one declined so much that it is down
// for long, when the other one goes: a login waits for the probe that brings the first one back.
func TestFailover_WaitsForTheLastServerThatAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		one, two := m.hosts["one"], m.hosts["two"]
		p := m.start(t, sizes(8, 2), probing)
		time.Sleep(time.Second)
		mustSearch(t, p)
		one.on(slowly(beBusy))
		countLostLogins(t, p, 20, 8, time.Second)
		require.Equal(t, ServerDown, p.Stat().Servers[0].State)
		one.on(func(*peer, *request) bool { time.Sleep(20 * time.Millisecond); return false })
		two.refuse(true)
		mustSearch(t, p)
		mustBind(t, p)
	})
}

// TestReconfigure_RollbackDuringATrialFailsNoLogin takes it back before the
// first probe is over that the pool gave up for it.
func TestReconfigure_RollbackDuringATrialFailsNoLogin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		m.hosts["one"].second = secondPassword
		m.hosts["one"].on(slowly(nil))
		p := m.start(t, sizes(1, -1))
		search := searchLater(context.Background(), p)
		synctest.Wait()
		first, second := *p.config(), *p.config()
		second.BindPassword = secondPassword
		require.NoError(t, p.Reconfigure(second))
		require.NoError(t, p.Reconfigure(first))
		require.NoError(t, <-search)
	})
}

// TestProbe_PostponedOneRunsWhenItsServerIsTheLast has the only connection go to
// another server, which the configuration then leaves out.
func TestProbe_PostponedOneRunsWhenItsServerIsTheLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		p := m.start(t, sizes(1, 1))
		time.Sleep(time.Second)
		mustBind(t, p) // and has the only place
		two := serverOf(p, 1)
		p.update(func(time.Time) { two.Health.State, two.Health.Probe = health.Suspect, health.ProbeDue })
		mustBind(t, p)
		require.Equal(t, ServerDown, p.Stat().Servers[1].State, "its probe waits")
		last := *p.config()
		last.Servers = last.Servers[1:]
		require.NoError(t, p.Reconfigure(last))
		mustSearch(t, p)
	})
}
