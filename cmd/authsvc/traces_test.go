package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"authsvc/internal/ldaptest"
	"authsvc/internal/otlptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The caller's span, as its traceparent names it (W3C Trace Context).
const (
	callersTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersSpan  = "00f067aa0ba902b7"
)

// tracedLogin asks for a login within the caller's trace.
func tracedLogin(t *testing.T, url, username, password string) int {
	t.Helper()
	body := fmt.Sprintf(`{"username":%q,"password":%q}`, username, password)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/auth", strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("traceparent", "00-"+callersTrace+"-"+callersSpan+"-01")
	resp, err := client(t).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	return resp.StatusCode
}

// named gives the spans of a name.
func named(spans []otlptest.Span, name string) (all []otlptest.Span) {
	for _, s := range spans {
		if s.Name == name {
			all = append(all, s)
		}
	}
	return all
}

// within holds a span against its parent: it is the parent's child, and its time is within the
// parent's, to a millisecond.
func within(t *testing.T, child, parent otlptest.Span) {
	t.Helper()
	assert.Equal(t, parent.ID, child.Parent, "%s is in %s", child.Name, parent.Name)
	assert.Equal(t, parent.Trace, child.Trace, child.Name)
	assert.False(t, child.Began.Before(parent.Began.Add(-time.Millisecond)), "%s begins before %s", child.Name, parent.Name)
	assert.False(t, child.Ended.After(parent.Ended.Add(time.Millisecond)), "%s ends after %s", child.Name, parent.Name)
}

// TestTraces_CollectorGetsEverySpanOfALogin: the program's own, over OTLP, flushed at its end.
func TestTraces_CollectorGetsEverySpanOfALogin(t *testing.T) {
	t.Parallel()
	collector, slapd := otlptest.Start(t), ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10})
	p := startProgram(t, slapd.URL(), "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL, "OTEL_BSP_SCHEDULE_DELAY=3600000")
	p.ready(t)
	began := time.Now()
	require.Equal(t, http.StatusOK, tracedLogin(t, p.url, ldaptest.Username(1), ldaptest.Password(1)))
	took := time.Since(began)
	exemplars := openMetrics(t, p.admin)
	require.Zero(t, p.end(t))

	spans := collector.Spans()
	for _, s := range spans {
		t.Logf("%-12s %s in %-16s %8.3f ms at +%.3f ms %v", s.Name, s.ID, s.Parent,
			s.Ended.Sub(s.Began).Seconds()*1e3, s.Began.Sub(began).Seconds()*1e3, s.Attributes)
	}
	require.Len(t, named(spans, "POST /auth"), 1)
	request := named(spans, "POST /auth")[0]
	assert.Equal(t, callersTrace, request.Trace)
	assert.Equal(t, callersSpan, request.Parent)
	assert.Equal(t, "SPAN_KIND_SERVER", request.Kind.String())
	assert.Equal(t, "authsvc", request.Service)
	assert.Equal(t, "200", request.Attributes["http.response.status_code"])
	assert.Equal(t, "/auth", request.Attributes["http.route"])
	assert.False(t, request.Began.Before(began))
	require.Len(t, named(spans, "login"), 1)
	login := named(spans, "login")[0]
	within(t, login, request)
	assert.LessOrEqual(t, login.Ended.Sub(login.Began), took) // the request's span ends when the answer is written: the client may have it before
	assert.Equal(t, "ok", login.Attributes["authsvc.outcome"])
	require.Len(t, named(spans, "acquire"), 2)
	for _, s := range named(spans, "acquire") {
		within(t, s, login)
	}
	server := strings.TrimPrefix(slapd.URL(), "ldap://")
	for _, op := range []string{"search", "bind"} {
		require.Len(t, named(spans, op), 1)
		s := named(spans, op)[0]
		within(t, s, login)
		assert.Equal(t, "SPAN_KIND_CLIENT", s.Kind.String())
		assert.Equal(t, server, s.Attributes["server.address"]+":"+s.Attributes["server.port"])
		assert.Equal(t, "ldap", s.Attributes["db.system.name"])
		assert.Equal(t, op, s.Attributes["db.operation.name"])
		assert.Equal(t, "0", s.Attributes["db.response.status_code"])
	}
	for _, s := range spans {
		assert.False(t, s.Failed, s.Name)
	}
	for _, secret := range []string{ldaptest.Username(1), ldaptest.Password(1), ldaptest.PeopleDN, "uid="} {
		assert.NotContains(t, collector.Text(), secret)
	}
	assert.Contains(t, p.logged(), `"trace_id":"`+callersTrace+`"`, "in the audit line")
	assert.Regexp(t, `authsvc_login_duration_seconds_bucket{class="verdict",le="[0-9.]+"} 1 # {trace_id="`+callersTrace+`"}`, exemplars)
	assert.Regexp(t, `authsvc_ldap_operation_duration_seconds_bucket{op="bind".* # {trace_id="`+callersTrace+`"}`, exemplars)
}

// openMetrics scrapes as a Prometheus server does that keeps exemplars.
func openMetrics(t *testing.T, admin string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, admin+"/metrics", nil)
	require.NoError(t, err)
	req.Header.Set("Accept", "application/openmetrics-text;version=1.0.0")
	resp, err := client(t).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(text)
}

// TestTraces_AbsentCollectorDelaysNeitherLoginsNorExit: one that refuses connections, and one that
// takes them and is silent.
func TestTraces_AbsentCollectorDelaysNeitherLoginsNorExit(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10})
	for _, c := range []string{"refuses", "hangs"} {
		t.Run(c, func(t *testing.T) {
			t.Parallel()
			proxy := ldaptest.NewProxy(t, "127.0.0.1:1")
			if proxy.HangDials(); c == "refuses" {
				proxy.StopListening()
			}
			p := startProgram(t, slapd.URL(), "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+proxy.Addr(), "OTEL_BSP_SCHEDULE_DELAY=10")
			p.ready(t)
			for n := range 40 {
				a := ask(client(t), p.url, n)
				require.Equal(t, a.want, a.status)
			}
			began := time.Now()
			require.Zero(t, p.end(t))
			assert.Less(t, time.Since(began), 9*time.Second, "1 s for callers and 3 s for the collector")
			assert.Contains(t, p.logged(), "traces not sent")
			assert.Equal(t, 40, strings.Count(p.logged(), `"trace_id"`))
		})
	}
}
