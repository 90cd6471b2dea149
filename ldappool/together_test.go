package ldappool

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// TestDialsThatHangAtOneServerDoNotKeepCallersFromAnother has more callers than dials may be under way, or than there are
// connections, when the first server stops answering and no operation is under way there that would tell.
func TestDialsThatHangAtOneServerDoNotKeepCallersFromAnother(t *testing.T) {
	t.Parallel()
	for name, conns := range map[string]int{
		"every dial that may be under way hangs": 32, "every connection hangs": 4, "the only connection hangs": 1,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newMemory("one", "two")
				p := m.start(t, sizes(conns, -1), bindOnly, func(c *Config) { c.MaxIdleTime = 10 * time.Second })
				time.Sleep(time.Minute) // no connection is left
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

// TestACallerGetsTheOtherLanesConnectionAsSoonAsThatMayBeGivenUp waits until the other lane has not used its connection for
// a second; nothing else happens at that moment.
func TestACallerGetsTheOtherLanesConnectionAsSoonAsThatMayBeGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
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

// TestAServerThatIsBackIsFoundThoughNoConnectionIsEverIdle has callers queue for the connections to the other one all the
// time.
func TestAServerThatIsBackIsFoundThoughNoConnectionIsEverIdle(t *testing.T) {
	t.Parallel()
	for name, conns := range map[string]int{"one connection": 1, "two": 2, "eight": 8} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newMemory("one", "two")
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

// TestAScoutComesBackWhenConnectionsGetFew has a limit on idling being tried when MaxConns is lowered.
func TestAScoutComesBackWhenConnectionsGetFew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		change := func(c *Config) { c.MaxIdleTime = time.Hour }
		p := m.start(t, sizes(8, 2), change)
		time.Sleep(time.Second)
		p.mu.Lock()
		p.setLimits(p.servers[0], 2*time.Minute, 0)
		p.unlock()
		time.Sleep(scoutSoonest + time.Minute)
		synctest.Wait()
		require.Equal(t, 1, p.Stat().Search.InUse, "one is out")
		cfg := *p.config()
		cfg.MaxConns = 1
		require.NoError(t, p.Reconfigure(cfg))
		synctest.Wait()
		mustBind(t, p)
		mustSearch(t, p)
	})
}

// TestTheLastServerThatAnswersIsWaitedFor has the first one declined so much that it is down for long, when the other one
// goes: a login waits for the probe that brings the first one back.
func TestTheLastServerThatAnswersIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("one", "two")
		one, two := m.hosts["one"], m.hosts["two"]
		p := m.start(t, sizes(8, 2))
		time.Sleep(time.Second)
		mustSearch(t, p)
		one.on(slowly(beBusy))
		lost(t, p, 20, 8, time.Second)
		require.Equal(t, ServerDown, p.Stat().Servers[0].State)
		one.on(func(*peer, *request) bool { time.Sleep(20 * time.Millisecond); return false })
		two.refuse(true)
		mustSearch(t, p)
		mustBind(t, p)
	})
}

// TestNoLoginFailsWhenAConfigurationIsTakenBackWhileItsServersAreTried takes it back before the first probe is over that the
// pool gave up for it.
func TestNoLoginFailsWhenAConfigurationIsTakenBackWhileItsServersAreTried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
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

// TestAServerWhoseProbeHadToWaitForCallersIsTriedWhenNoOtherIsLeft has the only connection go to another server, which the
// configuration then leaves out.
func TestAServerWhoseProbeHadToWaitForCallersIsTriedWhenNoOtherIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("one", "two")
		p := m.start(t, sizes(1, 1))
		time.Sleep(time.Second)
		mustBind(t, p) // and has the only place
		p.mu.Lock()
		two := p.servers[1]
		p.setState(two, ServerSuspect, "", nil)
		two.probe, two.tried = probeDue, time.Now()
		p.unlock()
		mustBind(t, p)
		require.Equal(t, ServerDown, p.Stat().Servers[1].State, "its probe waits")
		last := *p.config()
		last.Servers = last.Servers[1:]
		require.NoError(t, p.Reconfigure(last))
		mustSearch(t, p)
	})
}
