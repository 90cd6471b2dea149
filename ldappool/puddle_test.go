package ldappool

import (
	"authsvc/ldappool/internal/core"
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

func TestPuddle_AConstructorEndsByItsOwnDeadlineAndOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(4, -1))
		mustSearch(t, p)
		g := hold(m.hosts["one"], "ping")
		ctx, cancel := context.WithCancel(t.Context())
		failed := bindLater(ctx, p)
		<-g.arrived
		cancel()
		require.ErrorIs(t, <-failed, context.Canceled)
		g.open()
		synctest.Wait()
		require.Equal(t, 1, p.Stat().Bind.Idle, "the dial went on, and lands idle")
		g = hold(m.hosts["one"], "ping")
		defer g.open()
		failed = bindLater(t.Context(), p) // takes that one
		require.NoError(t, <-failed)
		b := mustAcquire(t, p, core.Bind)
		began := time.Now()
		failed = bindLater(t.Context(), p)
		<-g.arrived
		until := time.Now().Add(10 * time.Second)
		for p.Stat().DialErrors == 0 {
			require.True(t, time.Now().Before(until))
			time.Sleep(time.Second)
		}
		require.LessOrEqual(t, time.Since(began), 4*time.Second)
		<-failed
		b.release()
	})
}

func TestPuddle_AHungCloseDoesNotEatThePool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := m.start(t, sizes(1, -1), func(c *Config) { c.BindOnly = true })
		mustBind(t, p)
		deaf := make(chan struct{})
		defer close(deaf)
		h.on(func(p *peer, r *request) bool {
			if r.dn == ldaptest.UserDN(2) {
				p.answer(r)
				p.await(deaf) // reads no unbind
			}
			return r.dn == ldaptest.UserDN(2)
		})
		_, err := p.Bind(t.Context(), ldaptest.UserDN(2), ldaptest.Password(2))
		require.NoError(t, err)
		c := mustAcquire(t, p, core.Bind)
		p.update(func(now time.Time) { p.core.Released(now, c.core, core.Outcome{Close: core.ReasonMaxIdle}) })
		began := time.Now()
		mustBind(t, p)
		require.Equal(t, closeTimeout, time.Since(began), "the room was not free when the close gave up")
		_, most := m.used()
		require.Equal(t, 1, most)
	})
}

func TestPuddle_CloseDoesNotWaitForAcquiredConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(4, -1))
		mustBind(t, p)
		g := hold(m.hosts["one"], "bind")
		defer g.open()
		failed := bindLater(context.Background(), p)
		<-g.arrived
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		require.ErrorIs(t, p.Close(ctx), context.DeadlineExceeded)
		require.LessOrEqual(t, time.Since(began), time.Second+closeGrace)
		requireFault(t, <-failed, ErrClosed)
	})
}

func TestPuddle_MaintenanceHoldsOneIdleConnectionAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := m.start(t, sizes(8, 3), func(c *Config) { c.BindOnly = true })
		mustBind(t, p)
		time.Sleep(5 * time.Second)
		require.GreaterOrEqual(t, p.Stat().Bind.Idle, 3)
		var once sync.Once
		pinged := make(chan struct{})
		h.on(func(p *peer, r *request) bool {
			hung := false
			if r.kind == "ping" {
				once.Do(func() { hung = true; close(pinged) })
			}
			return hung
		})
		<-pinged // upkeep's: nobody else is there
		require.Equal(t, 1, p.Stat().Bind.InUse)
		began := time.Now()
		mustBind(t, p)
		require.Zero(t, time.Since(began))
	})
}

func TestPuddle_IdleTimeAgeAndWaitersAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(8, -1))
		mustBind(t, p)
		mustSearch(t, p)
		time.Sleep(7*time.Minute + time.Second) // no round of upkeep falls on a whole minute from here
		require.EqualValues(t, 2, p.Stat().Retired[RetiredMaxIdle])
		began := time.Now()
		for time.Since(began) < 31*time.Minute {
			mustBind(t, p)
			time.Sleep(time.Minute)
		}
		require.EqualValues(t, 1, p.Stat().Retired[RetiredMaxLifetime])
	})
	t.Run("waiters", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			m := newFakeNet()
			p := m.start(t, sizes(1, -1), func(c *Config) { c.BindOnly, c.MaxWaiters = true, 1 })
			mustBind(t, p)
			b := mustAcquire(t, p, core.Bind)
			waits := bindLater(t.Context(), p)
			synctest.Wait()
			requireFault(t, <-bindLater(t.Context(), p), ErrOverloaded)
			b.release()
			require.NoError(t, <-waits)
		})
	})
}
