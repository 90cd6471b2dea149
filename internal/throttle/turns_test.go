package throttle_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/throttle"

	"github.com/stretchr/testify/require"
)

func TestTurns_OneAttemptOfAnAccountRunsAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := throttle.NewTurns(time.Minute)
		var mu sync.Mutex
		running, all := map[throttle.Account]int{}, 0
		change := func(account throttle.Account, by int) {
			mu.Lock()
			defer mu.Unlock()
			running[account] += by
			all += by
			require.LessOrEqual(t, running[account], 1)
		}
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				account := throttle.ByName(fmt.Sprint("user", i%4))
				release, waited, err := turns.Take(t.Context(), account, fmt.Sprint("192.0.2.", i%3))
				require.NoError(t, err)
				require.Equal(t, time.Since(began) > 0, waited)
				change(account, 1)
				time.Sleep(time.Second)
				change(account, -1)
				release()
			})
		}
		synctest.Wait()
		mu.Lock()
		require.Equal(t, 4, all, "accounts do not wait for one another")
		mu.Unlock()
		wg.Wait()
		require.Equal(t, 10*time.Second, time.Since(began))
		require.Zero(t, turns.Len(), "nothing is kept")
	})
}

// TestTurns_AnotherClientComesNext: of many attempts of one client at most one delays another
// client's.
func TestTurns_AnotherClientComesNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := throttle.NewTurns(time.Minute)
		var order []string
		var wg sync.WaitGroup
		for i, client := range []string{"2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1", "2001:db8::4", "192.0.2.1"} {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				release, _, err := turns.Take(t.Context(), throttle.ByName("user0"), client)
				require.NoError(t, err)
				order = append(order, client)
				time.Sleep(time.Second)
				release()
			})
		}
		wg.Wait()
		require.Equal(t, []string{"2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.1", "2001:db8::3", "2001:db8::4"}, order)
	})
}

func TestTurns_AnAttemptWaitsNoLongerThanItMay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns, account := throttle.NewTurns(2*time.Second), throttle.ByName("user0")
		release, _, err := turns.Take(t.Context(), account, "192.0.2.1")
		require.NoError(t, err)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		for _, ctx := range []context.Context{short, t.Context()} {
			_, _, err = turns.Take(ctx, account, "192.0.2.1")
			var refused *throttle.Refusal
			require.ErrorAs(t, err, &refused)
			require.False(t, refused.Exhausted)
			require.Equal(t, time.Second, refused.RetryAfter)
		}
		require.Equal(t, 3*time.Second, time.Since(began), "one by its own end, two by the maximum wait")
		release()
		release, waited, err := turns.Take(t.Context(), account, "192.0.2.1")
		require.NoError(t, err)
		require.False(t, waited, "who gave up is not waited for")
		release()
		require.Zero(t, turns.Len())
	})
}
