package api

import (
	"bytes"
	"net/http"
	"strconv"
	"time"

	"authsvc/internal/auth"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"
)

// The challenges of a 401. RFC 9110 section 15.5.2 asks for one, and no browser has a dialog for
// these schemes.
const (
	challengeLogin  = `X-Authsvc realm="directory"`
	challengeCaller = `Bearer realm="authsvc"`
)

// answer writes r with an HTTP status.
func (s *Server) answer(c echo.Context, status int, r auth.Result) error {
	if c.Path() == routeForward {
		return s.answerForward(c, r, auth.FromNothing)
	}
	header := c.Response().Header()
	switch r.Outcome {
	case auth.TooManyAttempts, auth.DirectoryUnavailable, auth.Overloaded, auth.DirectoryTimeout:
		header.Set(echo.HeaderRetryAfter, retryAfter(r.RetryAfter))
	}
	if status == http.StatusUnauthorized {
		challenge := challengeLogin
		if r.Outcome == auth.CallerRefused {
			challenge = challengeCaller
		}
		header.Set(echo.HeaderWWWAuthenticate, challenge)
	}
	return s.writeJSON(c, status, answerOf(r, requestID(c)))
}

// answerOf returns what the caller gets of r.
func answerOf(r auth.Result, requestID string) *Answer {
	a := &Answer{Status: r.Outcome.Status(), Code: r.Outcome.Code(), Message: r.Outcome.Message(), RequestID: requestID}
	if r.Outcome == auth.BadRequest && r.Detail != "" {
		a.Message = r.Detail
	}
	if r.Outcome == auth.OK && r.User != nil {
		a.User, a.Warnings = (*User)(r.User), warningsOf(r.Warnings)
	}
	return a
}

func warningsOf(warnings []auth.Warning) []Warning {
	var all []Warning
	for _, w := range warnings {
		one := Warning{Code: string(w.Code)}
		if w.Code == auth.GraceLogins {
			one.Remaining = &w.Count
		} else {
			one.Seconds = &w.Count
		}
		all = append(all, one)
	}
	return all
}

// encoding makes equal answers equal bytes, and U+FFFD of bytes that are not UTF-8: better than no
// answer.
var encoding = json.JoinOptions(json.Deterministic(true), jsontext.AllowInvalidUTF8(true))

// writeJSON writes v as JSON, whole, in one Write.
func (s *Server) writeJSON(c echo.Context, status int, v any) error {
	buf := s.answers.Get().(*bytes.Buffer)
	defer s.answers.Put(buf)
	buf.Reset()
	if err := json.MarshalWrite(buf, v, encoding); err != nil {
		return err
	}
	buf.WriteByte('\n')
	return writeBody(c, status, typeJSON, buf.Bytes())
}

// writeBody writes a whole answer.
func writeBody(c echo.Context, status int, contentType string, body []byte) error {
	values := [...]string{contentType, strconv.Itoa(len(body))}
	header := c.Response().Header()
	header[echo.HeaderContentType] = values[0:1:1]
	header[echo.HeaderContentLength] = values[1:2:2]
	c.Response().WriteHeader(status)
	_, err := c.Response().Write(body)
	return err
}

// retryAfter is d in whole seconds, upwards, at least one: 0 would ask for the next try at once.
func retryAfter(d time.Duration) string {
	return strconv.FormatInt(max(1, int64((d+time.Second-1)/time.Second)), 10)
}

// httpStatus maps an outcome to the HTTP status of its answer. With always200 the directory's
// verdicts, statuses 0 to 8, are all 200. A BadRequest that this package found has its own: see
// refusal.
func httpStatus(o auth.Outcome, always200 bool) int {
	if always200 && o.IsVerdict() {
		return http.StatusOK
	}
	switch o {
	case auth.OK:
		return http.StatusOK
	case auth.InvalidUser, auth.InvalidPassword, auth.CallerRefused:
		return http.StatusUnauthorized
	case auth.AccountLocked, auth.AccountDisabled, auth.AccountExpired, auth.PasswordExpired,
		auth.MustChangePassword, auth.NotPermitted:
		return http.StatusForbidden
	case auth.TooManyAttempts:
		return http.StatusTooManyRequests
	case auth.BadRequest:
		return http.StatusBadRequest
	case auth.DirectoryUnavailable, auth.Overloaded:
		return http.StatusServiceUnavailable
	case auth.DirectoryTimeout:
		return http.StatusGatewayTimeout
	case auth.InternalError:
	}
	return http.StatusInternalServerError
}
