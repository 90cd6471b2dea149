package ldappool

import (
	"authsvc/ldappool/internal/core"
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

func TestDial_IsPacedIfTheServiceAndConnectionsAreRejected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := refusedSearcher(t, m, func(c *Config) {
			c.Trace.Dialed = func(DialEvent) { time.Sleep(time.Millisecond) } // a round trip
		})
		g, first := exhaust(t, m, p)
		second := bindLater(t.Context(), p)
		g.await(t)
		h.refuse(false)
		before := len(h.attempts())
		require.Error(t, <-bindLater(t.Context(), p))
		require.LessOrEqual(t, len(h.attempts())-before, 3)
		g.open()
		require.NoError(t, <-first)
		require.NoError(t, <-second)
	})
}

func TestDial_HappensOncePerCallerIfTheServiceIsRejected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := refusedSearcher(t, m)
		time.Sleep(2 * time.Second)
		g := hold(h, "bind")
		before := len(h.attempts())
		var done []<-chan error
		for range p.Stat().Bind.Idle + 1 {
			done = append(done, bindLater(t.Context(), p))
		}
		for range done {
			g.await(t)
		}
		require.Len(t, h.attempts()[before:], 1)
		g.open()
		for _, d := range done {
			require.NoError(t, <-d)
		}
	})
}

func TestFailover_BindsGoToTheServerThatAcceptsTheService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		m.hosts["two"].refuse(false)
		p := refusedSearcher(t, m)
		m.hosts["two"].accept()
		becomes(t, p, m.hosts["two"], ServerUsable)
		before := p.Stat().Dials
		for range 20 {
			require.Equal(t, "ldap://two", mustBind(t, p).Server)
			time.Sleep(100 * time.Millisecond)
		}
		require.LessOrEqual(t, p.Stat().Dials-before, int64(4))
	})
}

func TestRetry_AlsoAfterASearchLongerThanMaxWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := m.start(t, sizes(4, -1))
		time.Sleep(2 * time.Second)
		h.on(func(o *peer, r *request) bool {
			if r.kind != "search" {
				return false
			}
			h.on(func(*peer, *request) bool { time.Sleep(time.Millisecond); return false })
			time.Sleep(3 * time.Second)
			o.cut()
			return true
		})
		mustSearch(t, p)
	})
}

func TestHealth_ShortPingTimeoutLeavesTheServerUsable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		var seen changes
		p := m.start(t, sizes(4, 2), seen.trace)
		time.Sleep(5 * time.Second)
		h.on(func(*peer, *request) bool { time.Sleep(30 * time.Millisecond); return false })
		now := time.Now()
		_, _, err := p.acquire(t.Context(), "search", &core.Request{Lane: core.Search, Began: now, Deadline: now.Add(time.Millisecond), Since: now})
		require.Error(t, err)
		require.Equal(t, []ServerState{ServerUsable}, seen.to(h))
	})
}

func TestLane_ZeroWaitersStillGetTheOthersIdleConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(1, -1), func(c *Config) { c.MaxWaiters = -1 })
		time.Sleep(time.Second)
		for range 5 {
			mustSearch(t, p)
			mustBind(t, p)
		}
	})
}

func TestError_NamesADeadlineThatPassedDuringADial(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(4, -1))
		time.Sleep(time.Second)
		m.hosts["one"].pause()
		_, err := p.Bind(within(t, 100*time.Millisecond), ldaptest.UserDN(1), ldaptest.Password(1))
		m.hosts["one"].resume()
		require.ErrorIs(t, err, ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestServicePassword_RejectedAtTheStartChangesTheStateOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		h.refuseService()
		h.on(func(*peer, *request) bool { time.Sleep(time.Millisecond); return false })
		var seen changes
		m.start(t, seen.trace)
		time.Sleep(10 * time.Minute)
		require.Equal(t, []ServerState{ServerDown}, seen.to(h))
	})
}

func TestFailback_HappensWithAFullPool(t *testing.T) {
	t.Parallel()
	for _, only := range []bool{false, true} {
		for size := 1; size <= 4; size++ {
			t.Run(fmt.Sprintf("MaxConns %d, binds only %v", size, only), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					m := newFakeNet("one", "two")
					one, two := m.hosts["one"], m.hosts["two"]
					one.refuse(false)
					p := m.start(t, sizes(size, 2), func(c *Config) { c.BindOnly = only })
					time.Sleep(20 * time.Second)
					one.accept()
					for range 300 {
						time.Sleep(time.Second)
						if !only {
							mustSearch(t, p)
						}
						mustBind(t, p)
					}
					require.Equal(t, ServerUsable, one.state(p))
					require.Zero(t, two.conns(p))
				})
			})
		}
	}
}

func TestFailover_ProbeYieldsItsSlotToACaller(t *testing.T) {
	t.Parallel()
	for size := 1; size <= 4; size++ {
		t.Run(fmt.Sprintf("MaxConns %d", size), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet("one", "two")
				m.hosts["one"].set(func(h *host) { h.dropsDials = true })
				p := m.start(t, sizes(size, 2))
				time.Sleep(10 * time.Second)
				for range 600 {
					mustSearch(t, p)
					mustBind(t, p)
					time.Sleep(100 * time.Millisecond)
				}
			})
		})
	}
}
