package ldappool

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// gate holds requests of a kind at the directory until it is opened.
type gate struct {
	kind    string
	arrived chan *peer
	pass    chan struct{}
}

// hold has h keep its answers to requests of that kind (users' binds, for "bind") back.
func hold(h *host, kind string) *gate {
	g := &gate{kind: kind, arrived: make(chan *peer, 1000), pass: make(chan struct{})}
	h.on(func(p *peer, r *request) bool {
		if r.kind == g.kind && r.dn != ldaptest.ServiceDN {
			g.arrived <- p
			p.await(g.pass)
		}
		return false
	})
	return g
}

func (g *gate) open() { close(g.pass) }

// await waits for a request to arrive.
func (g *gate) await(t *testing.T) {
	t.Helper()
	select {
	case <-g.arrived:
	case <-time.After(20 * time.Second):
		require.FailNow(t, "no request arrives", g.kind)
	}
}

// bindLater does a bind in the background; its error comes through the channel.
func bindLater(ctx context.Context, p *Pool) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := p.Bind(ctx, ldaptest.UserDN(1), ldaptest.Password(1))
		done <- err
	}()
	return done
}

// searchLater does a search in the background.
func searchLater(ctx context.Context, p *Pool) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := p.Search(ctx, people())
		done <- err
	}()
	return done
}

func TestIdle_LastUsedConnectionIsUsedNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(32, -1))
		fill(t, m, p, 3)
		mustBind(t, p)
		first := lastUser(m.hosts["one"])
		for range 5 {
			mustBind(t, p)
			require.Equal(t, first, lastUser(m.hosts["one"]))
		}
		require.Equal(t, 3, p.Stat().Bind.Idle)
	})
}

func TestIdle_MaintenancePingsKeepTheOrderOfUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(32, -1))
		fill(t, m, p, 4)
		mustBind(t, p)
		first := lastUser(m.hosts["one"])
		// A login now and then needs one connection: the others must grow old, or the pool would
		// never shrink.
		for range 40 {
			time.Sleep(10 * time.Second)
			mustBind(t, p)
			require.Equal(t, first, lastUser(m.hosts["one"]))
		}
		require.Equal(t, 1, p.Stat().Bind.Idle, "surplus connections never reach MaxIdleTime")
	})
}

// fill makes the bind lane open n connections, by n concurrent binds.
func fill(t *testing.T, m *fakeNet, p *Pool, n int) {
	t.Helper()
	fillBy(t, m, n, "bind", func() <-chan error { return bindLater(t.Context(), p) })
}

// fillBy opens n connections by n operations of a kind at one time.
func fillBy(t *testing.T, m *fakeNet, n int, kind string, later func() <-chan error) {
	t.Helper()
	g := hold(m.hosts["one"], kind)
	var done []<-chan error
	for range n {
		done = append(done, later())
	}
	for range n {
		g.await(t)
	}
	g.open()
	for _, d := range done {
		require.NoError(t, <-d)
	}
	m.hosts["one"].on(nil)
}

// lastUser is the connection that a user's bind came by last.
func lastUser(h *host) int {
	binds := h.bindsOf(ldaptest.UserDN(1))
	return binds[len(binds)-1].peer
}

func TestIdle_PingBeforeUseAfterASecondOfSilence(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		quiet time.Duration
		pings int
	}{
		{"fresh from the last operation", 0, 0},
		{"quiet for a second", time.Second, 0},
		{"quiet for longer", time.Second + time.Millisecond, 1},
		{"quiet for much longer", 14 * time.Second, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet()
				p := m.start(t, sizes(4, 1))
				synctest.Wait()
				for name, use := range map[string]func(){"bind": func() { mustBind(t, p) }, "search": func() { mustSearch(t, p) }} {
					use()
					before := len(m.hosts["one"].requests("ping"))
					time.Sleep(c.quiet)
					use()
					require.Len(t, m.hosts["one"].requests("ping"), before+c.pings, name)
				}
			})
		})
	}
}

func TestIdle_FreshlyDialedConnectionNeedsNoPing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(4, -1))
		mustBind(t, p)
		// The one ping is the bind connection's first exchange.
		require.Len(t, m.hosts["one"].requests("ping"), 1)
	})
}

func TestIdle_DeadConnectionIsReplacedInTheBackground(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		reason RetireReason
		break_ func(p *peer, h *host)
		within time.Duration
	}{
		{"swallowed by a firewall", RetiredPing, func(p *peer, h *host) {
			h.on(func(q *peer, r *request) bool { return q == p })
		}, hedgeAfter},
		{"reset on the first byte", RetiredPing, func(p *peer, h *host) {
			h.on(func(q *peer, r *request) bool {
				if q == p {
					q.cut()
				}
				return q == p
			})
		}, 0},
		{"refused by the kernel", RetiredPing, func(p *peer, _ *host) { p.failNextWrite() }, 0},
		{"answering with another's answer", RetiredPing, func(p *peer, h *host) {
			h.on(func(q *peer, r *request) bool {
				if q == p {
					q.write(ldaptest.SearchDone(r.id+7, 0, ""))
				}
				return q == p
			})
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet()
				h := m.hosts["one"]
				p := m.start(t, sizes(4, -1))
				mustBind(t, p)
				victim := h.open()[len(h.open())-1]
				require.Equal(t, victim.number, lastUser(h))
				time.Sleep(2 * time.Second)
				c.break_(victim, h)
				began := time.Now()
				mustBind(t, p)
				require.LessOrEqual(t, time.Since(began), c.within)
				require.NotEqual(t, victim.number, lastUser(h))
				time.Sleep(pingTimeout) // for a ping that goes on behind the caller
				synctest.Wait()
				require.EqualValues(t, 1, p.Stat().Retired[c.reason])
				require.Len(t, h.bindsOf(ldaptest.UserDN(1)), 2, "a ping failed, not a bind")
			})
		})
	}
}

func TestLane_BothShareAnyNumberOfConnections(t *testing.T) {
	t.Parallel()
	for _, conns := range []int{1, 2, 3, 4, 32} {
		t.Run("MaxConns "+itoa(conns), func(t *testing.T) {
			t.Parallel()
			m := newFakeNet()
			p := m.start(t, sizes(conns, 2), func(c *Config) { c.MaxWait = 30 * time.Second })
			var callers sync.WaitGroup
			var failed atomic.Int64
			for i := range 100 {
				callers.Go(func() {
					for range 5 {
						var err error
						if i%2 == 0 {
							_, err = p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
						} else {
							_, err = p.Search(t.Context(), people())
						}
						if err != nil {
							failed.Add(1)
							t.Error(err)
						}
					}
				})
			}
			callers.Wait()
			_, most := m.used()
			require.LessOrEqual(t, most, conns)
			require.Zero(t, failed.Load())
		})
	}
}

func itoa(n int) string { return string(rune('0'+n/10)) + string(rune('0'+n%10)) }

func TestLane_UnderConstantLoadLeavesTheOtherItsShare(t *testing.T) {
	t.Parallel()
	for _, conns := range []int{1, 2, 3, 4, 8} {
		for _, greedy := range []string{"searches", "binds"} {
			t.Run(greedy+" against MaxConns "+itoa(conns), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					m := newFakeNet()
					// Each operation takes a moment, so that the greedy lane always has callers
					// that wait.
					m.hosts["one"].on(func(*peer, *request) bool { time.Sleep(time.Millisecond); return false })
					p := m.start(t, sizes(conns, -1))
					busy, other := searchLater, bindLater
					if greedy == "binds" {
						busy, other = bindLater, searchLater
					}
					ctx, stop := context.WithCancel(t.Context())
					var load sync.WaitGroup
					for range 3 * conns {
						load.Go(func() {
							for ctx.Err() == nil {
								if err := <-busy(context.Background(), p); err != nil {
									t.Error(err)
								}
							}
						})
					}
					time.Sleep(100 * time.Millisecond)
					for range 20 {
						began := time.Now()
						require.NoError(t, <-other(t.Context(), p))
						require.Less(t, time.Since(began), 100*time.Millisecond)
					}
					stop()
					load.Wait()
				})
			})
		}
	}
}

func TestLane_IdleConnectionsMakeRoomForTheOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(4, -1))
		// Three, and the search connection that the first probe left: the pool is full.
		fill(t, m, p, 3)
		time.Sleep(2 * time.Second)
		g := hold(m.hosts["one"], "search")
		var searches []<-chan error
		for range 4 {
			searches = append(searches, searchLater(t.Context(), p))
		}
		// What binds have not used for a while is the searches', all of it.
		for range 4 {
			g.await(t)
		}
		s := p.Stat()
		require.Equal(t, 4, s.Search.InUse)
		require.EqualValues(t, 3, s.Retired[RetiredRebalanced])
		g.open()
		for _, done := range searches {
			require.NoError(t, <-done)
		}
	})
}

func TestLane_RecentlyUsedConnectionsAreTakenUpToTheShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(4, -1))
		fill(t, m, p, 3)
		g := hold(m.hosts["one"], "search")
		var searches []<-chan error
		for range 3 {
			searches = append(searches, searchLater(t.Context(), p))
		}
		synctest.Wait()
		s := p.Stat()
		require.Equal(t, 2, s.Search.InUse)
		require.Equal(t, 1, s.Search.Waiting)
		require.Equal(t, 2, s.Bind.Idle)
		g.open()
		for _, done := range searches {
			require.NoError(t, <-done)
		}
	})
}

// exhaust takes the only connection of the bind lane, until the gate opens.
func exhaust(t *testing.T, m *fakeNet, p *Pool) (*gate, <-chan error) {
	t.Helper()
	g := hold(m.hosts["one"], "bind")
	done := bindLater(t.Context(), p)
	g.await(t)
	return g, done
}

func TestQueue_WaitEndsWithErrOverloadedAfterMaxWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(1, 1)) // of two, a bind would have the searches' after a second
		g, first := exhaust(t, m, p)
		began := time.Now()
		_, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
		require.ErrorIs(t, err, ErrOverloaded)
		require.Equal(t, 2*time.Second, time.Since(began))
		var op *OpError
		require.ErrorAs(t, err, &op)
		require.Equal(t, 2*time.Second, op.Wait)
		require.Equal(t, "bind", op.Op)
		g.open()
		require.NoError(t, <-first)
		require.EqualValues(t, 1, p.Stat().Refused)
	})
}

func TestQueue_LaneWithoutASlotIsOverloaded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(2, -1))
		fill(t, m, p, 1)
		time.Sleep(2 * time.Second)
		// Both connections are the searches', and a search takes long.
		g := hold(m.hosts["one"], "search")
		searches := []<-chan error{searchLater(t.Context(), p), searchLater(t.Context(), p)}
		g.await(t)
		g.await(t)
		_, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
		require.ErrorIs(t, err, ErrOverloaded)
		g.open()
		for _, done := range searches {
			require.NoError(t, <-done)
		}
	})
}

func TestQueue_HoldsMaxWaiters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(2, 1), func(c *Config) { c.MaxWaiters = 3 })
		g, first := exhaust(t, m, p)
		waiting := []<-chan error{first}
		for range 3 {
			waiting = append(waiting, bindLater(t.Context(), p))
		}
		synctest.Wait()
		require.Equal(t, 3, p.Stat().Bind.Waiting)
		began := time.Now()
		_, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
		require.ErrorIs(t, err, ErrOverloaded)
		require.Zero(t, time.Since(began))
		g.open()
		for _, done := range waiting {
			require.NoError(t, <-done)
		}
	})
}

func TestQueue_ZeroWaitersStillGetAnIdleConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(2, 1), func(c *Config) { c.MaxWaiters = -1 })
		synctest.Wait()
		mustBind(t, p)
		g, first := exhaust(t, m, p)
		_, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
		require.ErrorIs(t, err, ErrOverloaded)
		g.open()
		require.NoError(t, <-first)
	})
}

func TestQueue_ServesCallersInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(2, 1))
		g, first := exhaust(t, m, p)
		var callers sync.WaitGroup
		for i := range 5 {
			callers.Go(func() {
				if _, err := p.Bind(t.Context(), ldaptest.UserDN(2+i), ldaptest.Password(2+i)); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		g.open()
		callers.Wait()
		require.NoError(t, <-first)
		var served []string
		for _, s := range m.hosts["one"].requests("bind") {
			if s.dn != ldaptest.ServiceDN {
				served = append(served, s.dn)
			}
		}
		require.Len(t, served, 6)
		require.True(t, slices.IsSorted(served), "%v", served)
	})
}

func TestQueue_CanceledCallerReturnsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(2, 1))
		g, first := exhaust(t, m, p)
		ctx, cancel := context.WithCancel(t.Context())
		gone := bindLater(ctx, p)
		synctest.Wait()
		began := time.Now()
		cancel()
		err := <-gone
		require.ErrorIs(t, err, context.Canceled)
		require.Zero(t, time.Since(began))
		require.Zero(t, p.Stat().Bind.Waiting)
		g.open()
		require.NoError(t, <-first)
	})
}

func TestCancel_DuringARequestReturnsAtOnceAndCostsOneConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(2, 1))
		synctest.Wait()
		g := hold(m.hosts["one"], "bind")
		ctx, cancel := context.WithCancel(t.Context())
		gone := bindLater(ctx, p)
		g.await(t)
		began := time.Now()
		cancel()
		err := <-gone
		require.ErrorIs(t, err, context.Canceled)
		require.Zero(t, time.Since(began))
		g.open()
		mustBind(t, p)
		synctest.Wait()
		require.EqualValues(t, 1, p.Stat().Retired[RetiredCanceled])
		require.Equal(t, ServerUsable, p.Stat().Servers[0].State, "that was not the server's fault")
	})
}

func TestCancel_DeadlineBoundsWaitAndRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(2, 1))
		g := hold(m.hosts["one"], "bind")
		within := func(d time.Duration) context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			t.Cleanup(cancel)
			return ctx
		}
		began := time.Now()
		asked := bindLater(within(300*time.Millisecond), p)
		g.await(t)
		err := <-bindLater(within(200*time.Millisecond), p)
		require.ErrorIs(t, err, ErrOverloaded)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 200*time.Millisecond, time.Since(began))
		err = <-asked
		require.ErrorIs(t, err, ErrTimeout)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 300*time.Millisecond, time.Since(began))
		g.open()
		m.hosts["one"].on(nil)
		mustBind(t, p)
	})
}

func TestCancel_ExpiredContextGetsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(2, 1))
		mustBind(t, p)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := p.Bind(ctx, ldaptest.UserDN(1), ldaptest.Password(1))
		require.ErrorIs(t, err, context.Canceled)
		require.Len(t, m.hosts["one"].bindsOf(ldaptest.UserDN(1)), 1)
		require.Equal(t, 1, p.Stat().Bind.Idle)
	})
}

// A caller that is granted a connection and cancelled in the same moment may get either, and
// nothing may be lost.
func TestCancel_RacingAGrantLosesNothing(t *testing.T) {
	t.Parallel()
	m := newFakeNet()
	p := m.start(t, sizes(2, -1), func(c *Config) { c.MaxWait = 10 * time.Second })
	var callers sync.WaitGroup
	var succeeded, canceled atomic.Int64
	for i := range 16 {
		callers.Go(func() {
			for n := range 40 {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				time.AfterFunc(time.Duration(100*((i+n)%12))*time.Microsecond, cancel)
				_, err := p.Bind(ctx, ldaptest.UserDN(1), ldaptest.Password(1))
				cancel()
				switch {
				case err == nil:
					succeeded.Add(1)
				case errors.Is(err, context.Canceled):
					canceled.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	require.EqualValues(t, 16*40, succeeded.Load()+canceled.Load())
	until(t, p, "all connections idle", func(s *Stat) bool { return s.Bind.InUse == 0 && s.Bind.Waiting == 0 })
	mustBind(t, p)
	mustSearch(t, p)
}
