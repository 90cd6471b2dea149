package status

import (
	"bytes"
	_ "embed"
	"io"
	"net/http"
	"strconv"
	"time"
)

// The paths of a page.
const (
	pathPage   = "/"
	pathStyle  = "/status.css"
	pathScript = "/status.js"
	pathJSON   = "/api/status"
	pathEvents = "/api/status/events"
)

//go:embed status.css
var style []byte

//go:embed status.js
var script []byte

// scriptTag loads the script. The page is complete without it, and /?static leaves it out: a
// headless browser with a virtual clock, as for a screenshot, would wait for the end of the stream
// forever.
var scriptTag = []byte(`<script src="` + pathScript + `" defer></script>` + "\n")

// policy permits the page to load its own style sheet and script and to connect to this service,
// and nothing else. Its icon is empty, in a data URL: without one browsers ask for /favicon.ico.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Listener is what a Page is mounted on. It refuses every method but GET and HEAD.
type Listener interface {
	// Open serves a path to any browser that may use the listener.
	Open(path string, h http.Handler)
	// Guarded serves a path, but not to a browser that does not send the site of the request.
	Guarded(path string, h http.Handler)
}

// Mount serves the page and all its parts on l. A stream keeps a connection, so it is guarded.
func (p *Page) Mount(l Listener) {
	l.Open(pathPage, p)
	l.Open(pathJSON, p)
	l.Guarded(pathStyle, p)
	l.Guarded(pathScript, p)
	l.Guarded(pathEvents, p)
}

// ServeHTTP serves the page and all its parts, to GET and HEAD; see Mount.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	// The listener's own links need a Referer where the browser sends no Sec-Fetch-Site: see
	// api.BrowserRules.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	switch r.URL.Path {
	case pathPage:
		page := p.current().page()
		if r.URL.Query().Has("static") {
			page = bytes.Replace(page, scriptTag, nil, 1)
		}
		write(w, r, http.StatusOK, "text/html; charset=utf-8", page)
	case pathStyle:
		write(w, r, http.StatusOK, "text/css; charset=utf-8", style)
	case pathScript:
		write(w, r, http.StatusOK, "text/javascript; charset=utf-8", script)
	case pathJSON:
		write(w, r, http.StatusOK, "application/json", p.current().full)
	case pathEvents:
		p.stream(w, r)
	default:
		http.NotFound(w, r)
	}
}

// write writes a whole answer.
func write(w http.ResponseWriter, r *http.Request, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client may have disconnected
	}
}

// The stream's times: when a browser reconnects, and how long writing one event may take. An event
// in each interval shows that the stream is alive.
const (
	retry     = "retry: 2000\n\n"
	writeTime = 10 * time.Second
)

// stream sends every snapshot until the client disconnects, reads too slowly, or the service
// drains. Each write has its own deadline, instead of the listener's deadline for a whole response.
func (p *Page) stream(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		return
	}
	if !p.feed.join() {
		w.Header().Set("Retry-After", "5")
		write(w, r, http.StatusServiceUnavailable, "application/json", []byte("{\"status\":\"unavailable\"}\n"))
		return
	}
	defer p.feed.leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	limits := http.NewResponseController(w)
	send := func(event []byte) bool {
		_ = limits.SetWriteDeadline(time.Now().Add(writeTime)) // without support there is no deadline
		_, err := w.Write(event)
		return err == nil && limits.Flush() == nil
	}
	_, next, last := p.feed.current()
	if _, err := io.WriteString(w, retry); err != nil || !send(p.current().event) {
		return
	}
	for !last {
		select {
		case <-r.Context().Done():
			return
		case <-next:
		}
		var event []byte
		event, next, last = p.feed.current()
		if !send(event) {
			return
		}
	}
}
