package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"authsvc/internal/auth"
	"authsvc/ldappool"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTraceSetsEveryHook(t *testing.T) {
	t.Parallel()
	trace := reflect.ValueOf(New(Options{}).Trace())
	for i := range trace.NumField() {
		assert.False(t, trace.Field(i).IsNil(), trace.Type().Field(i).Name)
	}
}

func TestNewTakesTheRegistryItIsGiven(t *testing.T) {
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
	assert.Panics(t, func() { New(Options{Registry: registry}) }, "one registry serves one Telemetry")
}

func TestWatchPoolAgainReplacesThePool(t *testing.T) {
	t.Parallel()
	tel, logs := newTest(slog.LevelInfo)
	for want, conns := range map[string]int{"5": 5, "7": 7} {
		tel.WatchPool(func() *ldappool.Stat { return &ldappool.Stat{MaxConns: conns} })
		assert.Equal(t, want, scrape(t, tel)["authsvc_ldap_connections_max"])
	}
	tel.WatchPool(func() *ldappool.Stat { return nil })
	assert.NotContains(t, scrape(t, tel), "authsvc_ldap_connections_max")
	assert.Empty(t, logs.String())
}

func TestServersThatLookAlikeDoNotFailTheScrape(t *testing.T) {
	t.Parallel()
	tel, logs := newTest(slog.LevelInfo)
	tel.WatchPool(func() *ldappool.Stat {
		return &ldappool.Stat{Servers: []ldappool.ServerStat{
			{URL: serverA, Conns: 3}, {URL: serverA, Conns: 4}, {URL: "ldap://\xff"}, {URL: "ldap://\xfe"},
		}}
	})
	series := scrape(t, tel)
	assert.Empty(t, logs.String())
	assert.Equal(t, "3", series[`authsvc_ldap_server_connections{server="`+serverA+`"}`])
	assert.Contains(t, series, "authsvc_ldap_server_connections{server=\"ldap://\uFFFD\"}")
}

// brokenCollector gives two metrics with the same name and labels, which is an error for the registry.
type brokenCollector struct{}

func (brokenCollector) Describe(chan<- *prometheus.Desc) {}

func (brokenCollector) Collect(ch chan<- prometheus.Metric) {
	desc := prometheus.NewDesc("twice", "help", nil, nil)
	for range 2 {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, 1)
	}
}

func TestAScrapeThatFailsInPartServesTheRestAndIsLoggedNowAndThen(t *testing.T) {
	t.Parallel()
	tel, logs := newTest(slog.LevelInfo)
	tel.registry.MustRegister(brokenCollector{})
	for range 3 * limitBurst {
		assert.Contains(t, scrape(t, tel), `authsvc_logins_total{outcome="ok"}`)
	}
	lines := logs.lines(t)
	require.Len(t, lines, limitBurst)
	assert.Equal(t, "metrics scrape failed", lines[0]["msg"])
	assert.Contains(t, lines[0]["error"], "collected before with the same name and label values")
}

func TestScrapesBeyondTheLimitAreTurnedAway(t *testing.T) {
	t.Parallel()
	tel, _ := newTest(slog.LevelInfo)
	inside, release := make(chan struct{}), make(chan struct{})
	var entered atomic.Int64
	tel.WatchPool(func() *ldappool.Stat {
		if entered.Add(1) <= maxScrapes { // one more would be a scrape that should not be
			inside <- struct{}{}
			<-release
		}
		return &ldappool.Stat{}
	})
	handler := tel.Handler()
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

func TestEverythingAtOnceIsCountedOnce(t *testing.T) {
	t.Parallel()
	const goroutines, rounds = 8, 50
	logs := new(logBuffer)
	tel := New(Options{Logger: slog.New(slog.NewMultiHandler(
		slog.NewJSONHandler(logs, nil),
		slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}),
	))})
	trace := tel.Trace()
	var workers sync.WaitGroup
	for range goroutines {
		workers.Go(func() {
			for range rounds {
				tel.LoginDone(context.Background(), auth.Credentials{Username: "user0", Caller: auth.Caller{Name: "shop"}}, auth.Result{Outcome: auth.OK})
				for _, test := range metricTests[3:] { // build_info has no event, logins are counted here
					test.drive(tel, trace)
				}
				change(trace, usable, down)
				change(trace, down, usable)
			}
			get(tel.Handler())
		})
	}
	workers.Wait()
	series := scrape(t, tel)
	const total = goroutines * rounds
	logins := 0
	for line := range strings.Lines(logs.String()) {
		if strings.Contains(line, `"msg":"login"`) {
			logins++
		}
	}
	assert.Equal(t, total*(1+4+2), logins)
	assert.Equal(t, fmt.Sprint(4*total), series[`authsvc_logins_total{outcome="ok"}`])
	assert.Equal(t, fmt.Sprint(total), series[`authsvc_logins_total{outcome="directory_timeout"}`])
	assert.Equal(t, fmt.Sprint(total), series[`authsvc_caller_logins_total{caller="shop",class="verdict"}`])
	assert.Equal(t, fmt.Sprint(total), series[`authsvc_ldap_connections_retired_total{lane="bind",reason="peer_closed"}`])
	assert.Equal(t, fmt.Sprint(5*total), series[`authsvc_ldap_dial_errors_total{server="`+serverA+`"}`])
}

// TestAnObservationAllocatesNothing is not parallel: it counts the allocations of the whole process.
func TestAnObservationAllocatesNothing(t *testing.T) {
	tel := New(Options{})
	trace := tel.Trace()
	credentials, result := fullLogin()
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		acquire(trace, ldappool.AcquireEvent{Lane: ldappool.BindLane, Wait: 1})
		operate(trace, ldappool.OperationEvent{Op: "bind", Server: serverA, Took: 1, Code: 49})
		tel.LoginDone(t.Context(), credentials, result)
	}))
}
