package status

import (
	"bufio"
	"encoding/json"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"authsvc/internal/journal"
	"authsvc/internal/ldaptest"
	"authsvc/internal/logsafe"
	"authsvc/ldappool"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHandler_SendsAStrictSecurityPolicy(t *testing.T) {
	t.Parallel()
	p := New(newTestService().config())
	for path, contentType := range map[string]string{
		pathPage: "text/html; charset=utf-8", pathStyle: "text/css; charset=utf-8", pathScript: "text/javascript; charset=utf-8",
		pathJSON: "application/json", pathEvents: "text/event-stream",
	} {
		rec := httptest.NewRecorder()
		p.ServeHTTP(rec, httptest.NewRequest(http.MethodHead, path, nil))
		require.Equal(t, http.StatusOK, rec.Code, path)
		require.Empty(t, rec.Body.String(), "a HEAD has no body")
		for header, want := range map[string]string{
			"Content-Type": contentType, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Content-Security-Policy":      "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		} {
			assert.Equal(t, want, rec.Header().Get(header), path)
		}
	}
	require.Equal(t, http.StatusNotFound, get(t, p, "/status").Code)
}

func TestPage_LoadsOnlyItsOwnFiles(t *testing.T) {
	t.Parallel()
	page := get(t, New(newTestService().config()), pathPage).Body.String()
	require.Equal(t, []string{`<script src="/status.js" defer>`}, regexp.MustCompile(`<script[^>]*>`).FindAllString(page, -1))
	require.NotRegexp(t, `(?i)<style|\sstyle=|\son[a-z]+=|javascript:|https?://[^a]`, page)
	require.NotRegexp(t, `innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|https?://(?:[^w]|www\.[^w])`, string(script))
	require.NotRegexp(t, `url\(|@import`, string(style))
}

// Whatever a directory, a caller or an operator said comes out as text, in the page and in JSON.
func TestPage_ForeignTextIsEscapedAndBounded(t *testing.T) {
	t.Parallel()
	hostile := "</script><script>alert(1)</script>\"'`&\x00\x1b[31m\u202e\u2028\xff\n\nevent: x\ndata: y" + strings.Repeat("long ", 1000)
	w := newTestService()
	w.stat.Servers[0].URL, w.stat.Servers[0].LastErr = hostile, errors.New(hostile)
	w.faults = []journal.Fault{{Server: hostile, What: "dial", Text: logsafe.Printable(hostile, 300), Count: 1}}
	c := w.config()
	c.Version, c.Commit = hostile[:30], hostile[:30]
	c.Settings = append(c.Settings, Setting{"LDAP_X", hostile, hostile})
	p := New(c)
	page := get(t, p, pathPage).Body.String()
	require.NotContains(t, page, "<script>")
	require.NotContains(t, page, "alert(1)</")
	require.NotContains(t, page, "\x1b")
	require.Contains(t, html.UnescapeString(page), "</script><script>alert(1)</script>\"'`&")
	require.Less(t, len(page), 60_000)

	whole := get(t, p, pathJSON).Body.Bytes()
	require.True(t, json.Valid(whole))
	require.Equal(t, 1, strings.Count(string(whole), "\n"), "an event of the stream has no newline but at its end")
	event := string(p.current().event)
	require.Equal(t, 3, strings.Count(event, "\n"))
	require.NotContains(t, event, "\r")
	require.Less(t, len(event), 10_000)
}

// serving gives the address of a page that runs.
func serving(t *testing.T, w *testService) (*Page, string) {
	t.Helper()
	p := New(w.config())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Run(t.Context())
	}()
	srv := httptest.NewUnstartedServer(p)
	srv.Config.WriteTimeout, srv.Config.ReadTimeout = 1500*time.Millisecond, 1500*time.Millisecond // shorter than a stream must live
	srv.Start()
	t.Cleanup(func() {
		p.Drain()
		srv.Close()
		<-done
	})
	return p, srv.URL
}

// stream opens a stream.
func stream(t *testing.T, url string) *bufio.Scanner {
	t.Helper()
	resp, err := http.Get(url + pathEvents)
	require.NoError(t, err)
	t.Cleanup(func() { resp.Body.Close() })
	require.Equal(t, http.StatusOK, resp.StatusCode)
	return bufio.NewScanner(resp.Body)
}

// next is the next snapshot of a stream; false at its end.
func next(t *testing.T, s *bufio.Scanner) (got snapshot, ok bool) {
	t.Helper()
	for s.Scan() {
		if data, is := strings.CutPrefix(s.Text(), "data: "); is {
			require.NoError(t, json.Unmarshal([]byte(data), &got))
			return got, true
		}
	}
	return got, false
}

func TestStream_OutlivesTheListenersTimeoutsWithASnapshotASecond(t *testing.T) {
	t.Parallel()
	w := newTestService()
	_, url := serving(t, w)
	s := stream(t, url)
	require.True(t, s.Scan())
	require.Equal(t, "retry: 2000", s.Text())
	first, ok := next(t, s)
	require.True(t, ok)
	require.Equal(t, "usable", first.Servers[0].State)
	w.change(func() {
		w.stat.Servers = []ldappool.ServerStat{{URL: serverA, State: ldappool.ServerDown}}
	})
	for uptime := first.Service.Uptime; ; {
		got, ok := next(t, s)
		require.True(t, ok, "it was cut after %v s", uptime)
		uptime = got.Service.Uptime
		if got.Servers[0].State == "down" && uptime > first.Service.Uptime+4 {
			break
		}
	}
}

func TestStream_DrainEndsAllAndBeginsNone(t *testing.T) {
	t.Parallel()
	p, url := serving(t, newTestService())
	var all []*bufio.Scanner
	for range 10 {
		s := stream(t, url)
		_, ok := next(t, s)
		require.True(t, ok)
		all = append(all, s)
	}
	p.Drain()
	for _, s := range all {
		last := snapshot{}
		for got, ok := next(t, s); ok; got, ok = next(t, s) {
			last = got
		}
		require.NoError(t, s.Err(), "an end and no cut")
		require.Equal(t, statusDraining, last.Status)
	}
	require.Equal(t, http.StatusServiceUnavailable, get(t, p, pathEvents).Code)
	require.Equal(t, statusDraining, read(t, p).Status)
	require.Contains(t, get(t, p, pathPage).Body.String(), "<title>draining - authsvc</title>")
}

func TestStream_ShowsTheDrainBeforeItEnds(t *testing.T) {
	t.Parallel()
	p, url := serving(t, newTestService())
	s := stream(t, url)
	p.ShowDrain()
	ldaptest.Eventually(t, "the stream shows the drain", func() bool {
		got, ok := next(t, s)
		return ok && got.Status == statusDraining
	})
	_, ok := next(t, stream(t, url))
	require.True(t, ok, "it has not ended, and others may begin")
}

func TestStream_NumberIsBoundedAndEndedOnesFreeTheirSlot(t *testing.T) {
	t.Parallel()
	p, url := serving(t, newTestService())
	var bodies []io.Closer
	for range maxWatchers {
		resp, err := http.Get(url + pathEvents) //nolint:bodyclose // below, all together
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		bodies = append(bodies, resp.Body)
	}
	resp, err := http.Get(url + pathEvents)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.Equal(t, "5", resp.Header.Get("Retry-After"))
	require.JSONEq(t, `{"status":"unavailable"}`, string(body))
	for _, b := range bodies {
		require.NoError(t, b.Close())
	}
	ldaptest.Eventually(t, "nobody watches", func() bool { return !p.feed.watched() })
	_, ok := next(t, stream(t, url))
	require.True(t, ok)
}

// stuck is a caller that reads nothing.
type stuck struct {
	http.ResponseWriter
	entered, free chan struct{}
}

func (s *stuck) Write(b []byte) (int, error) {
	select {
	case s.entered <- struct{}{}:
	default:
	}
	<-s.free
	return len(b), nil
}

func (s *stuck) Flush() {}

func TestStream_ReaderThatStallsDelaysNobody(t *testing.T) {
	t.Parallel()
	w := newTestService()
	p, url := serving(t, w)
	slow := &stuck{httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.ServeHTTP(slow, httptest.NewRequest(http.MethodGet, pathEvents, nil))
	}()
	<-slow.entered
	s := stream(t, url)
	for range 3 {
		_, ok := next(t, s)
		require.True(t, ok)
	}
	p.Drain() // which does not wait for it either
	close(slow.free)
	<-ended
}

// TestPage_IsWholeWithoutAScript: a browser with a virtual clock, as for a
// picture, waits for a stream for ever.
func TestPage_IsWholeWithoutAScript(t *testing.T) {
	t.Parallel()
	p := New(newTestService().config())
	live := get(t, p, pathPage).Body.String()
	for _, query := range []string{"?static", "?static=1", "?x=y&static="} {
		static := get(t, p, pathPage+query).Body.String()
		require.NotContains(t, static, "<script")
		require.Equal(t, strings.Replace(live, string(scriptTag), "", 1), static)
	}
	require.Contains(t, get(t, p, pathPage+"?dynamic=static").Body.String(), "<script")
}
