package metrics

import (
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"authsvc/internal/logsafe"
	"authsvc/internal/observertest"
	"authsvc/ldappool"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNew_UsesTheGivenRegistry(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	New(Options{Registry: registry})
	families, err := registry.Gather()
	require.NoError(t, err)
	var names []string
	for _, family := range families {
		names = append(names, family.GetName())
	}
	for _, name := range []string{"authsvc_build_info", "go_goroutines", "process_start_time_seconds"} {
		assert.Contains(t, names, name)
	}
	assert.Panics(t, func() { New(Options{Registry: registry}) }, "one registry serves one Metrics")
}

func TestWatchPool_AgainReplacesThePool(t *testing.T) {
	t.Parallel()
	m, logs := newTest(slog.LevelInfo)
	for want, conns := range map[string]int{"5": 5, "7": 7} {
		m.WatchPool(func() *ldappool.Stat { return &ldappool.Stat{MaxConns: conns} })
		assert.Equal(t, want, scrape(t, m)["authsvc_ldap_connections_max"])
	}
	m.WatchPool(func() *ldappool.Stat { return nil })
	assert.NotContains(t, scrape(t, m), "authsvc_ldap_connections_max")
	assert.Empty(t, logs.String())
}

func TestScrape_SucceedsWithLookAlikeServers(t *testing.T) {
	t.Parallel()
	m, logs := newTest(slog.LevelInfo)
	m.WatchPool(func() *ldappool.Stat {
		return &ldappool.Stat{Servers: []ldappool.ServerStat{
			{URL: observertest.ServerA, Conns: 3}, {URL: observertest.ServerA, Conns: 4}, {URL: "ldap://\xff"}, {URL: "ldap://\xfe"},
		}}
	})
	series := scrape(t, m)
	assert.Empty(t, logs.String())
	assert.Equal(t, "3", series[`authsvc_ldap_server_connections{server="`+observertest.ServerA+`"}`])
	assert.Contains(t, series, "authsvc_ldap_server_connections{server=\"ldap://\uFFFD\"}")
}

// brokenCollector gives two metrics with the same name and labels, which is an error for the
// registry.
type brokenCollector struct{}

func (brokenCollector) Describe(chan<- *prometheus.Desc) {}

func (brokenCollector) Collect(ch chan<- prometheus.Metric) {
	desc := prometheus.NewDesc("twice", "help", nil, nil)
	for range 2 {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, 1)
	}
}

func TestScrape_PartialFailureServesTheRestAndIsLoggedRarely(t *testing.T) {
	t.Parallel()
	m, logs := newTest(slog.LevelInfo)
	m.registry.MustRegister(brokenCollector{})
	for range 3 * logsafe.Burst {
		assert.Contains(t, scrape(t, m), `authsvc_logins_total{outcome="ok"}`)
	}
	lines := logs.Lines(t)
	require.Len(t, lines, logsafe.Burst)
	assert.Equal(t, "metrics scrape failed", lines[0]["msg"])
	assert.Contains(t, lines[0]["error"], "collected before with the same name and label values")
}

func TestScrape_BeyondTheLimitIsRejected(t *testing.T) {
	t.Parallel()
	m, _ := newTest(slog.LevelInfo)
	inside, release := make(chan struct{}), make(chan struct{})
	var entered atomic.Int64
	m.WatchPool(func() *ldappool.Stat {
		if entered.Add(1) <= maxScrapes { // one more would be a scrape that should not be
			inside <- struct{}{}
			<-release
		}
		return &ldappool.Stat{}
	})
	handler := m.Handler()
	var scrapes sync.WaitGroup
	for range maxScrapes {
		scrapes.Go(func() { assert.Equal(t, http.StatusOK, get(handler).Code) })
	}
	for range maxScrapes {
		<-inside
	}
	assert.Equal(t, http.StatusServiceUnavailable, get(handler).Code)
	close(release)
	scrapes.Wait()
}

// TestMetrics_ObservationAllocatesNothing is not parallel: it counts the allocations of the whole
// process.
func TestMetrics_ObservationAllocatesNothing(t *testing.T) {
	m := New(Options{})
	trace := m.Trace()
	credentials, result := observertest.FullLogin()
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		acquire(trace, ldappool.AcquireEvent{Lane: ldappool.BindLane, Wait: 1})
		operate(trace, ldappool.OperationEvent{Op: "bind", Server: observertest.ServerA, Took: 1, Code: 49})
		m.LoginDone(t.Context(), credentials, result)
	}))
}
