package metrics

import (
	"sync/atomic"

	"authsvc/internal/throttle"

	"github.com/prometheus/client_golang/prometheus"
)

// throttleCollector makes metrics of the throttle's snapshot at every scrape.
type throttleCollector struct {
	stat   atomic.Pointer[func() throttle.Stat]       // nil until there is a throttle
	shared atomic.Pointer[func() throttle.SharedStat] // nil until it is shared

	entries, waiting, forgotten, refused *prometheus.Desc
	up, dropped, alone                   *prometheus.Desc
}

func newThrottleCollector() *throttleCollector {
	return &throttleCollector{
		entries: prometheus.NewDesc("authsvc_throttle_entries",
			"Counters of failures in memory, for accounts and for clients of accounts.", nil, nil),
		waiting: prometheus.NewDesc("authsvc_throttle_waiting_attempts",
			"Attempts that are waiting for other attempts on the same account.", nil, nil),
		forgotten: prometheus.NewDesc("authsvc_throttle_forgotten_total",
			"Counters that were discarded because there were too many; unknown accounts are charged with the discarded failures.", nil, nil),
		refused: prometheus.NewDesc("authsvc_throttle_refused_total",
			"Attempts that the throttle refused, by the limit that was exhausted or held by undecided attempts.", []string{"limit"}, nil),
		up: prometheus.NewDesc("authsvc_throttle_shared_up",
			"1 while the shared throttle's server is asked; 0 while this instance counts alone.", nil, nil),
		dropped: prometheus.NewDesc("authsvc_throttle_shared_dropped_total",
			"Results of attempts that the shared throttle's server was not told, because it was away.", nil, nil),
		alone: prometheus.NewDesc("authsvc_throttle_shared_alone_total",
			"Attempts that only this instance's throttle decided, because the shared throttle's server was late or away.", nil, nil),
	}
}

// Describe sends the description of every metric.
func (c *throttleCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.entries
	ch <- c.waiting
	ch <- c.forgotten
	ch <- c.refused
	ch <- c.up
	ch <- c.dropped
	ch <- c.alone
}

// Collect takes one snapshot and sends the metrics of it.
func (c *throttleCollector) Collect(ch chan<- prometheus.Metric) {
	if read := c.shared.Load(); read != nil {
		s := (*read)()
		up := 0.0
		if s.Up {
			up = 1
		}
		gauge(ch, c.up, up)
		ch <- prometheus.MustNewConstMetric(c.dropped, prometheus.CounterValue, float64(s.Dropped))
		ch <- prometheus.MustNewConstMetric(c.alone, prometheus.CounterValue, float64(s.Alone))
	}
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
