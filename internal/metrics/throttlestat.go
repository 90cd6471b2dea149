package metrics

import (
	"sync/atomic"

	"authsvc/internal/throttle"

	"github.com/prometheus/client_golang/prometheus"
)

// throttleCollector makes metrics of the throttle's snapshot at every scrape.
type throttleCollector struct {
	stat atomic.Pointer[func() throttle.Stat] // nil until there is a throttle

	entries, waiting, forgotten, refused *prometheus.Desc
}

func newThrottleCollector() *throttleCollector {
	return &throttleCollector{
		entries: prometheus.NewDesc("authsvc_throttle_entries",
			"Counts of failures that are kept now, for accounts and for clients of accounts.", nil, nil),
		waiting: prometheus.NewDesc("authsvc_throttle_waiting_attempts",
			"Attempts that wait for others on the same account to be decided.", nil, nil),
		forgotten: prometheus.NewDesc("authsvc_throttle_forgotten_total",
			"Counts that were dropped because there were too many; accounts not known are taken to owe as much.", nil, nil),
		refused: prometheus.NewDesc("authsvc_throttle_refused_total",
			"Attempts that the throttle refused, by the limit that was exhausted or whose budget undecided attempts held.", []string{"limit"}, nil),
	}
}

// Describe sends the description of every metric.
func (c *throttleCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.entries
	ch <- c.waiting
	ch <- c.forgotten
	ch <- c.refused
}

// Collect takes one snapshot and sends the metrics of it.
func (c *throttleCollector) Collect(ch chan<- prometheus.Metric) {
	read := c.stat.Load()
	if read == nil {
		return
	}
	s := (*read)()
	gauge(ch, c.entries, float64(s.Entries))
	gauge(ch, c.waiting, float64(s.Waiting))
	ch <- prometheus.MustNewConstMetric(c.forgotten, prometheus.CounterValue, float64(s.Forgotten))
	for i, n := range s.Refused {
		ch <- prometheus.MustNewConstMetric(c.refused, prometheus.CounterValue, float64(n), throttle.Limit(i).String())
	}
}
