package api

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/clientaddr"
	"authsvc/internal/identity"
	"authsvc/internal/probe"

	"github.com/labstack/echo/v4"
)

// pathForward is where reverse proxies ask, and the beginning of every path at which they do.
const pathForward = "/auth/basic"

// routeForward is the one route of the router for reverse proxies: every path and every method.
const routeForward = "/*"

// Verifier decides the credentials of a request to something behind a reverse proxy;
// *auth.Authenticator is one.
type Verifier interface {
	Verify(ctx context.Context, c auth.Credentials) (auth.Result, auth.Source)
}

// Forward is the configuration of forward authentication.
type Forward struct {
	Verifier Verifier
	Realm    string            // of the challenge (RFC 7617 section 2)
	Headers  []identity.Header // of an answer that permits
	// Answered, unless it is nil, gets every answer.
	Answered func(ForwardResult, auth.Source)
	// Probes, unless it is nil, keeps how the requests of authsvc check arrived.
	Probes *probe.Memory
}

// ForwardResult is what a reverse proxy was answered, for metrics.
type ForwardResult string

// The results.
const (
	ForwardAllowed   ForwardResult = "allowed"
	ForwardDenied    ForwardResult = "denied"    // 400, 403, or 401 to credentials
	ForwardChallenge ForwardResult = "challenge" // 401 to a request without credentials
	ForwardThrottled ForwardResult = "throttled"
	ForwardFault     ForwardResult = "fault"
)

// ForwardResults returns every result.
func ForwardResults() []ForwardResult {
	return []ForwardResult{ForwardAllowed, ForwardDenied, ForwardChallenge, ForwardThrottled, ForwardFault}
}

// Headers of forward authentication.
const (
	headerCache     = "Authsvc-Cache"
	headerStatus    = "Authsvc-Status"
	headerCallerKey = "Authsvc-Key"
	headerTruncated = "Authsvc-Groups-Truncated" // the groups are left out, because they would not fit
)

// newForward returns the router for reverse proxies. Their requests carry the headers of clients,
// browsers too, so the rules for browsers do not hold.
func (s *Server) newForward() *echo.Echo {
	e := s.newEcho(nil)
	e.RouteNotFound(routeForward, s.forward)
	return e
}

// ForwardHandler serves the listener on which every path is a reverse proxy's question. The path
// and the query are the client's, so both are ignored.
func (s *Server) ForwardHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serveForward(w, r, "") })
}

// serveMain serves the main listener.
func (s *Server) serveMain(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, pathForward)
	switch {
	case !ok || s.forwards == nil || rest != "" && rest[0] != '/':
		s.main.ServeHTTP(w, r)
	case rest == "":
		s.serveForward(w, r, r.URL.RawQuery)
	default: // the rest and the query are the client's
		s.serveForward(w, r, "")
	}
}

// serveForward serves a reverse proxy with the query that counts.
func (s *Server) serveForward(w http.ResponseWriter, r *http.Request, query string) {
	asked := new(http.Request)
	*asked = *r
	// The router has a route for every path but the "*" of OPTIONS.
	asked.URL = &url.URL{Path: "/" + strings.TrimPrefix(r.URL.Path, "/"), RawQuery: query}
	s.forwards.ServeHTTP(w, asked)
}

// forward answers a reverse proxy.
func (s *Server) forward(c echo.Context) error {
	header := c.Response().Header()
	header.Set(echo.HeaderVary, echo.HeaderAuthorization)
	req := c.Request()
	if err := s.admit(c, forwardKey); err != nil {
		r := auth.Result{Outcome: auth.CallerRefused, Cause: err}
		header.Set(echo.HeaderConnection, "close")
		s.tell(c, r)
		return s.answerForward(c, r, auth.FromNothing)
	}
	required, err := requirements(req)
	if err != nil {
		return err
	}
	username, password, err := basicCredentials(req.Header)
	if err == errNoBasic { //nolint:errorlint // it is never wrapped
		return s.challenge(c, ForwardChallenge, auth.FromNothing)
	}
	s.keepProbe(req, username)
	creds := auth.Credentials{
		Username: username, Password: password, RequestID: requestID(c), Client: c.RealIP(), Caller: callerOf(c),
		Forward: s.forwardedFor(req, required),
	}
	if err == nil {
		err = creds.Validate()
	}
	if err != nil {
		s.tell(c, auth.Result{Outcome: auth.BadRequest, Detail: err.Error()})
		return s.challenge(c, ForwardDenied, auth.FromNothing)
	}
	conn := limitedConn(req)
	conn.Hold()
	defer conn.Release()
	r, source := s.forwarding.Verifier.Verify(req.Context(), creds)
	defer time.AfterFunc(heldAnswer, conn.Release).Stop() // as after a login
	if r.Outcome == auth.BadRequest {                     // a name that no user can have
		err = s.challenge(c, ForwardDenied, source)
	} else {
		err = s.answerForward(c, r, source)
	}
	if err != nil {
		return err
	}
	return http.NewResponseController(c.Response().Writer).Flush()
}

// keepProbe keeps how a request of authsvc check arrived. Its answer is that of any other name that
// nobody has.
func (s *Server) keepProbe(r *http.Request, username string) {
	if s.forwarding.Probes == nil || !probe.IsName(username) {
		return
	}
	forwardedFor := r.Header[echo.HeaderXForwardedFor]
	s.forwarding.Probes.Keep(username, probe.Arrival{
		Peer: clientaddr.Find(r.RemoteAddr, nil, nil), Trusted: clientaddr.IsTrusted(r.RemoteAddr, s.trusted), ForwardedFor: forwardedFor,
		Client: clientaddr.Find(r.RemoteAddr, forwardedFor, s.trusted),
	})
}

// maxForwarded is how much of a forwarded host and path is logged, in bytes each.
const maxForwarded = 256

// forwardedFor returns what a request is for. Only a trusted proxy says which host and path.
func (s *Server) forwardedFor(r *http.Request, required []auth.Requirement) *auth.Forward {
	f := &auth.Forward{Required: required}
	if !clientaddr.IsTrusted(r.RemoteAddr, s.trusted) {
		return f
	}
	f.Host = cmp.Or(r.Header.Get("X-Forwarded-Host"), r.Host)
	f.Path = cmp.Or(r.Header.Get("X-Forwarded-Uri"), r.Header.Get("X-Original-Uri"), r.Header.Get("X-Original-Url"))
	if f.Path == "" { // the proxy appends it
		f.Path = strings.TrimPrefix(r.URL.Path, pathForward)
	}
	f.Path, _, _ = strings.Cut(f.Path, "?")
	f.Host, f.Path = f.Host[:min(len(f.Host), maxForwarded)], f.Path[:min(len(f.Path), maxForwarded)]
	return f
}

// answerForward writes what came of a request: headers alone.
func (s *Server) answerForward(c echo.Context, r auth.Result, source auth.Source) error {
	header := c.Response().Header()
	switch r.Outcome {
	case auth.OK:
		s.identify(c, r.User, source)
		return s.writeForward(c, http.StatusOK, ForwardAllowed, source)
	case auth.InvalidUser, auth.InvalidPassword:
		return s.challenge(c, ForwardDenied, source)
	case auth.AccountLocked, auth.AccountDisabled, auth.AccountExpired, auth.PasswordExpired,
		auth.MustChangePassword, auth.NotPermitted:
		if !r.PasswordSeen { // a stranger learns nothing of an account
			return s.challenge(c, ForwardDenied, source)
		}
		header.Set(headerStatus, strconv.Itoa(r.Outcome.Status()))
		return s.writeForward(c, http.StatusForbidden, ForwardDenied, source)
	case auth.CallerRefused: // a challenge would make browsers ask for a password without end
		return s.writeForward(c, http.StatusForbidden, ForwardDenied, source)
	case auth.TooManyAttempts:
		header.Set(echo.HeaderRetryAfter, retryAfter(r.RetryAfter))
		return s.writeForward(c, http.StatusTooManyRequests, ForwardThrottled, source)
	case auth.DirectoryUnavailable, auth.Overloaded, auth.DirectoryTimeout:
		header.Set(echo.HeaderRetryAfter, retryAfter(r.RetryAfter))
	case auth.BadRequest:
		return s.writeForward(c, http.StatusBadRequest, ForwardDenied, source)
	case auth.InternalError:
	}
	return s.writeForward(c, httpStatus(r.Outcome, false), ForwardFault, source)
}

// identify sets the headers that say who has logged in.
func (s *Server) identify(c echo.Context, u *auth.User, source auth.Source) {
	header := c.Response().Header()
	v := identity.Of(s.forwarding.Headers, &identity.User{Username: u.Username, DN: u.DN, Groups: u.Groups, Attributes: u.Attributes})
	for i, h := range s.forwarding.Headers {
		header[h.Name] = v.Values[i : i+1 : i+1]
	}
	if v.NoGroups {
		header.Set(headerTruncated, "true")
	}
	if (v.NoGroups || len(v.LeftOut) > 0) && source != auth.FromCache { // once a login
		s.log.Warn("identity left out of an answer to a reverse proxy",
			"request_id", requestID(c), "dn", u.DN, "all_groups", v.NoGroups, "left_out", v.LeftOut)
	}
}

// challenge asks the client for credentials, or for others.
func (s *Server) challenge(c echo.Context, result ForwardResult, source auth.Source) error {
	c.Response().Header().Set(echo.HeaderWWWAuthenticate, `Basic realm=`+strconv.Quote(s.forwarding.Realm)+`, charset="UTF-8"`)
	return s.writeForward(c, http.StatusUnauthorized, result, source)
}

// writeForward writes an answer without a body. nginx keeps its connection only if the answer says
// that there is none.
func (s *Server) writeForward(c echo.Context, status int, result ForwardResult, source auth.Source) error {
	header := c.Response().Header()
	header.Set(headerCache, string(source))
	header.Set(echo.HeaderContentLength, "0")
	c.Response().WriteHeader(status)
	if s.forwarding.Answered != nil {
		s.forwarding.Answered(result, source)
	}
	return nil
}
