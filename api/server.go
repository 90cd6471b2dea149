package api

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"authsvc/internal/auth"

	"github.com/labstack/echo/v4"
)

// Authenticator decides one login; *auth.Authenticator is one. It detaches itself from ctx where an
// attempt must outlive its caller, and tells its own observer.
type Authenticator interface {
	Authenticate(ctx context.Context, c auth.Credentials) auth.Result
}

// Config is the configuration of the HTTP side. The zero value works: no proxy is trusted, nothing
// is logged.
type Config struct {
	// Logger gets panics, at error, and what net/http has to say about connections, at debug.
	Logger *slog.Logger
	// Observer gets the requests to /auth that are refused before the Authenticator sees them, and
	// those that end in a panic. The Authenticator reports all others.
	Observer auth.Observer
	// TrustedProxies are the peers whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// Always200 answers statuses 0 to 8 with HTTP 200.
	Always200 bool
	// Callers are those who may ask for logins; see SetCallers.
	Callers Callers
	// Hosts are the names by which browsers may use the main listener, in lower case and without a
	// trailing dot, in addition to localhost and IP addresses.
	Hosts []string
	// Forward is for reverse proxies; without a Verifier they are not served.
	Forward Forward
	// AuthTimeout is the longest that Authenticate takes: answers may be written for longer than
	// that.
	AuthTimeout time.Duration
}

// The paths that are served.
const (
	PathLogin   = "/auth"
	PathHealth  = "/healthz"
	PathLive    = "/livez"
	PathReady   = "/readyz"
	pathOpenAPI = "/openapi.yaml"
)

// Server serves logins on the main listener. A Router serves another listener; see NewRouter. The
// caller opens and closes both.
type Server struct {
	log           *slog.Logger
	observer      auth.Observer
	authenticator Authenticator
	health        Health
	always200     bool
	client        echo.IPExtractor
	callers       atomic.Pointer[Callers] // never nil
	limits        limits
	main          *echo.Echo
	forwards      *echo.Echo // nil if reverse proxies are not served
	forwarding    Forward
	trusted       []netip.Prefix
	unready       atomic.Bool // /readyz says so
	draining      atomic.Bool // answers close their connection
	requests      sync.Pool   // of *requestBuffer
	answers       sync.Pool   // of *bytes.Buffer
}

// New returns a Server that asks a about logins and h about the directory's health.
func New(cfg Config, a Authenticator, h Health) *Server {
	s := &Server{
		log:           cfg.Logger,
		observer:      cfg.Observer,
		authenticator: a,
		health:        h,
		always200:     cfg.Always200,
		client:        clientAddress(cfg.TrustedProxies),
		trusted:       cfg.TrustedProxies,
		forwarding:    cfg.Forward,
		limits:        defaultLimits(cfg.AuthTimeout),
		requests:      sync.Pool{New: func() any { return new(requestBuffer) }},
		answers:       sync.Pool{New: func() any { return new(bytes.Buffer) }},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.SetCallers(cfg.Callers)
	s.main = s.newEcho(mainBrowserRules(cfg.Hosts))
	s.routeCommon(s.main, s.healthz)
	route(s.main, PathLogin, s.postAuth, http.MethodPost)
	if cfg.Forward.Verifier != nil {
		s.forwards = s.newForward()
	}
	return s
}

// Handler serves the main listener: logins, reverse proxies, probes and the API's description.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serveMain) }

// Unready makes /readyz answer 503 from now on, so that balancers send no more logins. Those that
// come are served as before.
func (s *Server) Unready() { s.unready.Store(true) }

// Drain does what Unready does, and makes each answer close its connection.
func (s *Server) Drain() {
	s.Unready()
	s.draining.Store(true)
}

// newEcho returns a router without routes, whose every answer, errors and panics too, is this
// package's.
func (s *Server) newEcho(browsers *browserRules) *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Logger.SetOutput(io.Discard)
	e.HTTPErrorHandler = func(err error, c echo.Context) { s.fail(c, err) }
	e.IPExtractor = s.client
	e.Use(s.around, browsers.middleware)
	return e
}

// routeCommon adds what both listeners serve.
func (s *Server) routeCommon(e *echo.Echo, healthz echo.HandlerFunc) {
	route(e, PathLive, s.livez, http.MethodGet, http.MethodHead)
	route(e, PathReady, s.readyz, http.MethodGet, http.MethodHead)
	route(e, PathHealth, healthz, http.MethodGet, http.MethodHead)
	route(e, pathOpenAPI, openAPI, http.MethodGet, http.MethodHead)
}

// route serves path with h for methods, and refuses every other method by name. Left to itself,
// echo would answer OPTIONS with a 204 and offer it in Allow.
func route(e *echo.Echo, path string, h echo.HandlerFunc, methods ...string) {
	allow := methods[0]
	for _, m := range methods[1:] {
		allow += ", " + m
	}
	for _, m := range methods {
		e.Add(m, path, h)
	}
	e.RouteNotFound(path, func(c echo.Context) error {
		c.Response().Header().Set(echo.HeaderAllow, allow)
		return errMethodNotAllowed
	})
}
