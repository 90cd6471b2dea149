package metrics

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"authsvc/internal/auth"

	"github.com/stretchr/testify/require"
)

func TestDurationBuckets_HaveABoundJustAboveEachLimit(t *testing.T) {
	t.Parallel()
	for _, limit := range []time.Duration{time.Millisecond, 90 * time.Millisecond, 2 * time.Second, 10 * time.Second, 45 * time.Second, time.Hour} {
		bounds := durationBuckets(limit, 0, limit)
		require.True(t, slices.IsSorted(bounds))
		require.Len(t, bounds, len(durationBuckets())+1, "each once, and none for what has no limit")
		late := limit.Seconds() * 1.005 // as a timer is
		i, _ := slices.BinarySearch(bounds, late)
		require.Less(t, i, len(bounds), "nothing that a limit ended is beyond all bounds")
		require.LessOrEqual(t, bounds[i], limit.Seconds()*1.06, "%v", limit)
	}
	require.Equal(t, durationBuckets(), durationBuckets(0))
}

func TestCounts_HaveTheBoundsOfTheLimits(t *testing.T) {
	t.Parallel()
	m := New(Options{Limits: []time.Duration{2 * time.Second, 45 * time.Second}})
	phases := auth.Phases{Wait: 2001 * time.Millisecond, Total: 45 * time.Second}
	m.LoginDone(context.Background(), auth.Credentials{}, auth.Result{Outcome: auth.Overloaded, Phases: phases})
	c := m.Counts()
	at := func(h Histogram, bound float64) uint64 { return h.Counts[slices.Index(h.Bounds, bound)] }
	require.Equal(t, uint64(1), at(c.Wait, 2.1))
	require.Equal(t, uint64(1), at(c.Login, 47.25))
}

func TestCounts_EqualTheMetrics(t *testing.T) {
	t.Parallel()
	m, _ := newTest(slog.LevelError)
	for range 3 {
		m.LoginDone(t.Context(), auth.Credentials{}, auth.Result{Outcome: auth.OK, Phases: auth.Phases{Wait: time.Microsecond, Search: time.Millisecond, Bind: 3 * time.Millisecond, Total: 4 * time.Millisecond}})
	}
	m.LoginDone(t.Context(), auth.Credentials{}, auth.Result{Outcome: auth.DirectoryTimeout, Phases: auth.Phases{Total: time.Minute}})
	m.LoginDone(t.Context(), auth.Credentials{}, auth.Result{Outcome: auth.TooManyAttempts, Phases: auth.Phases{Total: time.Millisecond}})
	c := m.Counts()
	require.Len(t, c.Logins, len(auth.Outcomes()))
	require.Equal(t, []uint64{3, 1, 1}, []uint64{c.Logins[auth.OK.Status()], c.Logins[auth.DirectoryTimeout.Status()], c.Logins[auth.TooManyAttempts.Status()]})
	in := func(h Histogram, bucket int) uint64 { return h.Counts[bucket] }
	require.Equal(t, uint64(3), in(c.Login, 4), "2 to 5 ms")
	require.Equal(t, uint64(1), in(c.Login, len(c.Login.Bounds)), "beyond every bound")
	require.Equal(t, uint64(4), c.Login.Total(), "what was not asked of the directory says nothing of its time")
	require.Equal(t, []uint64{3, 3, 3}, []uint64{in(c.Wait, 0), in(c.Search, 2), in(c.Bind, 4)})
}
