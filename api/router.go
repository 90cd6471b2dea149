package api

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// BrowserRules say which requests of browsers another listener than the main one serves.
type BrowserRules struct {
	// Hosts are the names by which browsers may use the listener, in lower case and without a
	// trailing dot, in addition to localhost and IP addresses.
	Hosts []string
	// Page may be opened by a link on another site; empty if there is no such page.
	Page string
	// Host, Origin and Silent are the texts that refuse a request under another name, of another
	// site, and without a sign of which site.
	Host, Origin, Silent string
}

// Router serves another listener than the main one. Its answers have the same headers and request
// IDs, its errors and panics the same answers. It serves the probes, with each server's state, and
// the API's description.
type Router struct {
	server *Server
	rules  *browserRules
	echo   *echo.Echo
}

// NewRouter returns a Router.
func (s *Server) NewRouter(r BrowserRules) *Router {
	rules := &browserRules{
		hosts: r.Hosts, page: r.Page, open: []string{PathLive, PathReady, PathHealth, pathOpenAPI},
		host: pageRefusal(r.Host), origin: pageRefusal(r.Origin), silent: pageRefusal(r.Silent),
	}
	e := s.newEcho(rules)
	s.routeCommon(e, s.healthzServers)
	return &Router{server: s, rules: rules, echo: e}
}

// Handle serves path with h for methods, and refuses every other method. A browser that does not
// say which site sent the request is refused too.
func (r *Router) Handle(path string, h http.Handler, methods ...string) {
	route(r.echo, path, echo.WrapHandler(h), methods...)
}

// HandleOpen is Handle, and serves a browser that does not say which site sent the request.
func (r *Router) HandleOpen(path string, h http.Handler, methods ...string) {
	r.Handle(path, h, methods...)
	r.AddOpen(path)
}

// AddOpen serves path, which Handle routes, to a browser that does not say which site sent the
// request.
func (r *Router) AddOpen(path string) { r.rules.open = append(r.rules.open, path) }

// ServeHTTP implements [http.Handler].
func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) { r.echo.ServeHTTP(w, req) }

// HTTPServer returns a server of h, which calls the Router, with the limits of the main listener.
func (r *Router) HTTPServer(h http.Handler) *http.Server { return r.server.limited(h) }
