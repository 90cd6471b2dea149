package api_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"authsvc/api"

	"github.com/stretchr/testify/require"
)

// sick is a directory that answered once and is not usable now.
var sick = api.HealthStatus{Answered: true, Servers: []api.ServerStatus{
	{Address: "ldap://a:389", State: "down", Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), LastError: "refused \xff"},
	{Address: "ldap://b:389", State: "suspect"},
}}

func TestContract_Probes(t *testing.T) {
	t.Parallel()
	well := api.HealthStatus{Usable: true, Answered: true}
	for _, c := range []struct {
		name   string
		path   string
		status api.HealthStatus
		drain  bool
		want   int
		body   string
	}{
		{"livez is well whatever the directory does", "/livez", api.HealthStatus{}, true, 200, "ok"},
		{"readyz waits for the directory's first answer", "/readyz", api.HealthStatus{}, false, 503, "unavailable"},
		{"readyz is well once the directory has answered", "/readyz", well, false, 200, "ok"},
		{"readyz stays well when the directory fails later", "/readyz", sick, false, 200, "ok"},
		{"readyz is unwell while draining", "/readyz", well, true, 503, "draining"},
		{"healthz is well while a server is usable", "/healthz", well, true, 200, "ok"},
		{"healthz is unwell while none is", "/healthz", sick, false, 503, "unavailable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.health.set(c.status)
			if c.drain {
				h.Drain()
			}
			for _, handler := range []http.Handler{h.Handler(), h.AdminHandler(nil, nil)} {
				rec := httptest.NewRecorder()
				handler.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, c.path, nil))
				require.Equal(t, c.want, rec.Code)
				require.Contains(t, rec.Body.String(), `{"status":"`+c.body+`"`)
				head := httptest.NewRecorder()
				handler.ServeHTTP(head, httptest.NewRequest(http.MethodHead, c.path, nil))
				require.Equal(t, c.want, head.Code)
				require.Equal(t, rec.Header().Get("Content-Length"), head.Header().Get("Content-Length"))
			}
			require.Equal(t, `{"status":"`+c.body+"\"}\n", h.get(t, http.MethodGet, c.path).Body.String(),
				"the main listener tells no more than that")
		})
	}
}

func TestUnready_LoginsAreServedAsBefore(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.health.set(api.HealthStatus{Usable: true, Answered: true})
	require.Equal(t, http.StatusOK, h.get(t, http.MethodGet, "/readyz").Code)
	h.Unready()
	require.JSONEq(t, `{"status":"draining"}`, h.get(t, http.MethodGet, "/readyz").Body.String())
	rec := h.post(t, typeJSON, goodJSON)
	require.Equal(t, http.StatusOK, rec.Code)
	require.Empty(t, rec.Header().Get("Connection"))
}

func TestDrain_LoginsAreServedWithConnectionClose(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	before := h.post(t, typeJSON, goodJSON)
	require.Empty(t, before.Header().Get("Connection"))
	h.Drain()
	after := h.post(t, typeJSON, goodJSON)
	require.Equal(t, http.StatusOK, after.Code)
	require.Equal(t, "close", after.Header().Get("Connection"))
}

func TestHealthz_NamesTheServersOnTheAdminListener(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.health.set(sick)
	rec := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodGet, "/healthz", nil)
	h.AdminHandler(nil, nil).ServeHTTP(rec, req)
	h.doc.checkResponse(t, req, rec)
	require.JSONEq(t, `{"status":"unavailable","servers":[`+
		`{"address":"ldap://a:389","state":"down","since":"2026-01-02T03:04:05Z","last_error":"refused `+"\ufffd"+`"},`+
		`{"address":"ldap://b:389","state":"suspect"}]}`+"\n", rec.Body.String())
}

func TestHealthz_ShowsTheOperatorWhatIsMissing(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.health.set(api.HealthStatus{Answered: true, Missing: "LDAP_BASE_DN \xff"})
	rec := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodGet, "/healthz", nil)
	h.AdminHandler(nil, nil).ServeHTTP(rec, req)
	h.doc.checkResponse(t, req, rec)
	require.JSONEq(t, `{"status":"unavailable","missing":"LDAP_BASE_DN `+"\ufffd"+`"}`, rec.Body.String())
	require.JSONEq(t, `{"status":"unavailable"}`, h.get(t, http.MethodGet, "/healthz").Body.String(), "a stranger is not told")
	require.Equal(t, http.StatusOK, h.get(t, http.MethodGet, "/readyz").Code)
}

func TestPanic_OnTheAdminListenerIsStatus14(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	rec := httptest.NewRecorder()
	h.AdminHandler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("metrics") }), nil).
		ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	requireInternalError(t, rec)
	require.Empty(t, h.observer.all())
}

func TestResponse_ThatCannotBeMadeIsStatus14(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.health.set(api.HealthStatus{Servers: []api.ServerStatus{{Since: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}}})
	rec := httptest.NewRecorder()
	h.AdminHandler(nil, nil).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/healthz", nil))
	requireInternalError(t, rec)
	require.Contains(t, h.log.String(), "request failed")
}
