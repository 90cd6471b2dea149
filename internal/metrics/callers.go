package metrics

import (
	"sync"

	"authsvc/internal/auth"
	"authsvc/internal/logsafe"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// maxCallers bounds the callers that have series of their own. Further callers share the name
// otherCaller, because an authority may issue any number of certificates.
const (
	maxCallers    = 64
	maxCallerName = 64 // bytes
	otherCaller   = "other"
)

// loginClasses are the names of loginClass.
func loginClasses() [classCount]string { return [classCount]string{"verdict", "refused", "fault"} }

// callerMetrics counts logins by caller. Callers without a name are not counted: either all callers
// have a name, or none has.
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

func (m *callerMetrics) record(c auth.Caller, o auth.Outcome) {
	if c.Name != "" {
		m.countersOf(logsafe.Clean(c.Name, maxCallerName))[classOf(o)].Inc()
	}
}

// countersOf returns a caller's counters, and makes them, at zero, for a new caller.
func (m *callerMetrics) countersOf(name string) *[classCount]prometheus.Counter {
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
