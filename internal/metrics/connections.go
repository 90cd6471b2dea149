package metrics

import (
	"errors"
	"strings"
	"sync"

	"authsvc/internal/poolevent"
	"authsvc/ldappool"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// connMetrics are the metrics of dials, pings and retired connections, and of servers.
type connMetrics struct {
	dialTook      *prometheus.HistogramVec
	dialErrors    *prometheus.CounterVec
	refused       *prometheus.GaugeVec
	pingTook      *prometheus.HistogramVec
	operations    *prometheus.CounterVec
	changes       *prometheus.CounterVec
	retirements   *prometheus.CounterVec
	pings         [laneCount]struct{ ok, failed prometheus.Counter }
	retiredByLane [laneCount]map[ldappool.RetireReason]prometheus.Counter // read only; "" is any other reason

	mu      sync.RWMutex
	servers map[string]*serverMetrics // guarded by mu
}

type serverMetrics struct {
	dialTook    [laneCount]prometheus.Observer
	dialErrors  prometheus.Counter
	refused     prometheus.Gauge
	pingTook    [laneCount]prometheus.Observer
	operations  map[string]prometheus.Counter                // by result; read only
	changes     map[ldappool.ServerState]prometheus.Counter  // by the state that was entered; read only
	retirements map[ldappool.RetireReason]prometheus.Counter // read only; "" is any other reason
}

// serverStates are the states of a server.
func serverStates() []ldappool.ServerState {
	return []ldappool.ServerState{ldappool.ServerUsable, ldappool.ServerSuspect, ldappool.ServerDown}
}

func newConnMetrics(f promauto.Factory, bounds []float64) *connMetrics {
	m := &connMetrics{
		dialTook: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "authsvc_ldap_dial_duration_seconds",
			Help:    "Time to open a connection: TCP, TLS and first bind together. Failed attempts are not included.",
			Buckets: bounds,
		}, []string{"server", "lane"}),
		dialErrors: f.NewCounterVec(prometheus.CounterOpts{
			Name: "authsvc_ldap_dial_errors_total",
			Help: "Failed attempts to open a connection, including background probes.",
		}, []string{"server"}),
		refused: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "authsvc_ldap_service_bind_refused",
			Help: "1 if the server refused the last bind of the service identity, else 0.",
		}, []string{"server"}),
		pingTook: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "authsvc_ldap_ping_duration_seconds",
			Help:    "Time to the answer of a ping. Failed pings are not included.",
			Buckets: bounds,
		}, []string{"server", "lane"}),
		operations: f.NewCounterVec(prometheus.CounterOpts{
			Name: "authsvc_ldap_server_operations_total",
			Help: "Requests sent to the server, by result.",
		}, []string{"server", "result"}),
		changes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "authsvc_ldap_server_state_changes_total",
			Help: "Changes of the server's state, by the new state.",
		}, []string{"server", "state"}),
		retirements: f.NewCounterVec(prometheus.CounterOpts{
			Name: "authsvc_ldap_server_connections_retired_total",
			Help: "Connections to the server that the pool closed or lost, by reason.",
		}, []string{"server", "reason"}),
		servers: make(map[string]*serverMetrics),
	}
	pings := f.NewCounterVec(prometheus.CounterOpts{
		Name: "authsvc_ldap_pings_total",
		Help: "Pings of idle connections, by result.",
	}, []string{"lane", "result"})
	ends := f.NewCounterVec(prometheus.CounterOpts{
		Name: "authsvc_ldap_connections_retired_total",
		Help: "Connections that the pool closed or lost, by reason.",
	}, []string{"lane", "reason"})
	for i, lane := range lanes() {
		m.pings[i].ok = pings.WithLabelValues(string(lane), "ok")
		m.pings[i].failed = pings.WithLabelValues(string(lane), "failed")
		m.retiredByLane[i] = map[ldappool.RetireReason]prometheus.Counter{"": ends.WithLabelValues(string(lane), "other")}
		for _, reason := range ldappool.RetireReasons() {
			m.retiredByLane[i][reason] = ends.WithLabelValues(string(lane), string(reason))
		}
	}
	return m
}

func (m *connMetrics) dialed(e ldappool.DialEvent) {
	server := m.server(e.Server)
	if e.Err != nil {
		server.dialErrors.Inc()
		if errors.Is(e.Err, ldappool.ErrServiceRefused) {
			server.refused.Set(1)
		}
		return
	}
	if e.Lane == ldappool.SearchLane {
		server.refused.Set(0)
	}
	server.dialTook[laneIndex(e.Lane)].Observe(e.Took.Seconds())
}

func (m *connMetrics) pinged(e ldappool.PingEvent) {
	pings := &m.pings[laneIndex(e.Lane)]
	if e.Err != nil {
		pings.failed.Inc()
		return
	}
	pings.ok.Inc()
	m.server(e.Server).pingTook[laneIndex(e.Lane)].Observe(e.Took.Seconds())
}

func (m *connMetrics) operated(e ldappool.OperationEvent) {
	m.server(e.Server).operations[poolevent.Result(e.Err)].Inc()
}

func (m *connMetrics) serverChanged(e ldappool.ServerEvent) {
	if counter, ok := m.server(e.Server).changes[e.To]; ok {
		counter.Inc()
	}
}

func (m *connMetrics) retired(e ldappool.RetireEvent) {
	for _, counters := range []map[ldappool.RetireReason]prometheus.Counter{
		m.retiredByLane[laneIndex(e.Lane)], m.server(e.Server).retirements,
	} {
		counter, ok := counters[e.Reason]
		if !ok {
			counter = counters[""]
		}
		counter.Inc()
	}
}

// server returns the series of a server, and makes them for a new server.
func (m *connMetrics) server(url string) *serverMetrics {
	m.mu.RLock()
	s := m.servers[url]
	m.mu.RUnlock()
	if s != nil {
		return s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.servers[url]; !ok && len(m.servers) >= poolevent.MaxServers {
		url = poolevent.OtherServer
	}
	if s = m.servers[url]; s == nil {
		s = m.newServer(url)
		m.servers[url] = s
	}
	return s
}

func (m *connMetrics) newServer(url string) *serverMetrics {
	label := serverLabel(url)
	s := &serverMetrics{
		dialErrors:  m.dialErrors.WithLabelValues(label),
		refused:     m.refused.WithLabelValues(label),
		operations:  make(map[string]prometheus.Counter),
		changes:     make(map[ldappool.ServerState]prometheus.Counter),
		retirements: map[ldappool.RetireReason]prometheus.Counter{"": m.retirements.WithLabelValues(label, "other")},
	}
	for i, lane := range lanes() {
		s.dialTook[i] = m.dialTook.WithLabelValues(label, string(lane))
		s.pingTook[i] = m.pingTook.WithLabelValues(label, string(lane))
	}
	for _, result := range poolevent.Results() {
		s.operations[result] = m.operations.WithLabelValues(label, result)
	}
	for _, state := range serverStates() {
		s.changes[state] = m.changes.WithLabelValues(label, state.String())
	}
	for _, reason := range ldappool.RetireReasons() {
		s.retirements[reason] = m.retirements.WithLabelValues(label, string(reason))
	}
	return s
}

// serverLabel is url as a label's value, which Prometheus wants to be valid UTF-8.
func serverLabel(url string) string {
	return strings.ToValidUTF8(url, "\uFFFD")
}
