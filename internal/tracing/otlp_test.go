package tracing

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/logsafe"
	"authsvc/internal/otlptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// variables makes a lookup of names and values in turns.
func variables(pairs ...string) otelEnv {
	env := map[string]string{}
	for pair := range slices.Chunk(pairs, 2) {
		env[pair[0]] = pair[1]
	}
	return func(name string) string { return env[name] }
}

func TestExporter_ReadsItsVariables(t *testing.T) {
	t.Parallel()
	const common, traces = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	for _, c := range []struct {
		env otelEnv
		url string
	}{
		{variables(common, "http://c:4318"), "http://c:4318/v1/traces"},
		{variables(common, "https://c/otlp/"), "https://c/otlp/v1/traces"},
		{variables(traces, "http://c:4318/x"), "http://c:4318/x"},
		{variables(common, "http://a", traces, "http://b/x"), "http://b/x"},
	} {
		s, err := c.env.otlp()
		require.NoError(t, err)
		assert.Equal(t, c.url, s.url)
		assert.Equal(t, 10*time.Second, s.timeout)
		assert.False(t, s.gzip)
	}
	s, err := variables(common, "http://c", "OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20abc, x-tenant = t1 ,",
		"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "250", "OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf").otlp()
	require.NoError(t, err)
	assert.Equal(t, http.Header{"Authorization": {"Basic abc"}, "X-Tenant": {"t1"}}, s.headers)
	assert.Equal(t, 250*time.Millisecond, s.timeout)
	assert.True(t, s.gzip)
}

func TestExporter_ErrorNamesTheVariableAndHidesItsValue(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	env := variables("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc", "OTEL_TRACES_EXPORTER", "zipkin",
		"OTEL_EXPORTER_OTLP_HEADERS", "s3cret", "OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "OTEL_EXPORTER_OTLP_COMPRESSION", "zstd",
		"OTEL_EXPORTER_OTLP_CERTIFICATE", empty)
	_, err := New(env, "", nil)
	require.Error(t, err)
	for _, name := range []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT: ", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: ", "OTEL_TRACES_EXPORTER: ", "OTEL_EXPORTER_OTLP_HEADERS: ",
		"OTEL_EXPORTER_OTLP_TIMEOUT: ", "OTEL_EXPORTER_OTLP_COMPRESSION: ", "OTEL_EXPORTER_OTLP_CERTIFICATE: ",
	} {
		require.ErrorContains(t, err, name)
	}
	assert.NotContains(t, err.Error(), "s3cret")
	_, err = variables("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c", "OTEL_EXPORTER_OTLP_CLIENT_KEY", empty).otlp()
	assert.ErrorContains(t, err, "CLIENT_KEY")
}

func TestExporter_RetriesABusyCollector(t *testing.T) {
	t.Parallel()
	collector := otlptest.Start(t)
	collector.Refuse(http.StatusServiceUnavailable)
	tr, logs := newTraced(t, collector, map[string]string{
		"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=t1",
	})
	tr.login(t, auth.Credentials{}, auth.Result{Outcome: auth.OK})
	assert.Len(t, tr.flushed(t, collector)["login"], 1)
	header, requests := collector.Last()
	assert.Equal(t, 2, requests)
	assert.Equal(t, "t1", header.Get("X-Tenant"))
	assert.Equal(t, "gzip", header.Get("Content-Encoding"))
	assert.NotContains(t, logs.String(), "not sent")
}

func TestExporter_LimitsLinesAboutRejections(t *testing.T) {
	t.Parallel()
	collector := otlptest.Start(t)
	tr, logs := newTraced(t, collector, nil)
	const exports = 4 * logsafe.Burst
	for range exports {
		collector.Refuse(http.StatusForbidden)
		tr.login(t, auth.Credentials{}, auth.Result{Outcome: auth.OK})
		require.Empty(t, tr.flushed(t, collector))
	}
	_, requests := collector.Last()
	assert.Equal(t, exports, requests, "a refusal is not tried again")
	warned := 0
	for _, line := range logs.Lines(t) {
		if line["msg"] == "traces not sent, the spans are dropped" {
			warned++
			assert.Equal(t, "traces export: the collector answered 403 Forbidden", line["error"])
		}
	}
	assert.Equal(t, logsafe.Burst, warned)
}

// TestExporter_CloseEndsWithItsContext, whatever the collector does, and leaves nothing running:
// goleak looks.
func TestExporter_CloseEndsWithItsContext(t *testing.T) {
	t.Parallel()
	asked, over := make(chan struct{}, 10), make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-over:
		}
	}))
	defer silent.Close()
	defer close(over)
	tr, _ := newTraced(t, nil, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": silent.URL})
	tr.login(t, auth.Credentials{}, auth.Result{Outcome: auth.OK})
	began, flushed := time.Now(), make(chan struct{})
	go func() {
		defer close(flushed)
		_ = tr.provider.ForceFlush(context.Background()) // without a deadline, as the queue does
	}()
	<-asked
	tr.login(t, auth.Credentials{}, auth.Result{Outcome: auth.OK})
	require.Error(t, tr.Close(shortly(t)))
	<-flushed
	assert.Less(t, time.Since(began), defaultExportTimeout/2)
}

// shortly is a context that ends soon.
func shortly(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}
