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

// within is a context of the bubble's time.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestClose_IsIdempotentAndConcurrent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t)
		mustBind(t, p)
		var closers sync.WaitGroup
		for range 8 {
			closers.Go(func() {
				if err := p.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		closers.Wait()
		require.NoError(t, p.Close(t.Context()))
	})
}

func TestClose_RightAfterNewLeavesNothing(t *testing.T) {
	t.Parallel()
	for range 50 {
		m := newFakeNet()
		p := m.start(t)
		require.NoError(t, p.Close(t.Context()))
	}
}

// The connections that lie idle are the pool's to end and to count, however soon the lanes' stores
// are closed behind it.
func TestClose_RetiresIdleConnectionsFirst(t *testing.T) {
	t.Parallel()
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			m := newFakeNet()
			p := m.start(t, sizes(16, 6))
			time.Sleep(5 * time.Second)
			synctest.Wait()
			closePool(t, p)
			require.EqualValues(t, 12, p.Stat().Retired[RetiredClosed])
		})
	}
}

func TestClose_LaterOperationsEndWithErrClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t)
		mustBind(t, p)
		require.NoError(t, p.Close(t.Context()))
		_, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
		require.ErrorIs(t, err, ErrClosed)
		_, err = p.Search(t.Context(), people())
		require.ErrorIs(t, err, ErrClosed)
		s := p.Stat()
		require.Zero(t, s.Search.Idle+s.Search.InUse+s.Search.Dialing+s.Bind.Idle+s.Bind.InUse+s.Bind.Dialing)
		require.Zero(t, s.Servers[0].Conns)
	})
}

func TestClose_LetsOperationsFinish(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		var retired retirements
		p := m.start(t, retired.trace)
		time.Sleep(2 * time.Second)
		g := hold(m.hosts["one"], "bind")
		done := bindLater(t.Context(), p)
		g.await(t)
		closed := make(chan error, 1)
		go func() { closed <- p.Close(within(t, 5*time.Second)) }()
		synctest.Wait()
		require.Empty(t, closed)
		require.Equal(t, 1, p.Stat().Bind.InUse)
		g.open()
		require.NoError(t, <-done)
		require.NoError(t, <-closed)
		require.Len(t, retired.of(RetiredClosed), 4, "each connection ends by the pool's hand")
		for _, e := range retired.of(RetiredClosed) {
			require.NoError(t, e.Err)
		}
	})
}

func TestClose_RejectsWaitingCallersAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(2, 1))
		g, first := exhaust(t, m, p)
		var waiting []<-chan error
		for range 3 {
			waiting = append(waiting, bindLater(t.Context(), p))
		}
		synctest.Wait()
		closed := make(chan error, 1)
		began := time.Now()
		go func() { closed <- p.Close(within(t, 5*time.Second)) }()
		for _, done := range waiting {
			require.ErrorIs(t, <-done, ErrClosed)
		}
		require.Zero(t, time.Since(began))
		g.open()
		require.NoError(t, <-first)
		require.NoError(t, <-closed)
	})
}

func TestClose_ReturnsByItsDeadlineAndCutsWhatIsStuck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t)
		time.Sleep(2 * time.Second)
		g := hold(m.hosts["one"], "bind")
		done := []<-chan error{bindLater(t.Context(), p), bindLater(t.Context(), p)}
		g.await(t)
		g.await(t)
		began := time.Now()
		require.ErrorIs(t, p.Close(within(t, time.Second)), context.DeadlineExceeded)
		require.LessOrEqual(t, time.Since(began), time.Second+closeGrace)
		for _, d := range done {
			require.ErrorIs(t, <-d, ErrClosed)
		}
		require.NoError(t, p.Close(within(t, time.Second)), "the rest is done by now")
		g.open()
	})
}

func TestClose_WithAnExpiredContextCutsEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t)
		time.Sleep(2 * time.Second)
		g := hold(m.hosts["one"], "search")
		done := searchLater(t.Context(), p)
		g.await(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		require.ErrorIs(t, p.Close(ctx), context.Canceled)
		require.LessOrEqual(t, time.Since(began), closeGrace)
		require.ErrorIs(t, <-done, ErrClosed)
		g.open()
	})
}

func TestClose_EndsADial(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		m.hosts["one"].set(func(h *host) { h.dropsDials = true })
		p := m.start(t)
		waits := bindLater(t.Context(), p)
		synctest.Wait()
		began := time.Now()
		require.NoError(t, p.Close(within(t, time.Second)))
		require.ErrorIs(t, <-waits, ErrClosed)
		require.Zero(t, time.Since(began))
	})
}

func TestClose_EndsTheFirstExchangeOnAConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		m.hosts["one"].pause()
		p := m.start(t)
		synctest.Wait()
		began := time.Now()
		require.NoError(t, p.Close(within(t, time.Second)))
		require.LessOrEqual(t, time.Since(began), 2*closeTimeout)
		m.hosts["one"].resume()
	})
}

func TestClose_EndsAPingOfMaintenance(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t)
		time.Sleep(2 * time.Second)
		g := &gate{kind: "ping", arrived: make(chan *peer, 100), pass: make(chan struct{})}
		m.hosts["one"].on(func(p *peer, r *request) bool {
			if r.kind == g.kind {
				g.arrived <- p
				p.await(g.pass)
			}
			return false
		})
		g.await(t)
		began := time.Now()
		require.NoError(t, p.Close(within(t, time.Second)))
		require.LessOrEqual(t, time.Since(began), 2*closeTimeout)
		g.open()
	})
}

func TestClose_EndsAPingBeforeUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t)
		time.Sleep(4 * time.Second)
		m.hosts["one"].on(func(_ *peer, r *request) bool { return r.kind == "ping" })
		done := bindLater(t.Context(), p)
		synctest.Wait()
		began := time.Now()
		require.NoError(t, p.Close(within(t, 5*time.Second)))
		require.LessOrEqual(t, time.Since(began), pingTimeout+2*closeTimeout)
		require.ErrorIs(t, <-done, ErrClosed)
	})
}

// What comes back to a pool that closes in the same moment must still be counted and named.
func TestClose_RacingReleasesLosesNothing(t *testing.T) {
	t.Parallel()
	for range 30 {
		m := newFakeNet()
		p := m.start(t, sizes(4, 2))
		var callers sync.WaitGroup
		for i := range 8 {
			callers.Go(func() {
				for {
					_, err := p.Bind(t.Context(), ldaptest.UserDN(i), ldaptest.Password(i))
					if err != nil {
						return
					}
				}
			})
		}
		mustSearch(t, p)
		closePool(t, p)
		callers.Wait()
		require.NoError(t, p.audit())
	}
}

func TestClose_LeavesNoSocketAtTheServer(t *testing.T) {
	t.Parallel()
	server := ldaptest.NewServer(t, nil)
	p, err := New(Config{Servers: []string{server.URL()}, BindDN: ldaptest.ServiceDN, BindPassword: ldaptest.ServicePassword})
	require.NoError(t, err)
	mustBind(t, p)
	mustSearch(t, p)
	closePool(t, p)
	ldaptest.Eventually(t, "no connection at the server", func() bool { return server.Open() == 0 })
	require.Positive(t, server.Count(ldaptest.OpUnbind), "connections in order say goodbye")
}
