package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

//go:embed testdata/foreign.js
var foreignScript string

// foreignSite is a web site that attacks its visitors' networks, and a visitor.
type foreignSite struct {
	*browser
	url string
}

// visit starts a site at http://evil.example and a browser that opens its page. Every other name
// leads the browser to this machine too: as one that the operator gave it, or one that was rebound.
func visit(t *testing.T) *foreignSite {
	t.Helper()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>kittens</title><body>")
	}))
	t.Cleanup(site.Close)
	_, port, err := net.SplitHostPort(site.Listener.Addr().String())
	require.NoError(t, err)
	b := openBrowser(t, chromedp.Flag("host-resolver-rules", "MAP *.example 127.0.0.1"))
	f := &foreignSite{b, "http://evil.example:" + port + "/"}
	run(b, chromedp.Navigate(f.url))
	return f
}

// do calls a function of foreign.js in the page that is open.
func do[T any](b *browser, call string, args ...any) T {
	b.t.Helper()
	return eval[T](b, "{\n"+foreignScript+"\n"+fmt.Sprintf(call, args...)+"\n}") // a block, so that it can be there twice
}

// under is a listener's address under another name.
func under(t *testing.T, url, name string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(url, "http://"))
	require.NoError(t, err)
	return "http://" + net.JoinHostPort(name, port)
}

// arrives waits for an expression to be true in the page that the tab comes to.
func (b *browser) arrives(expression string) {
	b.t.Helper()
	ldaptest.Eventually(b.t, "the tab has come to a page where "+expression, func() bool {
		ctx, cancel := context.WithTimeout(b.ctx, longest)
		defer cancel()
		there, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		return err == nil && there // while it is on its way there is an error
	})
}

// follow follows a link of the page by its text.
func follow(b *browser, text string) {
	b.t.Helper()
	eval[bool](b, fmt.Sprintf(`([...document.links].find((a) => a.textContent === %q).click(), true)`, text))
}

// asked asks as a program does and gives the answer.
func asked(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url) //nolint:gosec // the test's own service
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

// count returns a metric's value as it is written, or "".
func (p *process) count(t *testing.T, metric string) string {
	t.Helper()
	_, metrics := asked(t, p.admin+"/metrics")
	_, after, _ := strings.Cut(metrics, "\n"+metric+" ")
	value, _, _ := strings.Cut(after, "\n")
	return value
}

// TestBrowser_ForeignPageGuessesNoPassword lets a page try one account's password by every
// means that a page has.
func TestBrowser_ForeignPageGuessesNoPassword(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10})
	p := startProgram(t, slapd.URL(), "AUTH_THROTTLE_FAILURES=10", "AUTH_THROTTLE_ACCOUNT_FAILURES=100", "HTTP_HOSTS=login.example")
	p.ready(t)
	f := visit(t)
	for _, name := range []string{"127.0.0.1", "localhost", "login.example", "rebound.example"} {
		tried := do[int](f.browser, "guess(%q)", under(t, p.url, name)+"/auth")
		require.Equal(t, 9, tried)
		// The last is a form that takes the whole tab.
		do[bool](f.browser, "submit(%q, '_self', 'application/x-www-form-urlencoded')", under(t, p.url, name)+"/auth")
		f.arrives(`location.pathname === "/auth" && document.readyState === "complete"`)
		require.Contains(t, eval[string](f.browser, "document.body.textContent"), `"code":"bad_request"`)
		run(f.browser, chromedp.Navigate(f.url))
		f.arrives(`document.title === "kittens" && document.readyState === "complete"`)
	}
	ldaptest.Eventually(t, "the tries that are login requests have come", func() bool {
		return strings.Count(p.logged(), "Origin: must be")+strings.Count(p.logged(), "listed in HTTP_HOSTS") >= 4*6
	})
	assert.Equal(t, "0", p.count(t, "authsvc_throttle_entries"))
	for _, outcome := range []string{"invalid_password", "invalid_user", "ok", "too_many_attempts"} {
		assert.Contains(t, []string{"", "0"}, p.count(t, `authsvc_logins_total{outcome="`+outcome+`"}`), outcome)
	}
	c := client(t)
	for range 10 {
		assert.Equal(t, 2, login(c, p.url, ldaptest.Username(1), "wr0ng-w0rd", 2).status, "the whole budget is there")
	}
	assert.Equal(t, 9, login(c, p.url, ldaptest.Username(1), "wr0ng-w0rd", 9).status)
	assert.Zero(t, p.end(t))
}

func TestBrowser_ForeignPageStartsNothing(t *testing.T) {
	t.Parallel()
	server := ldaptest.NewServer(t, nil)
	p := startProgram(t, server.URL(), "ADMIN_HOSTS=status.example")
	p.ready(t)
	f := visit(t)
	for _, name := range []string{"127.0.0.1", "localhost", "status.example"} {
		admin := under(t, p.admin, name)
		for _, path := range []string{"/debug/pprof/profile?seconds=60", "/debug/pprof/trace?seconds=60", "/api/status/events"} {
			require.Positive(t, do[int](f.browser, "load(%q)", admin+path))
		}
	}
	// Had one begun, this would be refused: there is one CPU profile and one trace at a time.
	status, _ := asked(t, p.admin+"/debug/pprof/profile?seconds=1")
	assert.Equal(t, http.StatusOK, status)
	status, _ = asked(t, p.admin+"/debug/pprof/trace?seconds=0.1")
	assert.Equal(t, http.StatusOK, status)
	_, goroutines := asked(t, p.admin+"/debug/pprof/goroutine?debug=2")
	assert.NotContains(t, goroutines, "status.(*Page).stream")
	assert.Zero(t, p.end(t))
}

// TestBrowser_ReboundPageReadsNothing looks at both listeners from a document that the
// browser has from rebound.example, and whose requests go to this machine.
func TestBrowser_ReboundPageReadsNothing(t *testing.T) {
	t.Parallel()
	server := ldaptest.NewServer(t, nil)
	p := startProgram(t, server.URL(), "ADMIN_HOSTS=status.example", "HTTP_HOSTS=login.example")
	p.ready(t)
	b := openBrowser(t, chromedp.Flag("host-resolver-rules", "MAP *.example 127.0.0.1"))
	for url, refusal := range map[string]struct {
		status int
		text   string
		paths  []string
	}{
		p.admin: {http.StatusForbidden, "ADMIN_HOSTS", []string{"/", "/api/status", "/api/status/events", "/metrics", "/healthz", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline"}},
		p.url:   {http.StatusBadRequest, "HTTP_HOSTS", []string{"/auth", "/healthz", "/livez", "/openapi.yaml"}},
	} {
		run(b, chromedp.Navigate(under(t, url, "rebound.example")+"/"))
		require.Contains(t, eval[string](b, "document.body.textContent"), refusal.text)
		for _, path := range refusal.paths {
			read := do[[]struct {
				Status int    `json:"status"`
				Text   string `json:"text"`
			}](b, "read(%q)", path)
			require.Len(t, read, 6)
			for _, answer := range read {
				assert.Equal(t, refusal.status, answer.Status, path)
				assert.Contains(t, answer.Text, refusal.text, path)
			}
		}
	}
	assert.Zero(t, p.end(t))
}

func TestBrowser_ShowsTheStatusPageByAddressLocalhostAndListedName(t *testing.T) {
	t.Parallel()
	server := ldaptest.NewServer(t, nil)
	p := startProgram(t, server.URL(), "ADMIN_HOSTS=status.example")
	p.ready(t)
	for _, name := range []string{"127.0.0.1", "localhost", "status.example"} {
		f := visit(t)
		// By a link of another site, which is how people come to it from a wiki.
		eval[bool](f.browser, fmt.Sprintf("(location.href = %q, true)", under(t, p.admin, name)+"/"))
		f.arrives(`location.port !== "" && document.title === "ok - authsvc"`)
		f.arrives(`document.getElementById("live").textContent.startsWith("● Live")`)
		for _, link := range []string{"JSON", "Metrics", "Health", "API", "Profiler"} {
			text := eval[string](f.browser, `fetch([...document.links].find((a) => a.textContent === "`+link+`").href).then((r) => r.ok ? r.text() : "")`)
			require.NotEmpty(t, text, link)
		}
		f.sound()
		follow(f.browser, "Profiler")
		f.arrives(`location.pathname === "/debug/pprof/" && document.readyState === "complete"`)
		follow(f.browser, "cmdline")
		f.arrives(`location.pathname === "/debug/pprof/cmdline" && document.readyState === "complete"`)
		require.Contains(t, eval[string](f.browser, "document.body.textContent"), "serve", "a profile that another site may not ask for")
		run(f.browser, chromedp.Navigate(under(t, p.admin, name)+"/")) // typed
		f.arrives(`document.getElementById("live").textContent.startsWith("● Live")`)
	}
	assert.Zero(t, p.end(t))
}
