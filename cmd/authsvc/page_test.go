package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

//go:embed testdata/audit.js
var auditPage string

// live waits until the page shows what the stream brought.
func (b *browser) live(url string) {
	b.t.Helper()
	run(b, chromedp.Navigate(url))
	b.until(`document.getElementById("live").textContent.startsWith("● Live")`)
}

// titled waits for the title, which shows the state.
func (b *browser) titled(status string) time.Duration {
	b.t.Helper()
	return b.until(`document.title === "` + status + ` - authsvc"`)
}

// row returns the first row of a table's body that contains a text, cell by cell.
func (b *browser) row(id, holds string) string {
	b.t.Helper()
	return eval[string](b, `[...document.getElementById("`+id+`").rows].map((r) => [...r.cells].map((c) => c.textContent).join(" | ")).find((r) => r.includes("`+holds+`")) ?? ""`)
}

func TestPage_ShowsAnOutageAndItsEndWithinTwoSeconds(t *testing.T) {
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10})
	p := startProgram(t, slapd.URL())
	p.ready(t)
	b := openBrowser(t)
	b.live(p.admin + "/")
	b.titled("ok")
	require.Regexp(t, `^ldap://\S+ \| ● usable \| \d+s \| \d+ \| closed \| – \| – \| –$`, b.row("servers", slapd.URL()))
	require.Empty(t, eval[string](b, `document.getElementById("news").textContent`), "the figures are not announced")

	var gone, back []time.Duration
	for range 3 {
		slapd.Kill()
		gone = append(gone, b.titled("down"))
		require.Contains(t, b.row("servers", slapd.URL()), "✕ down")
		require.Contains(t, b.row("servers", slapd.URL()), "connection refused")
		require.Contains(t, b.row("faults", "probe"), "connection refused")
		require.Equal(t, slapd.URL()+" is down. No directory server is usable; logins get status 11.", eval[string](b, `document.getElementById("news").textContent`))
		slapd.Start()
		back = append(back, b.titled("ok"))
	}
	t.Logf("the page says so %v after the directory was killed, and %v after it answers again", gone, back)
	slices.Sort(gone) // and the median counts: other tests have the machine for moments
	slices.Sort(back)
	require.Less(t, gone[1], 2*time.Second)
	require.Less(t, back[1], 2*time.Second+500*time.Millisecond, "a probe each second, a snapshot each second")
	b.sound()

	require.Zero(t, p.end(t), "an open page holds up no end")
	b.until(`document.getElementById("live").textContent.startsWith("▲ Not live since ")`)
}

func TestPage_IsTheSameFromServerAndScript(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10})
	p := startProgram(t, "ldap://"+unoccupied(t)+","+slapd.URL(), "AUTH_THROTTLE_FAILURES=10", "AUTH_THROTTLE_ACCOUNT_FAILURES=100")
	p.ready(t)
	b := openBrowser(t)
	b.live(p.admin + "/")
	b.titled("degraded")
	for _, password := range []string{ldaptest.Password(0), ldaptest.Password(0), mistaken} {
		basic(client(t), p.url, "", ldaptest.Username(0), password)
	}
	stream(t, p.url, 40, 7*time.Second) // more than a step
	require.Regexp(t, `^allowed \| .* \| 2$`, b.row("forwarded", "allowed"))
	require.Equal(t, "hits | 1", b.row("cache", "hits"))
	require.Equal(t, "misses | 2", b.row("cache", "misses"))
	drawn := eval[struct {
		Server []string `json:"server"`
		Script []string `json:"script"`
	}](b, `(async () => {
		const get = (path) => fetch(path).then((r) => r.text());
		const cells = (page) => [page.title, ...[...page.querySelectorAll("header .title, #uptime, main th, main td, main path")].map(
			(n) => n.tagName === "path" ? n.outerHTML.replace(/ xmlns="[^"]*"/, "") : n.tagName + " " + (n.getAttribute("data-label") ?? "") + " " + n.className + " " + n.textContent.replace(/\s+/g, " ").trim())];
		for (;;) {
			const [before, html, after] = [await get("/api/status"), await get("/"), await get("/api/status")];
			if (before !== after) continue; // another snapshot
			draw(JSON.parse(before));
			return { server: cells(new DOMParser().parseFromString(html, "text/html")), script: cells(document) };
		}
	})()`)
	require.Equal(t, drawn.Server, drawn.Script)
	require.Greater(t, len(drawn.Server), 200)
	all := strings.Join(drawn.Server, "\n")
	for _, shown := range []string{"degraded - authsvc", "1 of 2 directory servers are usable", "invalid user", "throttle: counters in use", "connection refused", "denied", "limit of each"} {
		assert.Contains(t, all, shown)
	}
	b.sound()
}

func TestPage_WorksWithoutJavaScript(t *testing.T) {
	t.Parallel()
	server := ldaptest.NewServer(t, nil)
	p := startProgram(t, server.URL())
	p.ready(t)
	b := openBrowser(t)
	command(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	run(b, chromedp.Navigate(p.admin+"/"))
	require.Equal(t, "ok - authsvc", eval[string](b, "document.title"))
	require.Contains(t, b.row("servers", server.URL()), "● usable")
	require.Contains(t, eval[string](b, "document.body.innerText"), "Without JavaScript this page does not update.")
	moment := eval[string](b, `document.getElementById("live").textContent`)
	require.Regexp(t, `^As of \d\d:\d\d:\d\d UTC$`, moment)
	ldaptest.Eventually(t, "some seconds pass", func() bool {
		return eval[bool](b, `Date.now() > Date.parse(document.querySelector("time").dateTime) + 3000`)
	})
	require.Equal(t, moment, eval[string](b, `document.getElementById("live").textContent`))
	b.sound()
}

func TestPage_IsAccessible(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10})
	p := startProgram(t, "ldap://"+unoccupied(t)+","+slapd.URL(), "LDAP_ATTRIBUTES="+strings.Repeat("description,", 40)+"cn", "AUTH_THROTTLE_FAILURES=10")
	p.ready(t)
	stream(t, p.url, 20, time.Second)
	b := openBrowser(t)
	b.live(p.admin + "/")
	b.titled("degraded")
	eval[bool](b, `document.querySelector("details").open = true`)
	for _, width := range []int64{1280, 360} {
		for _, dark := range []bool{false, true} {
			b.size(width, dark)
			seen := eval[struct {
				Wrong []string `json:"wrong"`
				Texts int      `json:"texts"`
				Least float64  `json:"least"`
			}](b, auditPage)
			assert.Empty(t, seen.Wrong, "width %d, dark %v", width, dark)
			t.Logf("width %d, dark %v: %d texts, the least contrast is %.2f", width, dark, seen.Texts, seen.Least)
		}
		require.Equal(t, width, eval[int64](b, "document.documentElement.clientWidth"))
		require.LessOrEqual(t, eval[int64](b, "document.documentElement.scrollWidth"), width, "it scrolls sideways")
	}
	b.sound()
}

func TestPage_WorksWithTheKeyboard(t *testing.T) {
	t.Parallel()
	server := ldaptest.NewServer(t, nil)
	p := startProgram(t, server.URL())
	p.ready(t)
	b := openBrowser(t)
	b.live(p.admin + "/")
	var reached []string
	for range 7 {
		run(b, chromedp.KeyEvent(kb.Tab))
		reached = append(reached, eval[string](b, `document.activeElement.textContent`))
		require.Equal(t, "3px solid", eval[string](b, `(({ outlineWidth, outlineStyle }) => outlineWidth + " " + outlineStyle)(getComputedStyle(document.activeElement))`), reached)
	}
	require.Equal(t, []string{"Skip to the content", "JSON", "Metrics", "Health", "API", "Profiler"}, reached[:6])
	require.Contains(t, reached[6], "more with default values")
	run(b, chromedp.KeyEvent(kb.Enter))
	b.until(`document.querySelector("details").open`)
	b.sound()
}

func TestPage_ShowsWordsOfTheDirectoryAsText(t *testing.T) {
	t.Parallel()
	const hostile = `</script><img src=x onerror="document.title='taken'"><script>document.title='taken'</script>`
	server := ldaptest.NewServer(t, func(c *ldaptest.Conn, r ldaptest.Request) {
		c.WriteRaw(ldaptest.BindResponse(r.MessageID, ldap.LDAPResultInvalidCredentials, hostile))
	})
	p := startProgram(t, server.URL())
	b := openBrowser(t)
	b.live(p.admin + "/")
	b.until(`document.getElementById("servers").textContent.includes("onerror")`)
	require.Contains(t, eval[string](b, `document.getElementById("servers").textContent`), hostile)
	require.Contains(t, eval[string](b, `document.getElementById("faults").textContent`), hostile)
	b.live(p.admin + "/") // as the server draws it
	require.Equal(t, "down - authsvc", eval[string](b, "document.title"))
	require.Equal(t, "0", eval[string](b, `String(document.querySelectorAll("main img, main script").length)`))
	b.sound()
}

// TestPage_Screenshots stops one of two servers, then both. With -screenshots it takes
// pictures of each state for people to look at, after some logins that draw its charts.
func TestPage_Screenshots(t *testing.T) {
	first, second := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10}), ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10})
	p := startProgram(t, first.URL()+","+second.URL())
	p.ready(t)
	b := openBrowser(t)
	b.live(p.admin + "/")
	isDown := func(server string) { // it is suspect before
		b.until(fmt.Sprintf(`[...document.getElementById("servers").rows].some((r) => r.textContent.includes(%q) && r.textContent.includes("✕ down"))`, server))
	}
	c := client(t)
	shoot := func(state string, rates ...int) {
		if *screenshots == "" {
			return
		}
		for _, rate := range rates {
			streamBy(c, p.url, rate, 6*time.Second)
		}
		for _, dark := range []bool{false, true} {
			scheme := map[bool]string{true: "-dark"}[dark]
			b.size(360, dark)
			b.shoot(state + "-phone" + scheme)
			b.size(1280, dark)
			b.shoot(state + "-wide" + scheme)
		}
	}
	b.titled("ok")
	shoot("well", 20, 60, 40, 90, 70, 30)
	first.Kill()
	b.titled("degraded")
	isDown(first.URL())
	require.Contains(t, b.row("servers", second.URL()), "● usable")
	require.Contains(t, eval[string](b, "document.body.innerText"), "1 of 2 directory servers are usable.")
	shoot("one-down", 50)
	second.Kill()
	b.titled("down")
	isDown(second.URL())
	shoot("all-down", 50)
	b.sound()
	require.Zero(t, p.end(t))
}

func TestPage_StreamEndsWithTheService(t *testing.T) {
	t.Parallel()
	server := ldaptest.NewServer(t, nil)
	p := startProgram(t, server.URL(), "HTTP_SHUTDOWN_TIMEOUT=30s")
	p.ready(t)
	c := client(t)
	for range 20 {
		resp, err := c.Get(p.admin + "/api/status/events")
		require.NoError(t, err)
		t.Cleanup(func() { resp.Body.Close() })
		require.Equal(t, http.StatusOK, resp.StatusCode)
	}
	began := time.Now()
	require.Zero(t, p.end(t))
	require.Less(t, time.Since(began), 10*time.Second, "it did not wait for the pages")
}

// TestPage_HiddenOneClosesItsStream sets document.hidden, because this browser has no hidden tab.
func TestPage_HiddenOneClosesItsStream(t *testing.T) {
	t.Parallel()
	server := ldaptest.NewServer(t, nil)
	p := startProgram(t, server.URL())
	p.ready(t)
	b := openBrowser(t)
	b.live(p.admin + "/")
	hide := func(hidden bool) {
		eval[bool](b, fmt.Sprintf(`(Object.defineProperty(document, "hidden", {value: %v, configurable: true}), document.dispatchEvent(new Event("visibilitychange")))`, hidden))
	}
	hide(true)
	require.Equal(t, 2, eval[int](b, "source.readyState"), "closed")
	b.until(`document.getElementById("live").textContent.startsWith("▲ Not live since ")`)
	eval[bool](b, "(listen(), true)")
	require.Equal(t, 2, eval[int](b, "source.readyState"), "a try that was due does not begin a stream either")
	hide(false)
	b.until(`document.getElementById("live").textContent.startsWith("● Live, ")`)
	b.sound()
}

// TestProfiler_RunningProfileEndsWithTheService also requires that the service ends without a
// failure.
func TestProfiler_RunningProfileEndsWithTheService(t *testing.T) {
	t.Parallel()
	server := ldaptest.NewServer(t, nil)
	p := startProgram(t, server.URL(), "HTTP_SHUTDOWN_TIMEOUT=20s")
	p.ready(t)
	profile, err := http.Get(p.admin + "/debug/pprof/trace?seconds=60") // its headers come at once
	require.NoError(t, err)
	defer profile.Body.Close()
	began := time.Now()
	require.Zero(t, p.end(t))
	require.Less(t, time.Since(began), 20*time.Second)
	_, err = io.ReadAll(profile.Body)
	require.Error(t, err, "it is cut short")
}

// TestPage_IsWrittenByABrowserWithAVirtualClock: such a clock stands still while anything is
// loading, and a stream is always loading.
func TestPage_IsWrittenByABrowserWithAVirtualClock(t *testing.T) {
	t.Parallel()
	server := ldaptest.NewServer(t, nil)
	p := startProgram(t, server.URL())
	p.ready(t)
	path, err := exec.LookPath("chromium")
	require.NoError(t, err, "chromium is not installed: apt-get install chromium, or run make test as root")
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	browser := exec.CommandContext(ctx, path, "--headless", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
		"--user-data-dir="+t.TempDir(), "--virtual-time-budget=10000", "--dump-dom", p.admin+"/?static")
	page, err := browser.Output()
	require.NoError(t, err)
	require.Contains(t, string(page), "<title>ok - authsvc</title>")
	require.Zero(t, p.end(t))
}
