package ldappool

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// slow makes the directory take a while for each user's bind.
func slow(h *host, took time.Duration) {
	h.on(func(p *peer, r *request) bool {
		if r.kind == "bind" {
			select {
			case <-time.After(took):
			case <-p.host.net.over:
			}
		}
		return false
	})
}

// bindsLater does n binds at one time.
func bindsLater(ctx context.Context, p *Pool, n int) (done []<-chan error) {
	for range n {
		done = append(done, bindLater(ctx, p))
	}
	return done
}

func TestPace_CallersBeyondTheirDeadlineAreRejectedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(1, 1), func(c *Config) { c.BindOnly, c.MaxWait = true, 10*time.Second })
		synctest.Wait()
		slow(m.hosts["one"], 500*time.Millisecond)
		served := bindsLater(t.Context(), p, 20)
		time.Sleep(3100 * time.Millisecond)
		require.Equal(t, 13, p.Stat().Bind.Waiting)

		short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		err := <-bindLater(short, p)
		require.Zero(t, time.Since(began))
		require.ErrorIs(t, err, ErrOverloaded)
		require.ErrorContains(t, err, "the expected wait is about 6.5s, and the caller has 2s")
		var op *OpError
		require.ErrorAs(t, err, &op)
		require.Equal(t, 6500*time.Millisecond, op.Queue)
		require.EqualValues(t, 1, p.Stat().Refused)

		long, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		for _, done := range append(served, bindLater(long, p)) {
			require.NoError(t, <-done)
		}
	})
}

func TestPace_UnknownOneAdmitsEveryCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(1, 1), func(c *Config) { c.BindOnly = true })
		synctest.Wait()
		slow(m.hosts["one"], time.Second)
		all := bindsLater(t.Context(), p, 100)
		synctest.Wait()
		require.Equal(t, 99, p.Stat().Bind.Waiting)
		require.Zero(t, p.Stat().Refused)
		for _, done := range all {
			<-done
		}
	})
}

func TestPace_OfAnEarlierQueueIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(1, 1), func(c *Config) { c.BindOnly, c.MaxWait = true, 10*time.Second })
		synctest.Wait()
		slow(m.hosts["one"], time.Second)
		for _, done := range bindsLater(t.Context(), p, 8) {
			require.NoError(t, <-done)
		}
		slow(m.hosts["one"], time.Millisecond)
		for _, done := range bindsLater(t.Context(), p, 100) {
			require.NoError(t, <-done)
		}
	})
}

func TestPace_FasterQueueAdmitsCallersAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(1, 1), func(c *Config) { c.BindOnly, c.MaxWait = true, 10*time.Second })
		synctest.Wait()
		slow(m.hosts["one"], time.Second)
		all := bindsLater(t.Context(), p, 100)
		time.Sleep(4500 * time.Millisecond)
		require.ErrorIs(t, <-bindLater(t.Context(), p), ErrOverloaded)
		slow(m.hosts["one"], 10*time.Millisecond)
		time.Sleep(500*time.Millisecond + 16*10*time.Millisecond)
		require.Positive(t, p.Stat().Bind.Waiting)
		for _, done := range append(all, bindLater(t.Context(), p)) {
			require.NoError(t, <-done)
		}
	})
}
