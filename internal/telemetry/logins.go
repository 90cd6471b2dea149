package telemetry

import (
	"time"

	"authsvc/internal/auth"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// durationBuckets are the bounds of every histogram, in seconds. A directory next door answers in half a
// millisecond, and the last things that may happen are the timeouts: by default 2 s for a connection, 5 s for a
// request, 10 s for a login, all bounds here, so that what ran into one is told from what only just made it.
// In between steps of 2 to 2.5 keep a quantile's error within the noise of a login's own time.
//
// The histograms are classic ones. Native ones would be finer, but only protobuf carries them: curl shows nothing
// of them, and a Prometheus that was not told to take them stores nothing of them.
func durationBuckets() []float64 {
	return []float64{
		0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10,
	}
}

// loginClass groups outcomes where sixteen of them would be too many series.
type loginClass uint8

const (
	classVerdict loginClass = iota // the directory decided: statuses 0 to 8
	classRefused                   // it was not asked: 9, 10, 15
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

// loginMetrics are the metrics of logins. Every series is resolved once, here: an observation is a few atomic
// operations.
type loginMetrics struct {
	outcomes           []prometheus.Counter // by auth.Outcome
	duration           [classCount]prometheus.Observer
	wait, search, bind prometheus.Observer
}

func newLoginMetrics(f promauto.Factory) *loginMetrics {
	outcomes := f.NewCounterVec(prometheus.CounterOpts{
		Name: "authsvc_logins_total",
		Help: "Logins that ended, by outcome.",
	}, []string{"outcome"})
	duration := f.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "authsvc_login_duration_seconds",
		Help:    "Time from a login's start to its end: verdict of the directory, refused before it was asked, or fault.",
		Buckets: durationBuckets(),
	}, []string{"class"})
	phase := f.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "authsvc_login_phase_duration_seconds",
		Help:    "Time of a login's parts: wait for connections, search, bind. A part that did not happen is not counted.",
		Buckets: durationBuckets(),
	}, []string{"phase"})

	m := &loginMetrics{
		wait:   phase.WithLabelValues("wait"),
		search: phase.WithLabelValues("search"),
		bind:   phase.WithLabelValues("bind"),
	}
	for _, o := range auth.Outcomes() {
		m.outcomes = append(m.outcomes, outcomes.WithLabelValues(o.Code()))
	}
	for class, name := range loginClasses() {
		m.duration[class] = duration.WithLabelValues(name)
	}
	return m
}

func (m *loginMetrics) done(r auth.Result, exemplar prometheus.Labels) {
	o := r.Outcome
	if int(o) >= len(m.outcomes) {
		o = auth.InternalError // an outcome that is none is a fault of ours
	}
	m.outcomes[o].Inc()
	observe(m.duration[classOf(o)], r.Phases.Total.Seconds(), exemplar)
	observePhase(m.wait, r.Phases.Wait, exemplar)
	observePhase(m.search, r.Phases.Search, exemplar)
	observePhase(m.bind, r.Phases.Bind, exemplar)
}

func observePhase(h prometheus.Observer, d time.Duration, exemplar prometheus.Labels) {
	if d > 0 {
		observe(h, d.Seconds(), exemplar)
	}
}
