package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"authsvc/api"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sent is a request as some program or page sends it.
type sent struct {
	method, host, path string
	headers            string // "Name: value", one a line
}

// request makes it, with a good login as the body of a POST.
func (s sent) request() *http.Request {
	req := httptest.NewRequest(s.method, s.path, nil)
	if s.method == http.MethodPost {
		req = httptest.NewRequest(s.method, s.path, strings.NewReader(goodForm))
		req.Header.Set("Content-Type", typeForm)
	}
	req.Host = s.host
	for line := range strings.Lines(s.headers) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		req.Header.Add(name, strings.TrimSpace(value))
	}
	return req
}

// What programs send. The first three are by their documentation, the last is Node.js' fetch, seen
// on the wire.
var programs = map[string]string{
	"curl":       "User-Agent: curl/8.14\nAccept: */*",
	"Prometheus": "User-Agent: Prometheus/3.5\nAccept: application/openmetrics-text\nAccept-Encoding: gzip\nX-Prometheus-Scrape-Timeout-Seconds: 10",
	"a proxy":    "X-Forwarded-For: 192.0.2.7\nX-Forwarded-Host: login.example.org\nX-Real-Ip: 192.0.2.7\nConnection: close",
	"Node.js":    "Accept: */*\nAccept-Language: *\nSec-Fetch-Mode: cors\nUser-Agent: node\nAccept-Encoding: gzip, deflate",
}

func TestOrigin_ProgramsMayUseAnyHostName(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for name, headers := range programs {
		for _, host := range []string{"authsvc", "authsvc:8080", "authsvc.ns.svc.cluster.local:8080", "login.example.org", "evil.example", "localhost", "10.0.0.1", ""} {
			require.Equal(t, http.StatusOK, h.do(t, sent{"POST", host, "/auth", headers}.request()).Code, "%s at %s", name, host)
			require.Equal(t, http.StatusOK, h.do(t, sent{"GET", host, "/healthz", headers}.request()).Code, "%s at %s", name, host)
			for _, path := range []string{"/metrics", "/api/status", "/debug/pprof/cmdline"} {
				assert.Equal(t, http.StatusOK, h.admin(sent{"GET", host, path, headers}).Code, "%s at %s%s", name, host, path)
			}
		}
	}
}

// admin serves a request on the admin listener.
func (h *harness) admin(s sent) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("up 1\n")) })
	h.AdminHandler(metrics, newStatusPage()).ServeHTTP(rec, s.request())
	return rec
}

// What browsers send with a request of a foreign page to an address that they trust (HTTPS or
// loopback), to another one, and old browsers everywhere; all but the last two seen in Chromium.
var foreign = map[string]string{
	"a form":                    "Origin: http://evil.example\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document",
	"a form of another port":    "Origin: http://127.0.0.1:3000\nSec-Fetch-Site: same-site\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document",
	"fetch":                     "Origin: http://evil.example\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: cors\nSec-Fetch-Dest: empty",
	"fetch without CORS":        "Origin: http://evil.example\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: empty",
	"fetch without the name":    "Origin: null\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: empty",
	"an image":                  "Sec-Fetch-Site: cross-site\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: image\nAccept-Language: en",
	"a frame":                   "Sec-Fetch-Site: cross-site\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: iframe\nAccept-Language: en",
	"a script of the same site": "Sec-Fetch-Site: same-site\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: script",
	"a site nobody knows":       "Sec-Fetch-Site: of-the-future",
	"an origin alone":           "Origin: http://evil.example\nReferer: http://evil.example/",
	"no origin":                 "Origin: null",
	"another port":              "Origin: http://127.0.0.1:3000",
	"no URL":                    "Origin: http://%zz",
}

func TestOrigin_LoginsOfForeignPagesAreRejected(t *testing.T) {
	t.Parallel()
	for name, headers := range foreign {
		for _, host := range []string{"127.0.0.1:8080", "localhost:8080", "[::1]:8080", "login.example.org"} {
			h := newHarness(t, keyed("shop"), func(c *api.Config) { c.Hosts = []string{"login.example.org"} })
			rec := h.do(t, sent{"POST", host, "/auth", headers + "\nAuthorization: Bearer shop-key"}.request())
			h.requireRefused(t, rec, 400, "Origin: must be the origin of this service")
			require.Equal(t, "close", rec.Header().Get("Connection"), "%s: its body was not read", name)
			require.Empty(t, h.observer.all()[0].creds.Caller.Name, "not even the key was looked at")
		}
	}
}

// TestOrigin_PreflightPermitsNothing: the browser then does not send what it asked for.
func TestOrigin_PreflightPermitsNothing(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	rec := h.do(t, sent{"OPTIONS", "127.0.0.1", "/auth", foreign["fetch"] + "\nAccess-Control-Request-Method: POST\nAccess-Control-Request-Private-Network: true"}.request())
	require.Equal(t, http.StatusMethodNotAllowed, rec.Code)
	for name := range rec.Header() {
		require.NotContains(t, name, "Access-Control")
	}
}

func TestOrigin_SameOriginIsServed(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]sent{
		"behind a proxy that passes Host":     {"POST", "app.example.org", "/auth", "Origin: https://app.example.org\nSec-Fetch-Site: same-origin\nSec-Fetch-Mode: cors"},
		"behind a proxy that sets Host":       {"POST", "authsvc:8080", "/auth", "Origin: https://app.example.org\nSec-Fetch-Site: same-origin\nSec-Fetch-Mode: cors"},
		"an old browser":                      {"POST", "app.example.org:8443", "/auth", "Origin: https://app.example.org:8443"},
		"on this machine":                     {"POST", "localhost:8080", "/auth", "Origin: http://localhost:8080\nSec-Fetch-Site: same-origin"},
		"on an address":                       {"POST", "10.0.0.1:8080", "/auth", "Origin: http://10.0.0.1:8080\nAccept-Language: en"},
		"a person who types":                  {"GET", "app.example.org", "/healthz", "Sec-Fetch-Site: none\nSec-Fetch-Mode: navigate\nAccept-Language: en"},
		"a person where it is not said":       {"GET", "10.0.0.1:8080", "/healthz", "Accept-Language: en\nUpgrade-Insecure-Requests: 1"},
		"a link of the listener's own origin": {"GET", "10.0.0.1:8080", "/openapi.yaml", "Accept-Language: en\nReferer: http://10.0.0.1:8080/healthz"},
	} {
		h := newHarness(t, func(c *api.Config) { c.Hosts = []string{"app.example.org", "authsvc"} })
		require.Equal(t, http.StatusOK, h.do(t, s.request()).Code, name)
	}
}

// rebound are the requests of a page whose own name leads here: to the browser it is the same
// origin.
var rebound = map[string]sent{
	"a POST":                        {"POST", "", "/auth", "Origin: http://HOST\nAccept-Language: en"},
	"a POST over HTTPS":             {"POST", "", "/auth", "Origin: https://HOST\nSec-Fetch-Site: same-origin\nSec-Fetch-Mode: cors"},
	"a GET":                         {"GET", "", "/healthz", "Accept-Language: en\nReferer: http://HOST/"},
	"a GET without anything to see": {"GET", "", "/healthz", "Accept-Language:"},
	"a GET as of a program":         {"GET", "", "/healthz", "Accept-Language: *\nUser-Agent: node"},
	"a HEAD":                        {"HEAD", "", "/healthz", "Accept-Language: en"},
	"a GET over HTTPS":              {"GET", "", "/healthz", "Sec-Fetch-Site: same-origin\nSec-Fetch-Mode: cors"},
	"a page":                        {"GET", "", "/", "Accept-Language: en\nUpgrade-Insecure-Requests: 1"},
	"a typed page":                  {"GET", "", "/", "Sec-Fetch-Site: none\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document"},
	"a WebSocket":                   {"GET", "", "/", "Origin: http://HOST\nUpgrade: websocket\nConnection: Upgrade"},
	"one bit of news":               {"GET", "", "/healthz", "Sec-Fetch-User: ?1"},
}

func TestOrigin_ReboundNameIsRejected(t *testing.T) {
	t.Parallel()
	h := newHarness(t, func(c *api.Config) { c.Hosts = []string{"login.example.org"} })
	h.adminHosts = []string{"login.example.org"}
	for name, s := range rebound {
		for _, host := range []string{
			"evil.example:8080", "evil.example", "login.example.org.evil.example", "xlogin.example.org", "127.0.0.1.evil.example:8080", "localhost.evil.example",
			"xlocalhost", "localhost..", "127.1.evil", "[::1]evil.example", "", "evil.example:80:80", "login.example.org,evil.example",
		} {
			asked := s
			asked.host, asked.headers = host, strings.ReplaceAll(s.headers, "HOST", host)
			rec := httptest.NewRecorder()
			h.Handler().ServeHTTP(rec, asked.request())
			require.Equal(t, http.StatusBadRequest, rec.Code, "%s at %q", name, host)
			require.Equal(t, "Host: must be an IP address, localhost or a name listed in HTTP_HOSTS for requests from browsers", decodeAnswer(t, rec.Body.Bytes()).Message)
			require.Empty(t, h.auth.all())
			admin := h.admin(asked)
			require.Equal(t, http.StatusForbidden, admin.Code, "%s at %q", name, host)
			require.Contains(t, admin.Body.String(), "ADMIN_HOSTS")
			require.Equal(t, "text/plain; charset=utf-8", admin.Header().Get("Content-Type"))
		}
	}
}

func TestOrigin_AddressesLocalhostAndListedNamesAreServed(t *testing.T) {
	t.Parallel()
	h := newHarness(t, func(c *api.Config) { c.Hosts = []string{"main_svc"} })
	h.adminHosts = []string{"status.example.org"}
	const headers = "Sec-Fetch-Site: same-origin\nAccept-Language: en"
	for _, host := range []string{"127.0.0.1", "127.0.0.1:8080", "10.1.2.3:8080", "[::1]", "[::1]:8080", "[2001:db8::1]:80", "localhost", "LocalHost:8080", "localhost.:8080", "localhost."} {
		require.Equal(t, http.StatusOK, h.do(t, sent{"GET", host, "/healthz", headers}.request()).Code, host)
		require.Equal(t, http.StatusOK, h.admin(sent{"GET", host, "/debug/pprof/heap", headers}).Code, host)
	}
	for _, host := range []string{"main_svc", "Main_Svc:8080", "main_svc."} {
		require.Equal(t, http.StatusOK, h.do(t, sent{"GET", host, "/healthz", headers}.request()).Code, host)
		require.Equal(t, http.StatusForbidden, h.admin(sent{"GET", host, "/", headers}).Code, host)
	}
	require.Equal(t, http.StatusOK, h.admin(sent{"GET", "status.example.org:9090", "/", headers}).Code)
}

func TestOrigin_ForeignPagesAreRejectedOnTheAdminListener(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	paths := []string{"/metrics", "/api/status", "/api/status/events", "/debug/pprof/", "/debug/pprof/profile", "/debug/pprof/trace?seconds=60", "/debug/pprof/heap?gc=1", "/healthz", "/openapi.yaml", "/status.js"}
	for name, headers := range foreign {
		for _, host := range []string{"127.0.0.1:9090", "localhost:9090", "10.0.0.1:9090"} {
			for _, path := range paths {
				rec := h.admin(sent{"GET", host, path, headers})
				require.Equal(t, http.StatusForbidden, rec.Code, "%s: %s", name, path)
				require.NotContains(t, rec.Header(), "Access-Control-Allow-Origin")
			}
			require.Equal(t, http.StatusForbidden, h.admin(sent{"GET", host, "/", headers + "\nSec-Fetch-Dest: iframe\nSec-Fetch-Mode: no-cors"}).Code, name)
			require.Equal(t, http.StatusForbidden, h.admin(sent{"POST", host, "/debug/pprof/symbol", headers}).Code, name)
		}
	}
	// A link on another site leads to the page itself, and no further.
	const link = "Sec-Fetch-Site: cross-site\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document\nSec-Fetch-User: ?1\nReferer: https://wiki.example.org/"
	require.Equal(t, http.StatusOK, h.admin(sent{"GET", "127.0.0.1:9090", "/", link}).Code)
	for _, path := range paths {
		require.Equal(t, http.StatusForbidden, h.admin(sent{"GET", "127.0.0.1:9090", path, link}).Code, path)
	}
	require.Equal(t, http.StatusForbidden, h.admin(sent{"GET", "127.0.0.1:9090", "/", strings.ReplaceAll(link, "document", "iframe")}).Code)
}

// TestOrigin_BrowserWithoutASiteGetsOnlyCheapAnswers: on plain HTTP to an address that is
// not loopback's, browsers send neither Sec-Fetch-Site nor, with a GET, Origin, and a page can
// suppress Referer.
func TestOrigin_BrowserWithoutASiteGetsOnlyCheapAnswers(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	const silent = "Accept-Language: en\nUpgrade-Insecure-Requests: 1"
	for _, path := range []string{"/api/status/events", "/debug/pprof/profile", "/debug/pprof/trace", "/debug/pprof/heap", "/debug/pprof//profile", "/debug/pprof/goroutine"} {
		require.Equal(t, http.StatusForbidden, h.admin(sent{"GET", "10.0.0.1:9090", path, silent}).Code, path)
		require.Equal(t, http.StatusForbidden, h.admin(sent{"HEAD", "10.0.0.1:9090", path, silent}).Code, path)
		require.Equal(t, http.StatusForbidden, h.admin(sent{"GET", "10.0.0.1:9090", path, silent + "\nReferer: http://evil.example/"}).Code, path)
	}
	for _, path := range []string{"/", "/api/status", "/metrics", "/healthz", "/debug/pprof/"} {
		require.Equal(t, http.StatusOK, h.admin(sent{"GET", "10.0.0.1:9090", path, silent}).Code, path)
	}
	for _, path := range []string{"/status.css", "/status.js", "/debug/pprof/heap", "/debug/pprof/goroutine"} {
		require.Equal(t, http.StatusOK, h.admin(sent{"GET", "10.0.0.1:9090", path, silent + "\nReferer: http://10.0.0.1:9090/"}).Code, path)
	}
	require.Equal(t, http.StatusOK, h.admin(sent{"GET", "10.0.0.1:9090", "/", silent + "\nReferer: https://wiki.example.org/"}).Code, "a link leads to the page")
}

func BenchmarkBrowserCheck(b *testing.B) {
	for name, headers := range map[string]string{"program": programs["curl"], "browser": foreign["a form"]} {
		b.Run(name, func(b *testing.B) {
			req := sent{"POST", "127.0.0.1:8080", "/auth", headers}.request()
			b.ReportAllocs()
			for b.Loop() {
				_ = api.CheckMainBrowser(req)
			}
		})
	}
}
