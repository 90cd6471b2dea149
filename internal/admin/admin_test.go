package admin_test

import (
	"authsvc/api"
	"authsvc/internal/admin"
	"authsvc/internal/journal"
	"authsvc/internal/metrics"
	"authsvc/internal/status"
	"authsvc/ldappool"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// healthy is a directory that is usable.
type healthy struct{}

func (healthy) Health() api.HealthStatus { return api.HealthStatus{Usable: true, Answered: true} }

// newAPI returns the service that the listener belongs to. It would panic if anything asked for a
// login.
func newAPI() *api.Server { return api.New(api.Config{}, nil, healthy{}) }

// newAdmin returns a listener, with the status page if there is one.
func newAdmin(t *testing.T, metrics http.Handler, page *status.Page) *admin.Listener {
	t.Helper()
	l := admin.New(newAPI(), admin.Config{Metrics: metrics})
	if page != nil {
		page.Mount(l)
	}
	return l
}

func newStatusPage() *status.Page {
	return status.New(status.Config{
		Pool:   func() *ldappool.Stat { return &ldappool.Stat{} },
		Counts: metrics.New(metrics.Options{}).Counts, Faults: func() []journal.Fault { return nil },
	})
}

func TestAdminHandler_AloneServesTheStatusPage(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/", "/status.css", "/status.js", "/api/status", "/api/status/events"} {
		rec := httptest.NewRecorder()
		newAPI().Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, http.StatusNotFound, rec.Code, path)
		rec = httptest.NewRecorder()
		newAdmin(t, nil, nil).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, http.StatusNotFound, rec.Code, path)
		rec = httptest.NewRecorder()
		newAdmin(t, nil, newStatusPage()).ServeHTTP(rec, httptest.NewRequest(http.MethodPost, path, nil))
		require.Equal(t, http.StatusMethodNotAllowed, rec.Code, path)
		require.Equal(t, "GET, HEAD", rec.Header().Get("Allow"), path)
	}
	rec := httptest.NewRecorder()
	newAdmin(t, nil, newStatusPage()).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/nowhere", nil))
	require.Equal(t, http.StatusNotFound, rec.Code)
	require.Equal(t, "application/json", rec.Header().Get("Content-Type"))
}

// TestAdminHandler_ReadsABoundedNumberOfSymbols: the profiler keeps a name for each address that it
// is asked about.
func TestAdminHandler_ReadsABoundedNumberOfSymbols(t *testing.T) {
	t.Parallel()
	admin := newAdmin(t, nil, nil)
	address := fmt.Sprintf("%#x", reflect.ValueOf(TestAdminHandler_ReadsABoundedNumberOfSymbols).Pointer())
	ask := func(n int) (names int, read int64) {
		body := strings.NewReader(strings.Repeat(address+"+", n))
		w := httptest.NewRecorder()
		admin.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/debug/pprof/symbol", body))
		return strings.Count(w.Body.String(), "ReadsABoundedNumberOfSymbols"), body.Size() - int64(body.Len())
	}
	names, _ := ask(5000)
	require.Equal(t, 5000, names)
	names, read := ask(1_000_000)
	require.Less(t, names, 10_000)
	require.Less(t, read, int64(128<<10), "and no more of the body is read")
}

func TestAdminHandler_MakesABoundedNumberOfProfilesAtOneTime(t *testing.T) {
	t.Parallel()
	admin := newAdmin(t, nil, nil)
	ask := func(method, path string, body io.Reader) int {
		w := httptest.NewRecorder()
		admin.ServeHTTP(w, httptest.NewRequest(method, path, body))
		return w.Code
	}
	var bodies []*io.PipeWriter
	var running sync.WaitGroup
	for range 4 {
		r, w := io.Pipe()
		bodies = append(bodies, w)
		running.Go(func() { ask(http.MethodPost, "/debug/pprof/symbol", r) })
		_, err := io.WriteString(w, "0") // which is read: the profile has begun
		require.NoError(t, err)
	}
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine", "/debug/pprof/cmdline", "/debug/pprof/profile", "/debug/pprof/trace"} {
		require.Equal(t, http.StatusServiceUnavailable, ask(http.MethodGet, path, nil), path)
	}
	require.Equal(t, http.StatusOK, ask(http.MethodGet, "/livez", nil))
	for _, w := range bodies {
		require.NoError(t, w.Close())
	}
	running.Wait()
	require.Equal(t, http.StatusOK, ask(http.MethodGet, "/debug/pprof/goroutine", nil))
}

func TestAdminHandler_ServesMetricsAndProfilerButNoLogin(t *testing.T) {
	t.Parallel()
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metric 1\n") })
	admin := newAdmin(t, metrics, nil)
	serve := func(method, target string) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		admin.ServeHTTP(rec, httptest.NewRequest(method, target, strings.NewReader("")))
		require.NotEmpty(t, rec.Header().Get("X-Request-ID"), target)
		return rec
	}
	for target, want := range map[string]string{
		"/metrics": "metric 1", "/openapi.yaml": "openapi: 3.1.0", "/debug/pprof/": "goroutine",
		"/debug/pprof/goroutine?debug=1": "goroutine profile", "/debug/pprof/cmdline": os.Args[0],
		"/debug/pprof/symbol": "num_symbols",
	} {
		rec := serve(http.MethodGet, target)
		require.Equal(t, http.StatusOK, rec.Code, target)
		require.Contains(t, rec.Body.String(), want, target)
	}
	for target, want := range map[string]int{
		"/auth": 404, "/debug/pprof": 404, "/debug/pprof/nothing": 404, "/metrics": 405, "/debug/pprof/symbol": 200,
	} {
		require.Equal(t, want, serve(http.MethodPost, target).Code, target)
	}
	require.Equal(t, "GET, HEAD, POST", serve(http.MethodDelete, "/debug/pprof/heap").Header().Get("Allow"))

	rec := httptest.NewRecorder()
	newAdmin(t, nil, nil).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusNotFound, rec.Code)
}
