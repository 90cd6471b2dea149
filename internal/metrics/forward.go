package metrics

import (
	"authsvc/internal/auth"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// forwardMetrics counts the answers to reverse proxies, and shows what is remembered for them.
type forwardMetrics struct {
	answers *prometheus.CounterVec
	results []forwardCounters // set by CountForwards
}

// forwardCounters count the answers with one result, by source.
type forwardCounters struct {
	result   string
	counters map[auth.Source]prometheus.Counter
}

func newForwardMetrics(f promauto.Factory) *forwardMetrics {
	return &forwardMetrics{answers: f.NewCounterVec(prometheus.CounterOpts{
		Name: "authsvc_forward_requests_total",
		Help: "Requests of reverse proxies at /auth/basic, by what they were answered and whether from the cache of credentials.",
	}, []string{"result", "cache"})}
}

// CountForwards returns what counts an answer to a reverse proxy. results are all there can be:
// their series begin at zero. It is called once, before Counts.
func (m *Metrics) CountForwards(results []string) func(result string, source auth.Source) {
	byResult := map[string]map[auth.Source]prometheus.Counter{}
	for _, result := range results {
		counters := map[auth.Source]prometheus.Counter{}
		for _, source := range auth.Sources() {
			counters[source] = m.forward.answers.WithLabelValues(result, string(source))
		}
		byResult[result] = counters
		m.forward.results = append(m.forward.results, forwardCounters{result, counters})
	}
	return func(result string, source auth.Source) { byResult[result][source].Inc() }
}

// counts returns the current counts.
func (m *forwardMetrics) counts() []Forwards {
	all := make([]Forwards, 0, len(m.results))
	for _, r := range m.results {
		f := Forwards{Result: r.result, BySource: make(map[auth.Source]uint64, len(r.counters))}
		for source, counter := range r.counters {
			f.BySource[source] = uint64(metricOf(counter).GetCounter().GetValue())
		}
		all = append(all, f)
	}
	return all
}

// WatchRemembered makes each scrape read from count for how many names and clients the accepted
// credentials are remembered, and for how many only rejected ones.
func (m *Metrics) WatchRemembered(count func() (accepted, rejected int)) {
	f := promauto.With(m.registry)
	const name, help = "authsvc_forward_cache_entries", "Names and clients whose credentials are remembered for reverse proxies."
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: prometheus.Labels{"verdict": "accepted"}}, func() float64 {
		accepted, _ := count()
		return float64(accepted)
	})
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: prometheus.Labels{"verdict": "rejected"}}, func() float64 {
		_, rejected := count()
		return float64(rejected)
	})
}
