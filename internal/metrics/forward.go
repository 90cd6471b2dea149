package metrics

import (
	"authsvc/internal/auth"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// forwardMetrics counts the answers to reverse proxies, and shows what is remembered for them.
type forwardMetrics struct{ answers *prometheus.CounterVec }

func newForwardMetrics(f promauto.Factory) *forwardMetrics {
	return &forwardMetrics{f.NewCounterVec(prometheus.CounterOpts{
		Name: "authsvc_forward_requests_total",
		Help: "Requests of reverse proxies at /auth/basic, by what they were answered and whether from the cache of credentials.",
	}, []string{"result", "cache"})}
}

// CountForwards returns what counts an answer to a reverse proxy. results are all there can be:
// their series begin at zero.
func (m *Metrics) CountForwards(results []string) func(result string, source auth.Source) {
	for _, result := range results {
		for _, source := range auth.Sources() {
			m.forward.answers.WithLabelValues(result, string(source))
		}
	}
	return func(result string, source auth.Source) {
		m.forward.answers.WithLabelValues(result, string(source)).Inc()
	}
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
