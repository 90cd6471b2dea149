package ldappool

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

func roundRobin(c *Config) { c.Policy = RoundRobin }

// userBinds counts the users' binds that a directory got.
func (h *host) userBinds() int { return len(h.bindsOf(ldaptest.UserDN(1))) }

func TestRoundRobin_SpreadsLoginsEvenly(t *testing.T) {
	t.Parallel()
	two, three := []string{"one", "two"}, []string{"one", "three", "two"}
	for _, c := range []struct {
		callers, size int
		names         []string
	}{{1, 32, two}, {2, 32, two}, {4, 4, two}, {16, 32, two}, {16, 16, three}, {16, 32, three}, {40, 32, two}, {40, 32, three}} {
		t.Run(fmt.Sprintf("%d callers, MaxConns %d, %d servers", c.callers, c.size, len(c.names)), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet(c.names...)
				for _, h := range m.hosts {
					h.on(slowly(nil))
				}
				p := m.start(t, roundRobin, sizes(c.size, 2))
				time.Sleep(stableAfter + time.Minute)
				rounds := 480 / c.callers
				n, _ := countLostLogins(t, p, rounds, c.callers, time.Millisecond)
				require.Zero(t, n)
				even := rounds * c.callers / len(c.names)
				for _, name := range c.names {
					got := m.hosts[name].userBinds()
					t.Logf("%s: %d of %d", name, got, rounds*c.callers)
					require.InDelta(t, even, got, float64(even)/3) // where callers queue, each connection is one share
				}
			})
		})
	}
}

func TestRoundRobin_SkipsADownServerAndRestoresItsShare(t *testing.T) {
	t.Parallel()
	for _, size := range []int{4, 32} {
		synctest.Test(t, func(t *testing.T) {
			m := newFakeNet("one", "two")
			one, two := m.hosts["one"], m.hosts["two"]
			for _, h := range m.hosts {
				h.on(slowly(nil))
			}
			var seen leaving
			p := m.start(t, roundRobin, seen.trace, sizes(size, 2))
			time.Sleep(stableAfter + time.Minute) // at the start there is no pace
			n, _ := countLostLogins(t, p, 10, 16, time.Millisecond)
			require.Zero(t, n)
			two.refuse(true)
			synctest.Wait()
			n, slowest := countLostLogins(t, p, 10, 16, time.Millisecond)
			require.Zero(t, n)
			require.Less(t, slowest, time.Second)
			require.Zero(t, two.conns(p))

			two.accept()
			becomes(t, p, two, ServerUsable)
			back, before := time.Now(), two.userBinds()
			n, slowest = countLostLogins(t, p, 60, 4, 5*time.Second)
			require.Zero(t, n)
			require.Less(t, slowest, 100*time.Millisecond)
			require.InDelta(t, one.conns(p), two.conns(p), 6)
			require.Greater(t, two.userBinds()-before, 60*4/3)
			seen.mu.Lock()
			defer seen.mu.Unlock()
			for lane, when := range seen.when {
				last := back.Add(stableAfter - p.config().HealthCheckInterval)
				for _, at := range when {
					if at.Before(back) || size < 32 { // of few, each that a caller has dialled is reason to move another
						continue
					}
					require.GreaterOrEqual(t, at.Sub(last), p.config().HealthCheckInterval-time.Second, "%s lane: one in each round", lane)
					last = at
				}
			}
		})
	}
}

// Which server is at home is Failover's to know.
func TestRoundRobin_LeavesConnectionsWhereTheyAre(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		var seen leaving
		p := m.start(t, roundRobin, seen.trace, sizes(32, 4))
		time.Sleep(2 * time.Minute)
		moved := len(seen.servers())
		require.LessOrEqual(t, moved, 8, "those that the first server had alone at the start")
		time.Sleep(10 * time.Minute)
		for _, h := range m.hosts {
			require.InDelta(t, 4, h.conns(p), 1, h.name)
		}
		require.LessOrEqual(t, len(seen.servers()), moved+12, "those that grow old together are replaced a little unevenly")
	})
}
