// Package metrics counts and times logins and the pool's work for Prometheus. It observes auth and
// ldappool, and reads snapshots of the pool, the throttle and the listener at each scrape. No label
// holds a user's name.
package metrics

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/connlimit"
	"authsvc/internal/logsafe"
	"authsvc/internal/throttle"
	"authsvc/ldappool"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Options configure Metrics.
type Options struct {
	// Registry takes the metrics; nil is a new one. One registry serves one Metrics.
	Registry *prometheus.Registry
	// Logger takes the errors of scrapes; nil discards them.
	Logger *slog.Logger
	// Version and Commit are the labels of authsvc_build_info.
	Version, Commit string
	// Limits are the configured limits of the durations of logins and their parts. The histograms
	// have a bound just above each.
	Limits []time.Duration
	// TraceID returns the sampled trace that an observation belongs to, or nothing. Observations in
	// a trace are exemplars. Nil means that there are no traces.
	TraceID func(context.Context) string
}

// Metrics holds every metric. Its methods may be called from several goroutines at once. It
// implements [auth.Observer].
type Metrics struct {
	registry *prometheus.Registry
	errors   scrapeLog
	traceID  func(context.Context) string // may be nil
	logins   *loginMetrics
	callers  *callerMetrics
	forward  *forwardMetrics
	ops      *opMetrics
	conns    *connMetrics
	pool     *poolCollector
	throttle *throttleCollector
	inbound  *inboundCollector
	certs    *certificates
}

var _ auth.Observer = (*Metrics)(nil)

// New registers every metric, at zero where its labels are known beforehand. It panics if the
// registry already has a Metrics.
func New(o Options) *Metrics {
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	pool, counts, certs, inbound := newPoolCollector(), newThrottleCollector(), newCertificates(), newInboundCollector()
	o.Registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		pool,
		counts,
		certs,
		inbound,
	)
	factory := promauto.With(o.Registry)
	factory.NewGaugeVec(prometheus.GaugeOpts{
		Name: "authsvc_build_info",
		Help: "Always 1; the labels identify the build.",
	}, []string{"version", "commit", "go_version"}).WithLabelValues(o.Version, o.Commit, runtime.Version()).Set(1)

	bounds := durationBuckets(o.Limits...)
	return &Metrics{
		registry: o.Registry,
		errors:   scrapeLog{log: o.Logger, limits: logsafe.NewLimiter()},
		traceID:  o.TraceID,
		logins:   newLoginMetrics(factory, bounds),
		callers:  newCallerMetrics(factory),
		forward:  newForwardMetrics(factory),
		ops:      newOpMetrics(factory, bounds),
		conns:    newConnMetrics(factory, bounds),
		pool:     pool,
		throttle: counts,
		inbound:  inbound,
		certs:    certs,
	}
}

// LoginDone counts and times one login.
func (m *Metrics) LoginDone(ctx context.Context, c auth.Credentials, r auth.Result) {
	m.logins.record(r, m.exemplar(ctx))
	m.callers.record(c.Caller, r.Outcome)
}

// Trace returns hooks for [ldappool.Config].
func (m *Metrics) Trace() ldappool.Trace {
	return ldappool.Trace{
		Acquired: func(ctx context.Context, e ldappool.AcquireEvent) { m.ops.acquired(e, m.exemplar(ctx)) },
		Operated: func(ctx context.Context, e ldappool.OperationEvent) {
			m.ops.operated(e, m.exemplar(ctx))
			m.conns.operated(e)
		},
		Dialed:        m.conns.dialed,
		Pinged:        m.conns.pinged,
		Retired:       m.conns.retired,
		ServerChanged: m.conns.serverChanged,
	}
}

// exemplar returns the labels of an observation that was made in a trace, or nil.
func (m *Metrics) exemplar(ctx context.Context) prometheus.Labels {
	if m.traceID == nil {
		return nil
	}
	if id := m.traceID(ctx); id != "" {
		return prometheus.Labels{"trace_id": id}
	}
	return nil
}

// observe adds to a histogram, with an exemplar if there is one.
func observe(h prometheus.Observer, value float64, exemplar prometheus.Labels) {
	if exemplar == nil {
		h.Observe(value)
		return
	}
	h.(prometheus.ExemplarObserver).ObserveWithExemplar(value, exemplar) //nolint:forcetypeassert // every histogram of the library is one
}

// WatchPool makes each scrape read the gauges of connections, callers and servers from stat. There
// are none before it is called. A second call replaces the first.
func (m *Metrics) WatchPool(stat func() *ldappool.Stat) { m.pool.stat.Store(&stat) }

// WatchThrottle makes each scrape read the metrics of the throttle from stat. There are none before
// it is called.
func (m *Metrics) WatchThrottle(stat func() throttle.Stat) { m.throttle.stat.Store(&stat) }

// WatchSharedThrottle makes each scrape read the metrics of the shared throttle from stat. There
// are none before it is called.
func (m *Metrics) WatchSharedThrottle(stat func() throttle.SharedStat) {
	m.throttle.shared.Store(&stat)
}

// WatchInbound makes each scrape read the metrics of callers' connections from stat. There are none
// before it is called.
func (m *Metrics) WatchInbound(stat func() connlimit.Stat) { m.inbound.stat.Store(&stat) }

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return newHandler(m.registry, m.errors, m.traceID != nil)
}
