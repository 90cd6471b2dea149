package admin

import (
	"net/http"
	"net/http/pprof"
	"strings"

	"authsvc/internal/clientaddr"
)

// The bounds on what the profiler takes, which has none itself.
const (
	// maxProfiles is how many profiles are made at one time: one of all goroutines can take 64 MiB.
	maxProfiles = 4
	// maxSymbols is the longest body that is read, in bytes: some thousand addresses. The profiler
	// keeps a name for each.
	maxSymbols = 64 << 10
)

// profiler mounts the profiler.
func (l *Listener) profiler() {
	running := make(chan struct{}, maxProfiles)
	// The symbol table is asked by POST, with addresses as the body.
	methods := []string{http.MethodGet, http.MethodHead, http.MethodPost}
	l.Handle("/debug/pprof/*", bounded(pprof.Index, running), methods...)
	for path, h := range map[string]http.HandlerFunc{
		"/debug/pprof/cmdline": pprof.Cmdline,
		"/debug/pprof/profile": pprof.Profile,
		"/debug/pprof/symbol":  pprof.Symbol,
		"/debug/pprof/trace":   pprof.Trace,
	} {
		l.Handle(path, bounded(h, running), methods...)
	}
	l.AddOpen("/debug/pprof/") // the index, which costs little
}

// bounded returns h with those bounds. running has an element for each profile that is being made.
func bounded(h http.HandlerFunc, running chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case running <- struct{}{}:
			defer func() { <-running }()
		default:
			w.Header().Set("Retry-After", "5")
			http.Error(w, "Too many profiles are in progress. Try again later.", http.StatusServiceUnavailable)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxSymbols)
		h(w, r)
	})
}

// guardProfiler returns the listener's handler, with the profiler served as ADMIN_PPROF says. The
// peer's address counts: no header is trusted.
func guardProfiler(setting string, admin http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !strings.HasPrefix(r.URL.Path, "/debug/"), setting == "true":
			admin.ServeHTTP(w, r)
		case setting == "false":
			refuse(w, http.StatusNotFound, "The profiler is off (ADMIN_PPROF=false).\n")
		case clientaddr.IsLoopback(r.RemoteAddr):
			admin.ServeHTTP(w, r)
		default:
			refuse(w, http.StatusForbidden, "The profiler is available only to programs on the service's own machine, unless ADMIN_PPROF=true.\n")
		}
	})
}

// refuse answers with a text, and closes the connection, whose body was not read.
func refuse(w http.ResponseWriter, status int, text string) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Connection", "close")
	http.Error(w, strings.TrimSuffix(text, "\n"), status)
}
