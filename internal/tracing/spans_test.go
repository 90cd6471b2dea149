package tracing

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"
	"authsvc/internal/observertest"
	"authsvc/internal/otlptest"
	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// traced is a Tracing under test.
type traced struct{ *Tracing }

// newTraced sends spans to a collector when it is flushed or the test ends. env are more variables.
func newTraced(t *testing.T, collector *otlptest.Receiver, env map[string]string) (traced, *observertest.Buffer) {
	t.Helper()
	logger, logs := observertest.NewLogger(slog.LevelInfo)
	get := func(name string) string {
		if name == "OTEL_EXPORTER_OTLP_ENDPOINT" && env[name] == "" {
			return collector.URL
		}
		return env[name]
	}
	tr, err := New(get, "1.2.3", logger)
	require.NoError(t, err)
	require.NotNil(t, tr)
	assert.Contains(t, logs.String(), `"msg":"traces are sent"`)
	t.Cleanup(func() { _ = tr.Close(context.Background()) }) // a second time, for most
	return traced{tr}, logs
}

// decided is an Authenticator that always returns one result, and calls the observer.
type decided struct {
	tr *Tracing
	r  auth.Result
	do func(ctx context.Context)
}

func (d decided) Authenticate(ctx context.Context, c auth.Credentials) auth.Result {
	if d.do != nil {
		d.do(ctx)
	}
	d.tr.LoginDone(ctx, c, d.r)
	return d.r
}

// login has a login with a result in a trace.
func (d traced) login(t *testing.T, c auth.Credentials, r auth.Result) {
	t.Helper()
	d.Authenticator(decided{tr: d.Tracing, r: r}).Authenticate(t.Context(), c)
}

// flushed are the spans that the collector has when all are sent, by name; those of one name in the
// order of their ends.
func (d traced) flushed(t *testing.T, collector *otlptest.Receiver) map[string][]otlptest.Span {
	t.Helper()
	require.NoError(t, d.provider.ForceFlush(t.Context()))
	byName := map[string][]otlptest.Span{}
	for _, s := range collector.Spans() {
		byName[s.Name] = append(byName[s.Name], s)
	}
	return byName
}

func TestSpans_NameTheUserOnlyIfConfigured(t *testing.T) {
	t.Parallel()
	c, fault := observertest.FullLogin()
	for value, named := range map[string]bool{"": false, "false": false, "1": false, "true": true} {
		collector := otlptest.Start(t)
		tr, _ := newTraced(t, collector, map[string]string{endUserSwitch: value})
		tr.login(t, c, fault)
		span := tr.flushed(t, collector)["login"][0]
		assert.True(t, span.Failed)
		assert.Equal(t, "directory_timeout", span.Attributes["error.type"])
		assert.Equal(t, named, strings.Contains(collector.Text(), c.Username), "%q", value)
		assert.Equal(t, named, span.Attributes["enduser.id"] == c.Username, "%q", value)
		for _, secret := range []string{c.Password, fault.DN, "uid=", fault.Detail, "i/o timeout"} {
			assert.NotContains(t, collector.Text(), secret)
		}
	}
}

// TestSpans_DialAndRetryBelongToTheLoginThatWaited, with a pool and a directory that
// loses a search.
func TestSpans_DialAndRetryBelongToTheLoginThatWaited(t *testing.T) {
	t.Parallel()
	collector := otlptest.Start(t)
	tr, _ := newTraced(t, collector, nil)
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	proxy := ldaptest.NewProxy(t, strings.TrimPrefix(slapd.URL(), "ldap://"))
	hooks := tr.Trace()
	told := hooks.Operated
	hooks.Operated = func(ctx context.Context, e ldappool.OperationEvent) {
		proxy.SetFaults(ldaptest.Faults{}) // once is enough
		told(ctx, e)
	}
	pool, err := ldappool.New(ldappool.Config{
		Servers: []string{proxy.URL()}, BindDN: ldaptest.ServiceDN, BindPassword: ldaptest.ServicePassword, MinIdleConns: -1, Trace: hooks,
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, pool.Close(context.Background())) }()
	search := func(ctx context.Context) {
		_, err := pool.Search(ctx, ldap.NewSearchRequest(ldaptest.PeopleDN, ldap.ScopeBaseObject, 0, 0, 0, false, "(objectClass=*)", nil, nil))
		assert.NoError(t, err)
	}
	login := tr.Authenticator(decided{tr: tr.Tracing, do: search})
	login.Authenticate(t.Context(), auth.Credentials{})
	proxy.SetFaults(ldaptest.Faults{HalfAnswer: true})
	login.Authenticate(t.Context(), auth.Credentials{})

	spans := tr.flushed(t, collector)
	require.Len(t, spans["login"], 2)
	require.NotEmpty(t, spans["dial"])
	dial, wait := spans["dial"][0], spans["acquire"][0]
	assert.Equal(t, wait.ID, dial.Parent)
	assert.Equal(t, spans["login"][0].ID, wait.Parent)
	assert.False(t, dial.Ended.After(wait.Ended))
	assert.Equal(t, "127.0.0.1", dial.Attributes["server.address"])
	require.Len(t, spans["search"], 3)
	lost, again := spans["search"][1], spans["search"][2]
	assert.True(t, lost.Failed)
	assert.Equal(t, "lost", lost.Attributes["error.type"])
	assert.Empty(t, lost.Attributes["authsvc.ldap.retry"])
	assert.Equal(t, "true", again.Attributes["authsvc.ldap.retry"])
	assert.False(t, again.Failed)
	for _, s := range []otlptest.Span{lost, again} {
		assert.Equal(t, spans["login"][1].ID, s.Parent)
	}
	assert.NotContains(t, collector.Text(), ldaptest.PeopleDN)
}

func TestSpans_FailedWaitsAndDialsAreErrors(t *testing.T) {
	t.Parallel()
	collector := otlptest.Start(t)
	tr, _ := newTraced(t, collector, nil)
	hooks := tr.Trace()
	ctx, span := tr.tracer.Start(t.Context(), "login")
	hooks.Dialed(ldappool.DialEvent{Lane: ldappool.SearchLane, Server: "ldapi://%2frun%2fldapi", Took: time.Millisecond, Err: errors.New("uid=user0")})
	hooks.Acquired(ctx, ldappool.AcquireEvent{Lane: ldappool.BindLane, Wait: time.Hour})
	hooks.Acquired(ctx, ldappool.AcquireEvent{Lane: ldappool.SearchLane, Wait: time.Hour, Err: observertest.OpError(ldappool.ErrUnavailable, nil)})
	span.End()
	spans := tr.flushed(t, collector)
	require.Len(t, spans["dial"], 1, "those of the other lane are not its own")
	assert.Equal(t, "_OTHER", spans["dial"][0].Attributes["error.type"])
	assert.Equal(t, "unix", spans["dial"][0].Attributes["network.transport"])
	assert.Equal(t, "/run/ldapi", spans["dial"][0].Attributes["server.address"])
	assert.Equal(t, spans["acquire"][1].ID, spans["dial"][0].Parent)
	assert.False(t, spans["acquire"][0].Failed)
	assert.Equal(t, "unavailable", spans["acquire"][1].Attributes["error.type"])
	assert.NotContains(t, collector.Text(), "user0")
}

// TestSpans_CoverLoginRequestsAlone: those for logins, in their caller's trace where it is sane and
// wanted, and no others.
func TestSpans_CoverLoginRequestsAlone(t *testing.T) {
	t.Parallel()
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"
	for _, c := range []struct {
		name, method, path, traceparent, propagators string
		status                                       int
		span, parent                                 string // empty: none
	}{
		{"a login", "POST", "/auth", "", "", 200, "POST /auth", ""},
		{"a continued one", "POST", "/auth", parent + "01", "", 200, "POST /auth", "00f067aa0ba902b7"},
		{"one whose caller keeps no trace", "POST", "/auth", parent + "00", "", 200, "", ""},
		{"one with nonsense", "POST", "/auth", "00-nonsense", "", 200, "POST /auth", ""},
		{"one that is not to be continued", "POST", "/auth", parent + "01", "none", 200, "POST /auth", ""},
		{"a fault", "POST", "/auth", "", "b3,tracecontext", 503, "POST /auth", ""},
		{"a method made up", "USER0", "/auth", "", "", 405, "HTTP /auth", ""},
		{"a probe", "GET", "/livez", "", "", 200, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			collector := otlptest.Start(t)
			tr, _ := newTraced(t, collector, map[string]string{"OTEL_PROPAGATORS": c.propagators})
			h := tr.Handler("/auth", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				assert.NoError(t, http.NewResponseController(w).Flush())
				w.WriteHeader(c.status)
			}))
			r := httptest.NewRequestWithContext(t.Context(), c.method, c.path+"?user0", nil)
			if c.traceparent != "" {
				r.Header.Set("traceparent", c.traceparent)
			}
			h.ServeHTTP(httptest.NewRecorder(), r)
			spans := tr.flushed(t, collector)
			assert.NotContains(t, strings.ToLower(collector.Text()), "user0")
			if c.span == "" {
				assert.Empty(t, spans)
				return
			}
			require.Len(t, spans[c.span], 1)
			assert.Equal(t, c.parent, spans[c.span][0].Parent)
			assert.Equal(t, c.status >= 500, spans[c.span][0].Failed)
		})
	}
}

// TestTracing_OffWrapsNothing: what is off is not on the way of a login.
func TestTracing_OffWrapsNothing(t *testing.T) {
	t.Parallel()
	for _, env := range []map[string]string{
		{},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
	} {
		off, err := New(func(name string) string { return env[name] }, "1.2.3", nil)
		require.NoError(t, err)
		require.Nil(t, off)
	}
	var off *Tracing
	var login Authenticator = decided{}
	assert.IsType(t, decided{}, off.Authenticator(login))
	assert.IsType(t, &http.ServeMux{}, off.Handler("/auth", http.NewServeMux()))
	require.NoError(t, off.Close(t.Context()))
	off.LoginDone(t.Context(), auth.Credentials{}, auth.Result{})
	assert.Zero(t, off.Trace())
	assert.Empty(t, off.TraceID(t.Context())+off.SampledTraceID(t.Context()))
}
