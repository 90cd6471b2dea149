package ldappool

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"
	"authsvc/ldappool/internal/core"

	"github.com/stretchr/testify/require"
)

// delayed makes the directory answer requests of a kind, or of any for "", on some connections only
// after a while.
func delayed(h *host, kind string, after time.Duration, on func(*peer) bool) {
	h.on(func(p *peer, r *request) bool {
		if (kind == "" || r.kind == kind) && on(p) {
			select {
			case <-time.After(after):
			case <-p.host.net.over:
			}
		}
		return false
	})
}

// quietBinds is a pool with n idle connections for binds that must be pinged before use, and those
// connections.
func quietBinds(t *testing.T, m *fakeNet, n int, changes ...func(*Config)) (*Pool, func(*peer) bool) {
	t.Helper()
	p := m.start(t, changes...)
	synctest.Wait()
	fill(t, m, p, n)
	time.Sleep(2 * time.Second)
	last := m.hosts["one"].open()[len(m.hosts["one"].open())-1].number
	return p, func(p *peer) bool { return p.number <= last }
}

func TestHedge_SlowPingIsHedgedByADial(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p, kept := quietBinds(t, m, 1, sizes(8, -1))
		delayed(m.hosts["one"], "ping", 200*time.Millisecond, kept)
		r := mustBind(t, p)
		require.Equal(t, hedgeAfter, r.Wait)
		require.Equal(t, 1, p.Stat().Bind.InUse, "the ping goes on")
		time.Sleep(time.Second)
		s := p.Stat()
		require.Equal(t, 2, s.Bind.Idle, "both are of use")
		require.Zero(t, s.Retired[RetiredPing])
		require.Equal(t, ServerUsable, s.Servers[0].State)
	})
}

func TestHedge_FastPingGetsNoDial(t *testing.T) {
	t.Parallel()
	for name, far := range map[string]bool{"a server nearby": false, "a server far away": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet()
				took := hedgeAfter - time.Millisecond
				every := func(*peer) bool { return true }
				if far {
					took = 3 * hedgeAfter
				}
				delayed(m.hosts["one"], "", took, every)
				p := m.start(t, sizes(8, -1))
				mustBind(t, p)
				dials := p.Stat().Dials
				time.Sleep(2 * time.Second)
				mustBind(t, p)
				require.Equal(t, dials, p.Stat().Dials)
			})
		})
	}
}

func TestHedge_DeadConnectionsCostTheirCallerOnePing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		conns int
	}{{"with room for another", 16}, {"in a full pool", 6}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet()
				h := m.hosts["one"]
				p, kept := quietBinds(t, m, 6, sizes(c.conns, -1), func(c *Config) { c.BindOnly = true })
				h.on(func(p *peer, _ *request) bool { return kept(p) })
				r := mustBind(t, p)
				require.LessOrEqual(t, r.Wait, hedgeAfter+closeTimeout)
				_, most := m.used()
				require.LessOrEqual(t, most, c.conns)
			})
		})
	}
}

func TestHedge_ReleasedConnectionServesACallerWithASlowPing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		busy time.Duration // how long the other caller keeps it
		wait time.Duration
	}{{"idle by then", 10 * time.Millisecond, hedgeAfter}, {"coming back later", 80 * time.Millisecond, 80 * time.Millisecond}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet()
				h := m.hosts["one"]
				p, _ := quietBinds(t, m, 2, sizes(2, -1), func(c *Config) { c.BindOnly = true })
				mustSleep := map[string]time.Duration{"ping": 300 * time.Millisecond, "bind": c.busy}
				first := 0
				h.on(func(p *peer, r *request) bool {
					if first == 0 {
						first = p.number
					}
					if r.kind == "bind" && p.number != first || r.kind == "ping" && p.number == first {
						time.Sleep(mustSleep[r.kind])
					}
					return false
				})
				began := time.Now()
				slow := bindLater(t.Context(), p)
				synctest.Wait()
				other := bindLater(t.Context(), p)
				require.NoError(t, <-other)
				require.NoError(t, <-slow)
				require.Equal(t, c.wait+c.busy, time.Since(began))
				require.EqualValues(t, 2, p.Stat().Dials)
				time.Sleep(time.Second)
				require.Equal(t, 2, p.Stat().Bind.Idle)
			})
		})
	}
}

func TestHedge_CanceledCallerReturnsAtOnceAndKeepsTheConnection(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]time.Duration{"before it is slow": hedgeAfter / 2, "while it is slow": 2 * hedgeAfter} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet()
				p, kept := quietBinds(t, m, 1, sizes(2, -1))
				h := m.hosts["one"]
				delayed(h, "ping", 300*time.Millisecond, kept)
				h.set(func(h *host) { h.dropsDials = true }) // what is dialled meanwhile comes to nothing
				ctx, cancel := context.WithTimeout(t.Context(), after)
				defer cancel()
				began := time.Now()
				err := <-bindLater(ctx, p)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, after, time.Since(began))
				time.Sleep(time.Second)
				require.Equal(t, 1, p.Stat().Bind.Idle)
				require.Zero(t, p.Stat().Retired[RetiredCanceled])
			})
		})
	}
}

func TestHedge_CloseEndsASlowPing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p, kept := quietBinds(t, m, 1, sizes(8, -1))
		delayed(m.hosts["one"], "ping", 400*time.Millisecond, kept)
		mustBind(t, p)
		began := time.Now()
		closePool(t, p)
		require.LessOrEqual(t, time.Since(began), closeTimeout)
	})
}

func TestHedge_SlowServerIsHedgedByTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		one, two := m.hosts["one"], m.hosts["two"]
		p := m.start(t, sizes(8, -1))
		synctest.Wait()
		// SYNs go nowhere: no dial ends before its time, and nothing that is open tells of it.
		one.set(func(h *host) { h.dropsDials = true })
		one.abortAll()
		time.Sleep(time.Millisecond)
		began := time.Now()
		for _, done := range append(bindsLater(t.Context(), p, 3), searchLater(t.Context(), p)) {
			require.NoError(t, <-done)
		}
		require.LessOrEqual(t, time.Since(began), dialHedgeAfter)
		require.NotEmpty(t, two.bindsOf(ldaptest.UserDN(1)))
		require.Equal(t, ServerUsable, p.Stat().Servers[0].State, "not told yet")

		// The next callers go to the second at once, and the slow dials tell of the first.
		began = time.Now()
		for _, done := range bindsLater(t.Context(), p, 6) {
			require.NoError(t, <-done)
		}
		require.Zero(t, time.Since(began))
		time.Sleep(p.config().DialTimeout)
		require.NotEqual(t, ServerUsable, p.Stat().Servers[0].State)

		// Once it answers again it is the first choice again.
		one.set(func(h *host) { h.dropsDials = false })
		time.Sleep(20 * time.Second)
		two.abortAll()
		time.Sleep(time.Millisecond)
		before := len(one.bindsOf(ldaptest.UserDN(1)))
		mustBind(t, p)
		require.Len(t, one.bindsOf(ldaptest.UserDN(1)), before+1)
	})
}

func TestHedge_SlowDialGetsASecondAndAThirdAfterASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		p := m.start(t, sizes(8, -1), func(c *Config) { c.BindOnly = true })
		synctest.Wait()
		for _, h := range m.hosts {
			h.set(func(h *host) { h.dropsDials = true })
			h.abortAll()
		}
		time.Sleep(time.Millisecond)
		bind := bindLater(t.Context(), p)
		time.Sleep(core.DialHedgeAfter + core.RedialAfter - time.Millisecond)
		require.Len(t, m.hosts["one"].attempts(), 2, "the probe at the start, and the caller's")
		require.Len(t, m.hosts["two"].attempts(), 2)
		require.ErrorIs(t, <-bind, ErrUnavailable)
		require.Len(t, m.hosts["one"].attempts(), 3, "the first dial may be of a time when it was away")
		require.Len(t, m.hosts["two"].attempts(), 2)
	})
}
