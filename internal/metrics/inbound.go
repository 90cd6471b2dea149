package metrics

import (
	"sync/atomic"

	"authsvc/internal/connlimit"

	"github.com/prometheus/client_golang/prometheus"
)

// inboundCollector makes metrics of the main listener's snapshot at every scrape.
type inboundCollector struct {
	stat atomic.Pointer[func() connlimit.Stat] // nil until there is a listener

	open, limit, dropped *prometheus.Desc
}

func newInboundCollector() *inboundCollector {
	return &inboundCollector{
		open:    prometheus.NewDesc("authsvc_http_connections", "Open connections of callers.", nil, nil),
		limit:   prometheus.NewDesc("authsvc_http_connections_max", "Maximum number of open connections of callers.", nil, nil),
		dropped: prometheus.NewDesc("authsvc_http_connections_dropped_total", "Connections of callers that were closed to make room for new ones.", nil, nil),
	}
}

// Describe sends the description of every metric.
func (c *inboundCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.open
	ch <- c.limit
	ch <- c.dropped
}

// Collect takes one snapshot and sends the metrics of it.
func (c *inboundCollector) Collect(ch chan<- prometheus.Metric) {
	read := c.stat.Load()
	if read == nil {
		return
	}
	s := (*read)()
	gauge(ch, c.open, float64(s.Open))
	gauge(ch, c.limit, float64(s.Max))
	ch <- prometheus.MustNewConstMetric(c.dropped, prometheus.CounterValue, float64(s.Dropped))
}
