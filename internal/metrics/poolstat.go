package metrics

import (
	"sync/atomic"
	"time"

	"authsvc/internal/poolevent"
	"authsvc/ldappool"

	"github.com/prometheus/client_golang/prometheus"
)

// poolCollector makes gauges of the pool's snapshot at every scrape. The snapshot's counts since
// the start (retired, dials, retries, refused) are not used: those metrics come from the pool's
// events.
type poolCollector struct {
	stat atomic.Pointer[func() *ldappool.Stat] // nil until there is a pool

	connections, maxConns, waiting, outdated  *prometheus.Desc
	up, state, serverConnections, lastAnswers *prometheus.Desc
	since, ready, breaker                     *prometheus.Desc
	idleLimit, ageLimit                       *prometheus.Desc
}

func newPoolCollector() *poolCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &poolCollector{
		connections: desc("authsvc_ldap_connections",
			"Connections, by state: idle, in_use, or dialing.", "lane", "state"),
		maxConns: desc("authsvc_ldap_connections_max",
			"Maximum number of connections of both lanes together."),
		waiting: desc("authsvc_ldap_waiting_callers",
			"Callers that are waiting for a connection.", "lane"),
		outdated: desc("authsvc_ldap_connections_outdated",
			"Connections that were opened before the last reload and are not replaced yet.", "lane"),
		up: desc("authsvc_ldap_server_up",
			"1 if the server is usable, 0 if it is suspect or down.", "server"),
		state: desc("authsvc_ldap_server_state",
			"1 for the server's current state, 0 for the others.", "server", "state"),
		serverConnections: desc("authsvc_ldap_server_connections",
			"Open connections to the server.", "server"),
		lastAnswers: desc("authsvc_ldap_server_last_answer_timestamp_seconds",
			"Unix time of the server's last answer; 0 if it never answered.", "server"),
		since: desc("authsvc_ldap_server_state_since_timestamp_seconds",
			"Unix time at which the server entered its current state.", "server"),
		ready: desc("authsvc_ldap_server_ready",
			"1 if the server has accepted a bind of the service identity since the start, else 0.", "server"),
		breaker: desc("authsvc_ldap_server_breaker_open",
			"1 if the server's circuit breaker is open because operations failed although probes succeed, else 0.", "server"),
		idleLimit: desc("authsvc_ldap_server_idle_limit_seconds",
			"Idle time after which the server is known to drop connections (a lower bound); 0 if no limit is known.", "server"),
		ageLimit: desc("authsvc_ldap_server_age_limit_seconds",
			"Age at which the server is known to drop connections (a lower bound); 0 if no limit is known.", "server"),
	}
}

// Describe sends the description of every gauge.
func (c *poolCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.connections, c.maxConns, c.waiting, c.outdated, c.up, c.state, c.serverConnections, c.lastAnswers,
		c.since, c.ready, c.breaker, c.idleLimit, c.ageLimit,
	} {
		ch <- d
	}
}

// snapshot returns the pool's, or nil if there is no pool yet.
func (c *poolCollector) snapshot() *ldappool.Stat {
	if read := c.stat.Load(); read != nil {
		return (*read)()
	}
	return nil
}

// Collect takes one snapshot and sends the gauges of it.
func (c *poolCollector) Collect(ch chan<- prometheus.Metric) {
	stat := c.snapshot()
	if stat == nil {
		return
	}
	gauge(ch, c.maxConns, float64(stat.MaxConns))
	for i, lane := range [laneCount]*ldappool.LaneStat{searchLane: &stat.Search, bindLane: &stat.Bind} {
		name := string(lanes()[i])
		gauge(ch, c.connections, float64(lane.Idle), name, "idle")
		gauge(ch, c.connections, float64(lane.InUse), name, "in_use")
		gauge(ch, c.connections, float64(lane.Dialing), name, "dialing")
		gauge(ch, c.waiting, float64(lane.Waiting), name)
		gauge(ch, c.outdated, float64(lane.Outdated), name)
	}
	c.collectServers(ch, stat.Servers)
}

// collectServers sends the series of each server once: two series with the same labels would fail
// the whole scrape.
func (c *poolCollector) collectServers(ch chan<- prometheus.Metric, servers []ldappool.ServerStat) {
	seen := make(map[string]bool, len(servers))
	for _, s := range servers {
		name := serverLabel(s.URL)
		if seen[name] || len(seen) >= poolevent.MaxServers {
			continue
		}
		seen[name] = true
		gauge(ch, c.up, boolValue(s.State == ldappool.ServerUsable), name)
		for _, state := range serverStates() {
			gauge(ch, c.state, boolValue(s.State == state), name, state.String())
		}
		gauge(ch, c.serverConnections, float64(s.Conns), name)
		gauge(ch, c.lastAnswers, unixSeconds(s.Answered), name)
		gauge(ch, c.since, unixSeconds(s.Since), name)
		gauge(ch, c.ready, boolValue(s.Ready), name)
		gauge(ch, c.breaker, boolValue(s.BreakerOpen), name)
		gauge(ch, c.idleLimit, s.IdleLimit.Seconds(), name)
		gauge(ch, c.ageLimit, s.AgeLimit.Seconds(), name)
	}
}

func gauge(ch chan<- prometheus.Metric, d *prometheus.Desc, value float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

// unixSeconds is t as a timestamp, to the millisecond; 0 where t is zero.
func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func boolValue(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
