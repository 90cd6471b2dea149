package telemetry

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"

	"authsvc/internal/auth"
	"authsvc/internal/throttle"
	"authsvc/ldappool"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Options say where telemetry goes and what build it tells of.
type Options struct {
	// Registry takes the metrics; nil is a new one. One registry serves one Telemetry.
	Registry *prometheus.Registry
	// Logger takes the lines; nil discards them.
	Logger *slog.Logger
	// Version and Commit are the labels of authsvc_build_info.
	Version, Commit string
	// Tracing makes spans, exemplars and the audit line's trace_id; nil makes none.
	Tracing *Tracing
}

// Telemetry turns what auth and ldappool tell into metrics and log lines. Its methods may be called from several
// goroutines at once.
type Telemetry struct {
	registry *prometheus.Registry
	limits   *limiter
	log      *slog.Logger
	audit    audit
	tracing  *Tracing
	events   *events
	logins   *loginMetrics
	callers  *callerMetrics
	ops      *opMetrics
	conns    *connMetrics
	pool     *poolCollector
	throttle *throttleCollector
	certs    *certificates
	faults   *faults
}

var _ auth.Observer = (*Telemetry)(nil)

// New registers every metric, at zero where its labels are known beforehand. It panics on a registry that another
// Telemetry has.
func New(o Options) *Telemetry {
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	pool, counts, certs := newPoolCollector(), newThrottleCollector(), newCertificates()
	o.Registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		pool,
		counts,
		certs,
	)
	factory := promauto.With(o.Registry)
	factory.NewGaugeVec(prometheus.GaugeOpts{
		Name: "authsvc_build_info",
		Help: "Always 1; the labels say what is running.",
	}, []string{"version", "commit", "go_version"}).WithLabelValues(o.Version, o.Commit, runtime.Version()).Set(1)

	limits := newLimiter()
	return &Telemetry{
		registry: o.Registry,
		limits:   limits,
		log:      o.Logger,
		audit:    audit{log: o.Logger, tracing: o.Tracing},
		tracing:  o.Tracing,
		events:   newEvents(o.Logger, limits, pool.snapshot),
		logins:   newLoginMetrics(factory),
		callers:  newCallerMetrics(factory),
		ops:      newOpMetrics(factory),
		conns:    newConnMetrics(factory),
		pool:     pool,
		throttle: counts,
		certs:    certs,
		faults:   new(faults),
	}
}

// LoginDone counts and times one login and writes its audit line. It implements [auth.Observer].
func (t *Telemetry) LoginDone(ctx context.Context, c auth.Credentials, r auth.Result) {
	t.logins.done(r, t.tracing.exemplar(ctx))
	t.callers.done(c.Caller, r.Outcome)
	t.audit.done(ctx, c, r)
	t.faults.loginDone(r)
	t.tracing.loginDone(ctx, c, r)
}

// Trace returns hooks for [ldappool.Config]. Every one is set.
func (t *Telemetry) Trace() ldappool.Trace {
	return ldappool.Trace{
		Acquired: func(ctx context.Context, e ldappool.AcquireEvent) {
			t.ops.acquired(e, t.tracing.exemplar(ctx))
			t.tracing.acquired(ctx, e)
		},
		Operated: func(ctx context.Context, e ldappool.OperationEvent) {
			t.ops.operated(e, t.tracing.exemplar(ctx))
			t.conns.operated(e)
			t.faults.operated(e)
			t.events.operated(e)
			t.tracing.operated(ctx, e)
		},
		Dialed: func(e ldappool.DialEvent) {
			t.conns.dialed(e)
			t.events.dialed(e)
			t.faults.dialed(e)
			t.tracing.dialed(e)
		},
		Pinged: func(e ldappool.PingEvent) {
			t.conns.pinged(e)
			t.events.pinged(e)
			t.faults.pinged(e)
		},
		Retired: func(e ldappool.RetireEvent) {
			t.conns.retired(e)
			t.events.retired(e)
			t.faults.retired(e)
		},
		ServerChanged: func(e ldappool.ServerEvent) {
			t.conns.serverChanged(e)
			t.events.serverChanged(e)
		},
		LimitLearned: t.events.limitLearned,
		LookedUp:     t.events.lookedUp,
		Reconfigured: t.events.reconfigured,
	}
}

// WatchPool has the gauges of connections, callers and servers read from stat at every scrape, and the log say what becomes
// of logins. Until it is called there is none of that. A second call replaces the first.
func (t *Telemetry) WatchPool(stat func() *ldappool.Stat) {
	t.pool.stat.Store(&stat)
}

// WatchThrottle has the metrics of the throttle read from stat at every scrape. Until it is called there are none.
func (t *Telemetry) WatchThrottle(stat func() throttle.Stat) {
	t.throttle.stat.Store(&stat)
}

// Handler serves the metrics.
func (t *Telemetry) Handler() http.Handler {
	return newHandler(t.registry, scrapeLog{log: t.log, limits: t.limits}, t.tracing != nil)
}
