// Package admin is the operator's listener: metrics, the profiler, probes that name each server of
// the directory, the API's description, and whatever mounts itself on it, such as the status page.
package admin

import (
	"net/http"

	"authsvc/api"
	"authsvc/internal/probe"
)

// Config configures a Listener. The zero value works: browsers may use IP addresses and localhost,
// the profiler serves loopback alone, and there are no metrics.
type Config struct {
	// Hosts are the names by which browsers may use the listener, in lower case and without a
	// trailing dot, in addition to localhost and IP addresses.
	Hosts []string
	// Pprof is ADMIN_PPROF: "true" serves the profiler to all, "false" to none, anything else to
	// programs on this machine.
	Pprof string
	// Metrics serves /metrics; nil leaves it out.
	Metrics http.Handler
	// Forget drops what is remembered of a user's credentials, or if the name is empty, of
	// everybody's; nil leaves it out.
	Forget func(username string) (accounts int)
	// Reset frees an account from the throttle; nil leaves it out.
	Reset Reset
	// Probes is how the requests of authsvc check arrived; nil leaves it out.
	Probes *probe.Memory
}

// Listener is the handler of the admin listener. Mount everything on it before it serves.
type Listener struct {
	*api.Router

	pprof string
}

// The refusals of browsers, which people read.
const (
	errHost = "Browsers can use this listener with an IP address, localhost, or a name that is listed in ADMIN_HOSTS, " +
		"for example ADMIN_HOSTS=authsvc.example.org.\n"
	errOrigin = "This listener refuses requests from pages of other sites. Open the status page at / and continue from there.\n"
	errSilent = "This browser does not send the page that the request came from, so it could be any site. " +
		"Follow the links from the status page at /, or use curl or go tool pprof.\n"
)

// New returns a Listener that answers as s does, and serves s's probes with each server's state.
func New(s *api.Server, cfg Config) *Listener {
	l := &Listener{pprof: cfg.Pprof, Router: s.NewRouter(api.BrowserRules{
		Hosts: cfg.Hosts, Page: "/", Host: errHost, Origin: errOrigin, Silent: errSilent,
	})}
	if cfg.Metrics != nil {
		l.Open("/metrics", cfg.Metrics)
	}
	if cfg.Forget != nil {
		l.Handle(pathFlush, flush(cfg.Forget), http.MethodPost)
	}
	if cfg.Probes != nil {
		l.Handle(probe.Path, showProbe(cfg.Probes), http.MethodGet)
	}
	if cfg.Reset != nil {
		l.Handle(pathReset, resetThrottle(cfg.Reset), http.MethodPost)
	}
	l.profiler()
	return l
}

// Open serves path to GET and HEAD, even if a browser does not say which site sent the request.
// That suits what costs little and keeps no connection open.
func (l *Listener) Open(path string, h http.Handler) {
	l.HandleOpen(path, h, http.MethodGet, http.MethodHead)
}

// Guarded serves path to GET and HEAD, but not to a browser that does not say which site sent the
// request.
func (l *Listener) Guarded(path string, h http.Handler) {
	l.Handle(path, h, http.MethodGet, http.MethodHead)
}

// HTTPServer returns a server with all limits set. Its address is the caller's.
func (l *Listener) HTTPServer() *http.Server {
	return l.Router.HTTPServer(guardProfiler(l.pprof, l))
}
