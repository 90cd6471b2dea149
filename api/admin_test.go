package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/status"
	"authsvc/internal/telemetry"
	"authsvc/internal/throttle"
	"authsvc/ldappool"

	"github.com/stretchr/testify/require"
)

// newStatusPage is a status page on which there is something of everything.
func newStatusPage() *status.Page {
	tel := telemetry.New(telemetry.Options{})
	tel.LoginDone(context.Background(), auth.Credentials{}, auth.Result{Outcome: auth.DirectoryTimeout, Server: "ldap://a:389", Cause: ldappool.ErrTimeout, Phases: auth.Phases{Total: time.Second}})
	return status.New(status.Config{
		Version: "v1", Commit: "abc", Counts: tel.Counts, Faults: tel.Faults,
		Throttle: func() throttle.Stat { return throttle.Stat{Entries: 1} },
		Settings: []status.Setting{{Variable: "LOG_LEVEL", Value: "info", Source: "default"}},
		Pool: func() *ldappool.Stat {
			return &ldappool.Stat{
				MaxConns: 32, Retired: map[ldappool.RetireReason]int64{ldappool.RetiredPing: 1},
				Servers: []ldappool.ServerStat{
					{URL: "ldap://a:389", State: ldappool.ServerDown, Since: time.Now(), Answered: time.Now(), LastErr: ldappool.ErrTimeout, IdleLimit: time.Minute},
					{URL: "ldap://b:389"},
				},
			}
		},
	})
}

// given is a request and the HTTP status that it got.
type given struct {
	method, path string
	status       int
}

// statusRequests asks for all that the status page serves, in every way that is described, and holds it against the description.
func (h *harness) statusRequests(t *testing.T) (all []given) {
	t.Helper()
	page := newStatusPage()
	handler := h.AdminHandler(nil, page)
	ask := func(method, path string) {
		req := httptest.NewRequest(method, path, nil)
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, req)
		(&openAPIDoc{root: h.doc.root, admin: true}).checkResponse(t, req, rec)
		all = append(all, given{method, path, rec.Code})
	}
	for _, path := range []string{"/", "/api/status", "/api/status/events"} {
		for _, method := range []string{http.MethodHead, http.MethodPost, http.MethodOptions} {
			ask(method, path)
		}
	}
	ask(http.MethodGet, "/")
	ask(http.MethodGet, "/api/status")

	gone, leave := context.WithCancel(t.Context())
	leave()
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/api/status/events", nil).WithContext(gone))
	require.Equal(t, "text/event-stream", rec.Header().Get("Content-Type"))
	require.Contains(t, rec.Body.String(), "event: status\ndata: {\"status\":")
	all = append(all, given{http.MethodGet, "/api/status/events", rec.Code})
	page.Drain()
	ask(http.MethodGet, "/api/status/events")
	return all
}

func TestTheStatusPageIsOnTheAdminListenerAlone(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for _, path := range []string{"/", "/status.css", "/status.js", "/api/status", "/api/status/events"} {
		rec := httptest.NewRecorder()
		h.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, http.StatusNotFound, rec.Code, path)
		rec = httptest.NewRecorder()
		h.AdminHandler(nil, nil).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, http.StatusNotFound, rec.Code, path)
		rec = httptest.NewRecorder()
		h.AdminHandler(nil, newStatusPage()).ServeHTTP(rec, httptest.NewRequest(http.MethodPost, path, nil))
		require.Equal(t, http.StatusMethodNotAllowed, rec.Code, path)
		require.Equal(t, "GET, HEAD", rec.Header().Get("Allow"), path)
	}
	rec := httptest.NewRecorder()
	h.AdminHandler(nil, newStatusPage()).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/nowhere", nil))
	require.Equal(t, http.StatusNotFound, rec.Code)
	require.Equal(t, "application/json", rec.Header().Get("Content-Type"))
}
