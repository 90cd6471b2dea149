package main

import (
	"log/slog"

	"authsvc/config"
	"authsvc/internal/audit"
	"authsvc/internal/auth"
	"authsvc/internal/fanout"
	"authsvc/internal/journal"
	"authsvc/internal/metrics"
	"authsvc/internal/tracing"
	"authsvc/ldappool"
)

// observers are those that see each login and each event of the pool, and their fan-out.
type observers struct {
	metrics *metrics.Metrics
	journal *journal.Journal
	spans   *tracing.Tracing // nil if there is no collector

	logins auth.Observer
	trace  ldappool.Trace
}

// newObservers makes all observers. Its error is a wrong variable of OpenTelemetry's.
func newObservers(cfg *config.Config, log *slog.Logger) (*observers, error) {
	b := thisBuild()
	spans, err := tracing.New(cfg.OTel, b.version, log)
	if err != nil {
		return nil, &usageError{err}
	}
	options := metrics.Options{Logger: log, Version: b.version, Commit: b.commit, Limits: timeLimits(cfg)}
	if spans != nil {
		options.TraceID = spans.SampledTraceID
	}
	o := &observers{metrics: metrics.New(options), journal: journal.New(log), spans: spans}
	o.logins = fanout.Logins(o.metrics, audit.New(log, spans.TraceID), o.journal, spans)
	o.trace = fanout.Traces(o.metrics.Trace(), o.journal.Trace(), spans.Trace())
	return o, nil
}

// watchPool shows the pool to the observers that report its state.
func (o *observers) watchPool(stat func() *ldappool.Stat) {
	o.metrics.WatchPool(stat)
	o.journal.WatchPool(stat)
}
