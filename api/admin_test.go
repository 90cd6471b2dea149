package api_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"authsvc/internal/admin"
	"authsvc/internal/auth"
	"authsvc/internal/fanout"
	"authsvc/internal/journal"
	"authsvc/internal/metrics"
	"authsvc/internal/probe"
	"authsvc/internal/status"
	"authsvc/internal/throttle"
	"authsvc/ldappool"

	"github.com/stretchr/testify/require"
)

// newStatusPage is a status page on which there is something of everything.
func newStatusPage() *status.Page {
	m, j := metrics.New(metrics.Options{}), journal.New(slog.New(slog.DiscardHandler))
	fanout.Logins(m, j).LoginDone(context.Background(), auth.Credentials{}, auth.Result{Outcome: auth.DirectoryTimeout, Server: "ldap://a:389", Cause: ldappool.ErrTimeout, Phases: auth.Phases{Total: time.Second}})
	m.CountForwards([]string{"allowed"})("allowed", auth.FromCache)
	return status.New(status.Config{
		Version: "v1", Commit: "abc", Counts: m.Counts, Faults: j.Faults,
		Throttle:        func() throttle.Stat { return throttle.Stat{Entries: 1} },
		Remembered:      func() (accepted, rejected int) { return 1, 0 },
		RememberedLimit: 10_000,
		Settings:        []status.Setting{{Variable: "LOG_LEVEL", Value: "info", Source: "default"}},
		Pool: func() *ldappool.Stat {
			return &ldappool.Stat{
				MaxConns: 32, Retired: map[ldappool.RetireReason]int64{"ping_failed": 1},
				Servers: []ldappool.ServerStat{
					{URL: "ldap://a:389", State: ldappool.ServerDown, Since: time.Now(), Answered: time.Now(), LastErr: ldappool.ErrTimeout, IdleLimit: time.Minute},
					{URL: "ldap://b:389"},
				},
			}
		},
	})
}

// AdminHandler returns the admin listener's handler, with the status page if there is one.
func (h *harness) AdminHandler(metrics http.Handler, page *status.Page) *admin.Listener {
	l := admin.New(h.Server, admin.Config{Hosts: h.adminHosts, Metrics: metrics, Forget: func(string) int { return 1 }, Probes: &h.probes, Reset: func(_ *http.Request, name string) (int, error, error) {
		if name == "away" {
			return 0, nil, errors.New("the server is away")
		}
		return 1, nil, nil
	}})
	if page != nil {
		page.Mount(l)
	}
	return l
}

// given is a request and the HTTP status that it got.
type given struct {
	method, path string
	status       int
}

// statusRequests asks for all that the status page serves, in every way that is described, and
// holds it against the description.
func (h *harness) statusRequests(t *testing.T) (all []given) {
	t.Helper()
	page := newStatusPage()
	handler := h.AdminHandler(nil, page)
	ask := func(method, path string, header ...string) {
		req := httptest.NewRequest(method, path, nil)
		for _, name := range header {
			req.Header.Set(name, "x")
		}
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, req)
		(&openAPIDoc{root: h.doc.root, admin: true}).checkResponse(t, req, rec)
		all = append(all, given{method, req.URL.Path, rec.Code})
	}
	for _, path := range []string{"/", "/api/status", "/api/status/events"} {
		for _, method := range []string{http.MethodHead, http.MethodPost, http.MethodOptions} {
			ask(method, path)
		}
		ask(http.MethodGet, path, "Origin")
		ask(http.MethodHead, path, "Origin")
	}
	ask(http.MethodGet, "/")
	ask(http.MethodGet, "/api/status")
	ask(http.MethodPost, "/api/cache/flush")
	ask(http.MethodPost, "/api/cache/flush", "Origin")
	ask(http.MethodPost, "/api/cache/flush?nonsense=x")
	ask(http.MethodPost, "/api/throttle/reset?username=user")
	ask(http.MethodPost, "/api/throttle/reset?username=user", "Origin")
	ask(http.MethodPost, "/api/throttle/reset?username=away")
	ask(http.MethodPost, "/api/throttle/reset")
	name := probe.NewName()
	ask(http.MethodGet, "/api/forward/probe?username="+name)
	h.probes.Keep(name, probe.Arrival{Peer: "127.0.0.1", Trusted: true, ForwardedFor: []string{"192.0.2.1, 192.0.2.2"}, Client: "192.0.2.2"})
	ask(http.MethodGet, "/api/forward/probe?username="+name)
	ask(http.MethodGet, "/api/forward/probe?username=alice")
	ask(http.MethodGet, "/api/forward/probe?username="+name, "Origin")

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
