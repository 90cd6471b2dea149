package fanout_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"authsvc/internal/audit"
	"authsvc/internal/auth"
	"authsvc/internal/fanout"
	"authsvc/internal/journal"
	"authsvc/internal/metrics"
	"authsvc/internal/observertest"
	"authsvc/internal/tracing"
	"authsvc/ldappool"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// all is every observer, fanned out as the service does.
type all struct {
	auth.Observer

	trace   ldappool.Trace
	metrics *metrics.Metrics
}

func newAll(log *slog.Logger, spans *tracing.Tracing) all {
	options := metrics.Options{Logger: log}
	if spans != nil {
		options.TraceID = spans.SampledTraceID
	}
	m, j := metrics.New(options), journal.New(log)
	return all{
		Observer: fanout.Logins(m, audit.New(log, spans.TraceID), j, spans),
		trace:    fanout.Traces(m.Trace(), j.Trace(), spans.Trace()),
		metrics:  m,
	}
}

// scraped returns the text of the metrics.
func (a all) scraped() string {
	w := httptest.NewRecorder()
	a.metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

func TestTraces_OfTheObserversSetEveryHook(t *testing.T) {
	t.Parallel()
	trace := reflect.ValueOf(newAll(slog.New(slog.DiscardHandler), nil).trace)
	for i := range trace.NumField() {
		assert.False(t, trace.Field(i).IsNil(), trace.Type().Field(i).Name)
	}
}

// TestTraces_CallEachHookInOrder sets each field of Trace by reflection, so that one that is added
// later is not forgotten.
func TestTraces_CallEachHookInOrder(t *testing.T) {
	t.Parallel()
	assert.Zero(t, fanout.Traces(ldappool.Trace{}, ldappool.Trace{}), "nothing costs nothing")
	kind := reflect.TypeFor[ldappool.Trace]()
	for i := range kind.NumField() {
		var called []int
		traces := make([]ldappool.Trace, 4)
		for n := range traces {
			if n == 1 {
				continue // sets no hook
			}
			reflect.ValueOf(&traces[n]).Elem().Field(i).Set(reflect.MakeFunc(kind.Field(i).Type, func([]reflect.Value) []reflect.Value {
				called = append(called, n)
				return nil
			}))
		}
		var arguments []reflect.Value
		for n := range kind.Field(i).Type.NumIn() {
			arguments = append(arguments, reflect.Zero(kind.Field(i).Type.In(n)))
		}
		reflect.ValueOf(fanout.Traces(traces...)).Field(i).Call(arguments)
		assert.Equal(t, []int{0, 2, 3}, called, kind.Field(i).Name)
	}
}

// events drives every hook and some logins once.
func (a all) events() {
	ctx := context.Background()
	for _, o := range []auth.Outcome{auth.OK, auth.InvalidPassword, auth.DirectoryTimeout} {
		a.LoginDone(ctx, auth.Credentials{Username: "user0", Caller: auth.Caller{Name: "shop"}}, auth.Result{Outcome: o})
	}
	refused := errors.New("connection refused")
	a.trace.Acquired(ctx, ldappool.AcquireEvent{Lane: ldappool.BindLane})
	a.trace.Operated(ctx, ldappool.OperationEvent{Op: "bind", Server: observertest.ServerA, Code: 49})
	a.trace.Operated(ctx, ldappool.OperationEvent{Op: "bind", Server: observertest.ServerA, Err: observertest.OpError(ldappool.ErrConnLost, refused)})
	a.trace.Dialed(ldappool.DialEvent{Server: observertest.ServerA, Lane: ldappool.BindLane, Err: refused})
	a.trace.Pinged(ldappool.PingEvent{Server: observertest.ServerA, Lane: ldappool.BindLane, Err: refused})
	a.trace.Retired(ldappool.RetireEvent{Server: observertest.ServerA, Lane: ldappool.BindLane, Reason: "peer_closed"})
	a.trace.ServerChanged(ldappool.ServerEvent{Server: observertest.ServerA, From: ldappool.ServerUsable, To: ldappool.ServerDown, Err: refused})
	a.trace.ServerChanged(ldappool.ServerEvent{Server: observertest.ServerA, From: ldappool.ServerDown, To: ldappool.ServerUsable})
	a.trace.LimitLearned(observertest.ServerA, time.Second, 0)
	a.trace.QuirkLearned(observertest.ServerA, "hangs_up", refused)
	a.trace.LookedUp("ldap+srv://example.org", 0, refused)
	a.trace.Reconfigured(time.Second)
}

func TestObservers_CountEverythingOnceFromManyGoroutines(t *testing.T) {
	t.Parallel()
	const goroutines, rounds = 8, 50
	logs := new(observertest.Buffer)
	a := newAll(slog.New(slog.NewMultiHandler(
		slog.NewJSONHandler(logs, nil),
		slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}), //nolint:sloglint // it resolves every attribute, at every level
	)), nil)
	var workers sync.WaitGroup
	for range goroutines {
		workers.Go(func() {
			for range rounds {
				a.events()
			}
			_ = a.scraped()
		})
	}
	workers.Wait()
	const total = goroutines * rounds
	logins := 0
	for line := range strings.Lines(logs.String()) {
		if strings.Contains(line, `"msg":"login"`) {
			logins++
		}
	}
	assert.Equal(t, 3*total, logins)
	scraped := a.scraped()
	for _, series := range []string{
		`authsvc_logins_total{outcome="ok"}`,
		`authsvc_logins_total{outcome="directory_timeout"}`,
		`authsvc_ldap_connections_retired_total{lane="bind",reason="peer_closed"}`,
		`authsvc_ldap_dial_errors_total{server="` + observertest.ServerA + `"}`,
		`authsvc_ldap_server_state_changes_total{server="` + observertest.ServerA + `",state="down"}`,
	} {
		assert.Contains(t, scraped, fmt.Sprintf("\n%s %d\n", series, total))
	}
	assert.Contains(t, scraped, fmt.Sprintf("\n%s %d\n", `authsvc_caller_logins_total{caller="shop",class="verdict"}`, 2*total))
}

// TestObservers_NeverRepeatThePassword drives everything with a secret for a password, at the most
// talkative level.
func TestObservers_NeverRepeatThePassword(t *testing.T) {
	t.Parallel()
	const secret = "correct-horse-battery-staple"
	log, logs := observertest.NewLogger(slog.LevelDebug - 4)
	a := newAll(log, nil)
	_, full := observertest.FullLogin()
	for _, o := range append(auth.Outcomes(), 200) {
		full.Outcome = o
		a.LoginDone(context.Background(),
			auth.Credentials{Username: "user0", Password: secret, RequestID: "req-1", Client: "192.0.2.7"}, full)
	}
	a.events()
	out, scraped := logs.String(), a.scraped()
	assert.Contains(t, out, "user0")
	assert.NotContains(t, out, secret)
	assert.Contains(t, scraped, "authsvc_logins_total")
	assert.NotContains(t, scraped, secret)
	assert.NotContains(t, scraped, "user0", "a user is no label")
}

// TestObservers_AllocateNothing is not parallel: it counts the allocations of the whole process.
func TestObservers_AllocateNothing(t *testing.T) {
	a := newAll(slog.New(slog.DiscardHandler), nil)
	credentials, result := observertest.FullLogin()
	ctx := t.Context()
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		a.trace.Acquired(ctx, ldappool.AcquireEvent{Lane: ldappool.BindLane, Wait: 1})
		a.trace.Operated(ctx, ldappool.OperationEvent{Op: "bind", Server: observertest.ServerA, Took: 1, Code: 49})
		a.LoginDone(ctx, credentials, result)
	}))
}

// decided is an Authenticator that returns one result after the events of a login.
type decided struct {
	all

	r auth.Result
}

func (d decided) Authenticate(ctx context.Context, c auth.Credentials) auth.Result {
	d.trace.Acquired(ctx, ldappool.AcquireEvent{Lane: ldappool.SearchLane})
	d.trace.Operated(ctx, ldappool.OperationEvent{Op: "search", Server: observertest.ServerA})
	d.trace.Acquired(ctx, ldappool.AcquireEvent{Lane: ldappool.BindLane})
	d.trace.Operated(ctx, ldappool.OperationEvent{Op: "bind", Server: observertest.ServerA})
	d.LoginDone(ctx, c, d.r)
	return d.r
}

// BenchmarkObservers is all that the observers do for a login: two waits, a search, a bind, its
// end.
func BenchmarkObservers(b *testing.B) {
	collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer collector.Close()
	for _, c := range []struct{ name, endpoint, sampler string }{
		{"off", "", ""}, {"on", collector.URL, "always_on"}, {"on, not sampled", collector.URL, "always_off"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.Setenv("OTEL_TRACES_SAMPLER", c.sampler)
			env := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": c.endpoint}
			log := slog.New(slog.DiscardHandler)
			spans, err := tracing.New(func(name string) string { return env[name] }, "1.2.3", log)
			require.NoError(b, err)
			defer spans.Close(context.Background())
			credentials, r := observertest.FullLogin()
			login := spans.Authenticator(decided{newAll(log, spans), r})
			b.ReportAllocs()
			for b.Loop() {
				login.Authenticate(b.Context(), credentials)
			}
		})
	}
}
