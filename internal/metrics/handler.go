package metrics

import (
	"fmt"
	"log/slog"
	"net/http"

	"authsvc/internal/logsafe"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxScrapes bounds the scrapes that run at one time. Two Prometheus servers and a user of curl are
// three. Further ones are answered 503 immediately.
const maxScrapes = 4

// newHandler serves the metrics that could be gathered even if some could not: an incomplete
// dashboard is better than none. Exemplars are in OpenMetrics alone, which writes the buckets'
// bounds otherwise (1.0 for 1): it is offered only where there are some.
func newHandler(r *prometheus.Registry, log scrapeLog, exemplars bool) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorLog:            log,
		ErrorHandling:       promhttp.ContinueOnError,
		Registry:            r,
		MaxRequestsInFlight: maxScrapes,
		EnableOpenMetrics:   exemplars,
	})
}

// scrapeLog writes promhttp's errors to the log.
type scrapeLog struct {
	log    *slog.Logger
	limits *logsafe.Limiter
}

// Println implements promhttp.Logger.
func (l scrapeLog) Println(v ...any) {
	suppressed, ok := l.limits.Allow(logsafe.Key{What: "scrape"})
	if !ok {
		return
	}
	l.log.Warn("metrics scrape failed",
		slog.String("error", logsafe.Clean(fmt.Sprint(v...), logsafe.MaxText)), slog.Int("suppressed", suppressed))
}
