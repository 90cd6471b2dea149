package api

import (
	"net/http"
	"strings"
	"time"

	"authsvc/internal/auth"

	"github.com/labstack/echo/v4"
)

// HTTPStatus is httpStatus.
var HTTPStatus = httpStatus

// SetReadLimits shortens what a client may take: for the headers, for the whole request, between
// two requests.
func (s *Server) SetReadLimits(header, whole, idle time.Duration) {
	s.limits.readHeader, s.limits.read, s.limits.idle = header, whole, idle
}

// LeftAfterWipe reads body into a request buffer, wipes that, and returns what is left in it.
func LeftAfterWipe(body string) (left []byte) {
	var b requestBuffer
	_ = b.read(strings.NewReader(body))
	b.wipe()
	for _, c := range b.body {
		if c != 0 {
			left = append(left, c)
		}
	}
	return left
}

// AddRoute serves one path more on the main listener, for handlers that do wrong.
func (s *Server) AddRoute(path string, h http.HandlerFunc) {
	route(s.main, path, echo.WrapHandler(h), http.MethodGet)
}

// Routes returns the main listener's routes, "METHOD /path".
func (s *Server) Routes() []string { return routesOf(s.main) }

// Routes returns the listener's routes, "METHOD /path".
func (r *Router) Routes() []string { return routesOf(r.echo) }

func routesOf(e *echo.Echo) []string {
	var all []string
	for _, r := range e.Routes() {
		if r.Method != echo.RouteNotFound {
			all = append(all, r.Method+" "+r.Path)
		}
	}
	return all
}

// Identify finds out who asks.
func (a *Callers) Identify(r *http.Request) (auth.Caller, error) { return a.identify(r, bearerKey) }

// BasicCredentials is basicCredentials.
var BasicCredentials = basicCredentials

// CertName is certName.
var CertName = certName

// WithConnState is withConnState.
var WithConnState = withConnState

// CheckMainBrowser is the main listener's check of browsers, without names of its own.
func CheckMainBrowser(r *http.Request) error { return mainBrowserRules(nil).check(r) }
