package status

import (
	_ "embed"
	"io"
	"net/http"
	"strconv"
	"time"
)

// The paths of a page. Whoever routes has them too: api/admin.go.
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

// policy lets the page load its own style sheet and script, ask this service, and nothing else. Its icon is empty, in a data URL:
// without one browsers ask for /favicon.ico.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// ServeHTTP serves the page and what belongs to it, to GET and HEAD. Other methods are turned away by whoever routes.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	switch r.URL.Path {
	case pathPage:
		write(w, r, http.StatusOK, "text/html; charset=utf-8", p.current().page())
	case pathStyle:
		write(w, r, http.StatusOK, "text/css; charset=utf-8", style)
	case pathScript:
		write(w, r, http.StatusOK, "text/javascript; charset=utf-8", script)
	case pathJSON:
		write(w, r, http.StatusOK, "application/json", p.current().whole)
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
		_, _ = w.Write(body) // who left has no use for it
	}
}

// The stream's paces: after how long a browser that lost it asks again, and how long one event may take to be written. That there
// is one in each pace is the sign of life.
const (
	retry     = "retry: 2000\n\n"
	writeTime = 10 * time.Second
)

// stream sends every snapshot until the caller leaves, reads too slowly, or the service drains. Each write has its own limit of
// time, in place of the listener's on a whole answer.
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
		_ = limits.SetWriteDeadline(time.Now().Add(writeTime)) // where it cannot be set, there is none
		_, err := w.Write(event)
		return err == nil && limits.Flush() == nil
	}
	_, next, last := p.feed.now()
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
		event, next, last = p.feed.now()
		if !send(event) {
			return
		}
	}
}
