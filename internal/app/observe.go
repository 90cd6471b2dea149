package app

import (
	"crypto/tls"
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
func newObservers(cfg *config.Config, b Build, log *slog.Logger) (*observers, error) {
	spans, err := tracing.New(cfg.OTel, b.Version, log)
	if err != nil {
		return nil, err
	}
	options := metrics.Options{Logger: log, Version: b.Version, Commit: b.Commit, Limits: timeLimits(cfg)}
	if spans != nil {
		options.TraceID = spans.SampledTraceID
	}
	o := &observers{metrics: metrics.New(options), journal: journal.New(log), spans: spans}
	o.logins = fanout.Logins(o.metrics, audit.New(log, spans.TraceID), o.journal, spans)
	o.trace = fanout.Traces(o.metrics.Trace(), o.journal.Trace(), spans.Trace())
	return o, nil
}

// reportDirectoryCertificates makes c report the certificates that the directory's servers show. It
// does not change a configuration that reports them already, because connections may be dialed with
// it now.
func (o *observers) reportDirectoryCertificates(c *tls.Config) {
	if c == nil || c.VerifyConnection != nil {
		return
	}
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) > 0 {
			o.metrics.CertificateSeen(metrics.DirectoryCertificate, state.ServerName, state.PeerCertificates[0].NotAfter)
		}
		return nil // the handshake has verified it
	}
}

// reportOwnCertificates reports the certificates that the service itself shows: to the directory,
// and to its callers.
func (o *observers) reportOwnCertificates(directory, callers *tls.Config) {
	for use, c := range map[string]*tls.Config{metrics.ClientCertificate: directory, metrics.ListenerCertificate: callers} {
		if c != nil && len(c.Certificates) > 0 && c.Certificates[0].Leaf != nil { // which loading a pair fills in
			o.metrics.CertificateSeen(use, "", c.Certificates[0].Leaf.NotAfter)
		}
	}
}
