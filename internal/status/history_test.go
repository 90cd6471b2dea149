package status

import (
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/metrics"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// running gives a page that runs until the bubble's test ends.
func running(t *testing.T, w *testService) *Page {
	t.Helper()
	p := New(w.config())
	go p.Run(t.Context())
	return p
}

func TestHistory_KeepsTheLastMinutesInSteps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTestService()
		p := running(t, w)
		for second := range 3600 {
			w.login(auth.OK, uint64(second/5%7), 0) // as many in each second of a step
			time.Sleep(time.Second)
		}
		synctest.Wait()
		ok := read(t, p).Logins.Outcomes[0]
		require.Equal(t, "ok", ok.Outcome)
		require.Len(t, ok.PerSecond, steps)
		var sum float64
		for _, rate := range ok.PerSecond {
			sum += rate * 5
			require.LessOrEqual(t, rate, 7.2, "a second too many at most, at the edge of a step")
		}
		require.InDelta(t, ok.Recent, sum, 1)
		require.Greater(t, ok.Total, ok.Recent)
		require.LessOrEqual(t, cap(p.history.ends), 2*steps, "an hour takes no more room than five minutes")
	})
}

func TestHistory_LastStepShowsTheLatestEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTestService()
		p := running(t, w)
		time.Sleep(7500 * time.Millisecond)
		w.login(auth.InvalidPassword, 4, 1)
		time.Sleep(time.Second)
		synctest.Wait()
		s := read(t, p)
		require.Equal(t, []outcome{
			{"ok", 0, 0, []float64{0, 0}},
			{"invalid_password", 4, 4, []float64{0, 1.33}}, // in three seconds of the second step
		}, s.Logins.Outcomes)
		require.Equal(t, phase{"login", 4, 0.0055, 0.00991, []float64{0, 0.0055}, []float64{0, 0.00991}}, s.Logins.Phases[0])
		require.Equal(t, phase{"wait", 0, 0, 0, []float64{0, 0}, []float64{0, 0}}, s.Logins.Phases[1])
	})
}

func TestHistory_EstimatesQuantilesLikePrometheus(t *testing.T) {
	t.Parallel()
	bounds := []float64{0.001, 0.01, 0.1}
	for _, c := range []struct {
		name   string
		counts []uint64
		q      float64
		want   float64
	}{
		{"nothing was timed", []uint64{0, 0, 0, 0}, 0.5, 0},
		{"all in the first bucket", []uint64{10, 0, 0, 0}, 0.5, 0.0005},
		{"all in one bucket", []uint64{0, 10, 0, 0}, 0.5, 0.0055},
		{"one alone", []uint64{0, 0, 1, 0}, 0.99, 0.0991},
		{"at the bound of two", []uint64{5, 5, 0, 0}, 0.5, 0.001},
		{"buckets without any between", []uint64{1, 0, 1, 0}, 0.99, 0.0982},
		{"beyond every bound", []uint64{0, 0, 0, 3}, 0.5, 0.1},
	} {
		assert.InDelta(t, c.want, quantile(c.q, metrics.Histogram{Bounds: bounds, Counts: c.counts}), 1e-9, c.name)
	}
}

// TestPage_ShowsWaitsThatTimedOutAsJustAboveTheLimit: the bounds of the histogram are made of
// the limits.
func TestPage_ShowsWaitsThatTimedOutAsJustAboveTheLimit(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Options{Limits: []time.Duration{2 * time.Second}})
	c := newTestService().config()
	c.Counts = m.Counts
	p := New(c)
	for range 100 {
		phases := auth.Phases{Wait: 2003 * time.Millisecond, Total: 2003 * time.Millisecond}
		m.LoginDone(t.Context(), auth.Credentials{}, auth.Result{Outcome: auth.Overloaded, Phases: phases})
	}
	p.tick()
	for _, phase := range read(t, p).Logins.Phases[:2] {
		require.InDelta(t, 2.05, phase.P99, 0.06, phase.Phase)
	}
}
