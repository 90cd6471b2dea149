package api

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"

	"authsvc/internal/auth"

	"github.com/labstack/echo/v4"
)

// around is the one middleware: it gives every request its ID and every answer its common headers,
// and turns what goes wrong inside, a panic too, into an answer.
func (s *Server) around(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		defer s.recovered(c)
		s.begin(c)
		if err := next(c); err != nil {
			c.Error(err) // here rather than by echo, so that a panic over it is seen too
		}
		return nil
	}
}

// begin sets the headers that every answer has.
func (s *Server) begin(c echo.Context) {
	req, header := c.Request(), c.Response().Header()
	common := [...]string{requestIDFor(req.Header), "nosniff", "no-store", "close"}
	header[echo.HeaderXRequestID] = common[0:1:1]
	header[echo.HeaderXContentTypeOptions] = common[1:2:2]
	header[echo.HeaderCacheControl] = common[2:3:3]
	if !keepsConnection(req) || s.draining.Load() {
		header[echo.HeaderConnection] = common[3:4:4]
	}
}

// keepsConnection reports whether the end of req's body is certain, so that the next request on the
// connection can be read. It is not certain after a chunked body, which may have come with a
// Content-Length that somebody in front believed (net/http drops it unseen), nor in HTTP/1.0, where
// net/http drops a Transfer-Encoding unseen; and not before the body was read to its end, see
// bodyRead. HTTP/2 frames its bodies, and there a "Connection: close" would end all streams; but
// the PRI that begins HTTP/2 comes as a request of HTTP/1.1 with any headers, and net/http gives it
// to a handler as one of HTTP/2.
func keepsConnection(req *http.Request) bool {
	if req.Method == methodPRI {
		return false
	}
	return req.ProtoMajor > 1 || req.ContentLength == 0 && req.ProtoAtLeast(1, 1)
}

// methodPRI is the method of the connection preface (RFC 9113 section 3.4).
const methodPRI = "PRI"

// bodyRead keeps the connection after all, now that the body was read to the end that
// Content-Length gave.
func (s *Server) bodyRead(c echo.Context) {
	if req := c.Request(); req.ContentLength > 0 && req.ProtoAtLeast(1, 1) && !s.draining.Load() {
		delete(c.Response().Header(), echo.HeaderConnection)
	}
}

// fail answers with err: a refusal as what it is, anything else as a fault of the service.
func (s *Server) fail(c echo.Context, err error) {
	if c.Response().Committed {
		return // err is about the writing, to a client that left
	}
	var r *refusal
	var page pageRefusal
	switch {
	case errors.As(err, &r):
	case errors.As(err, &page):
		// A client that left has no use for an answer.
		_ = writeBody(c, http.StatusForbidden, "text/plain; charset=utf-8", []byte(page.Error()))
		return
	case errors.Is(err, echo.ErrNotFound):
		r = errNotFound
	default:
		s.log.Error("request failed", "request_id", requestID(c), "route", c.Path(), "error", err)
		s.failed(c, http.StatusInternalServerError, auth.Result{Outcome: auth.InternalError, Cause: err})
		return
	}
	s.failed(c, r.status, auth.Result{Outcome: auth.BadRequest, Detail: r.detail, Cause: r.cause})
}

// failed answers with r, which is not the Authenticator's.
func (s *Server) failed(c echo.Context, status int, r auth.Result) {
	s.tell(c, r)
	_ = s.answer(c, status, r) // a client that left has no use for an answer
}

// tell tells the observer of r where it is about a login.
func (s *Server) tell(c echo.Context, r auth.Result) {
	if s.observer != nil && (c.Path() == PathLogin || c.Path() == routeForward) {
		s.observer.LoginDone(c.Request().Context(), auth.Credentials{
			RequestID: requestID(c), Client: c.RealIP(), Caller: callerOf(c),
		}, r)
	}
}

// recovered, deferred, ends a panic: with status 14 where nothing was written yet, else with the
// connection.
func (s *Server) recovered(c echo.Context) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler { //nolint:errorlint // as net/http does: this value and no other
		panic(v) // a handler's way to cut the connection, no fault
	}
	s.logPanic(c, v)
	if c.Response().Committed {
		panic(http.ErrAbortHandler)
	}
	r := auth.Result{Outcome: auth.InternalError, Cause: fmt.Errorf("panic: %s", describePanic(v))}
	_ = s.answer(c, http.StatusInternalServerError, r)
	defer func() {
		// The observer itself may be what panics. The answer is written by now.
		if again := recover(); again != nil {
			s.logPanic(c, again)
		}
	}()
	s.tell(c, r)
}

// logPanic logs v with the stack that raised it.
func (s *Server) logPanic(c echo.Context, v any) {
	s.log.Error("panic in a handler", "request_id", requestID(c), "route", c.Path(),
		"panic", describePanic(v), slog.String("stack", string(debug.Stack())))
}

// describePanic tells what v is without repeating it: only the runtime's own texts are known to
// hold nothing that a caller sent.
func describePanic(v any) string {
	var fault runtime.Error
	if err, ok := v.(error); ok && errors.As(err, &fault) { // singleflight wraps it
		return fault.Error()
	}
	return fmt.Sprintf("%T", v)
}

// maxRequestID is the longest X-Request-ID that is taken from a caller, in bytes.
const maxRequestID = 128

// requestIDFor returns the caller's X-Request-ID where there is exactly one and it is sane, else a
// new one.
func requestIDFor(h http.Header) string {
	if given := h[echo.HeaderXRequestID]; len(given) == 1 && saneRequestID(given[0]) {
		return given[0]
	}
	return rand.Text()
}

// requestID returns the ID that begin gave to the request.
func requestID(c echo.Context) string {
	return c.Response().Header().Get(echo.HeaderXRequestID)
}

// saneRequestID reports whether id can be written to a log line and a header unchanged.
func saneRequestID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
