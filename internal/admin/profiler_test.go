package admin

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func TestProfiler_IsServedToWhomTheSettingSays(t *testing.T) {
	t.Parallel()
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	const served, refused, off = http.StatusTeapot, http.StatusForbidden, http.StatusNotFound
	for peer, own := range map[string]bool{
		"127.0.0.1:9": true, "127.1.2.3:9": true, "[::1]:9": true, "[::ffff:127.0.0.1]:9": true,
		"192.0.2.1:9": false, "[2001:db8::1]:9": false, "[::ffff:192.0.2.1]:9": false, "": false, "@": false,
	} {
		for setting, want := range map[string]int{"true": served, "false": off, "loopback": refused, "": refused} {
			if own && (setting == "loopback" || setting == "") {
				want = served
			}
			for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof//profile", "/debug/%70prof/heap", "/debug/pprof/symbol"} {
				r := httptest.NewRequest(http.MethodPost, path, nil)
				r.RemoteAddr = peer
				r.Header.Set("X-Forwarded-For", "127.0.0.1")
				rec := httptest.NewRecorder()
				guardProfiler(setting, handler).ServeHTTP(rec, r)
				require.Equal(t, want, rec.Code, "%s from %s with %s", path, peer, setting)
			}
			r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			r.RemoteAddr = peer
			rec := httptest.NewRecorder()
			guardProfiler(setting, handler).ServeHTTP(rec, r)
			require.Equal(t, served, rec.Code, "metrics from %s with %s", peer, setting)
		}
	}
}
