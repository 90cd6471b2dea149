package metrics

import (
	"sync"

	"authsvc/internal/auth"
	"authsvc/internal/logsafe"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// maxCallers bounds the callers that have series of their own. Those beyond share the name
// otherCaller: a certificate's authority may have named any number.
const (
	maxCallers    = 64
	maxCallerName = 64 // bytes
	otherCaller   = "other"
)

// loginClasses are the names of loginClass.
func loginClasses() [classCount]string { return [classCount]string{"verdict", "refused", "fault"} }

// callerMetrics counts logins by who asked for them. Callers without a name are not counted: there
// are none, or all are without.
type callerMetrics struct {
	logins *prometheus.CounterVec

	mu     sync.RWMutex
	caller map[string]*[classCount]prometheus.Counter // guarded by mu; at most maxCallers and one
}

func newCallerMetrics(f promauto.Factory) *callerMetrics {
	return &callerMetrics{
		logins: f.NewCounterVec(prometheus.CounterOpts{
			Name: "authsvc_caller_logins_total",
			Help: "Finished logins, by the caller that requested them; there are no series unless callers have keys or certificates.",
		}, []string{"caller", "class"}),
		caller: map[string]*[classCount]prometheus.Counter{},
	}
}

func (m *callerMetrics) done(c auth.Caller, o auth.Outcome) {
	if c.Name != "" {
		m.of(logsafe.Clean(c.Name, maxCallerName))[classOf(o)].Inc()
	}
}

// of returns a caller's counters, all of them at zero where it is new.
func (m *callerMetrics) of(name string) *[classCount]prometheus.Counter {
	m.mu.RLock()
	counters := m.caller[name]
	m.mu.RUnlock()
	if counters != nil {
		return counters
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.caller[name] == nil && len(m.caller) >= maxCallers {
		name = otherCaller
	}
	if m.caller[name] == nil {
		counters = new([classCount]prometheus.Counter)
		for class, label := range loginClasses() {
			counters[class] = m.logins.WithLabelValues(name, label)
		}
		m.caller[name] = counters
	}
	return m.caller[name]
}
