package metrics

import (
	"math"
	"slices"
	"time"

	"authsvc/internal/auth"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// durationBuckets returns the bounds of every histogram, in seconds. A directory nearby answers in
// half a millisecond. The longest durations are the timeouts: by default 2 s for a connection, 5 s
// for a request and 10 s for a login. Each of them is a bound, which separates what ran into a
// timeout from what only just met it. What ran into a timeout took a little longer. So there is
// another bound just above each configured limit, and no quantile is much larger than the limit. In
// between, steps of 2 to 2.5 keep a quantile's error within the noise of a login's own time.
//
// The histograms are classic ones. Native ones would be finer, but only protobuf carries them: curl
// does not show them, and a Prometheus that is not configured for them does not store them.
func durationBuckets(limits ...time.Duration) []float64 {
	bounds := []float64{
		0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10,
	}
	for _, limit := range limits {
		if limit > 0 {
			const above = 1.05
			bounds = append(bounds, math.Round(limit.Seconds()*above*1e6)/1e6)
		}
	}
	slices.Sort(bounds)
	return slices.Compact(bounds)
}

// loginClass groups outcomes where sixteen of them would be too many series.
type loginClass uint8

const (
	classVerdict loginClass = iota // the directory decided: statuses 0 to 8
	classRefused                   // no password was tried: 9, 10, 15
	classFault                     // nobody could find out: 11 to 14

	classCount
)

func classOf(o auth.Outcome) loginClass {
	switch {
	case o.IsVerdict():
		return classVerdict
	case o.IsFault():
		return classFault
	}
	return classRefused
}

// loginMetrics are the metrics of logins. Every series is resolved once, here: an observation is a
// few atomic operations.
type loginMetrics struct {
	outcomes           []prometheus.Counter // by status
	duration           [classCount]prometheus.Observer
	wait, search, bind prometheus.Observer
	bounds             []float64 // of the histograms
}

func newLoginMetrics(f promauto.Factory, bounds []float64) *loginMetrics {
	outcomes := f.NewCounterVec(prometheus.CounterOpts{
		Name: "authsvc_logins_total",
		Help: "Finished logins, by outcome.",
	}, []string{"outcome"})
	duration := f.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "authsvc_login_duration_seconds",
		Help:    "Time from a login's start to its end, by how it ended: verdict of the directory, refusal before a password was tried, or fault.",
		Buckets: bounds,
	}, []string{"class"})
	phase := f.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "authsvc_login_phase_duration_seconds",
		Help:    "Time of a login's phases: wait for connections, search, bind. A phase that did not take place is not counted.",
		Buckets: bounds,
	}, []string{"phase"})

	m := &loginMetrics{
		wait:   phase.WithLabelValues("wait"),
		search: phase.WithLabelValues("search"),
		bind:   phase.WithLabelValues("bind"),
		bounds: bounds,
	}
	for _, o := range auth.Outcomes() {
		m.outcomes = append(m.outcomes, outcomes.WithLabelValues(o.Code()))
	}
	for class, name := range loginClasses() {
		m.duration[class] = duration.WithLabelValues(name)
	}
	return m
}

func (m *loginMetrics) record(r auth.Result, exemplar prometheus.Labels) {
	m.outcomes[r.Outcome.Status()].Inc()
	observe(m.duration[classOf(r.Outcome)], r.Phases.Total.Seconds(), exemplar)
	observePhase(m.wait, r.Phases.Wait, exemplar)
	observePhase(m.search, r.Phases.Search, exemplar)
	observePhase(m.bind, r.Phases.Bind, exemplar)
}

func observePhase(h prometheus.Observer, d time.Duration, exemplar prometheus.Labels) {
	if d > 0 {
		observe(h, d.Seconds(), exemplar)
	}
}
