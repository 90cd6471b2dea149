package api

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"authsvc/internal/auth"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"
)

// The challenges of a 401. RFC 9110 section 15.5.2 asks for one, and no browser has a dialog for
// these schemes.
const (
	challengeLogin  = `X-Authsvc realm="directory"`
	challengeCaller = `Bearer realm="authsvc"`
)

// answer writes r with an HTTP status, whole, in one Write.
func (s *Server) answer(c echo.Context, status int, r auth.Result) error {
	buf := s.answers.Get().(*[]byte)
	defer s.answers.Put(buf)
	*buf = appendAnswer((*buf)[:0], r, requestID(c))

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
	return writeBody(c, status, typeJSON, *buf)
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

// appendAnswer appends the JSON of r. What r does not have is left out.
func appendAnswer(b []byte, r auth.Result, requestID string) []byte {
	message := r.Outcome.Message()
	if r.Outcome == auth.BadRequest && r.Detail != "" {
		message = r.Detail
	}
	b = append(b, `{"status":`...)
	b = strconv.AppendInt(b, int64(r.Outcome.Status()), 10)
	b = append(b, `,"code":`...)
	b = appendString(b, r.Outcome.Code())
	b = append(b, `,"message":`...)
	b = appendString(b, message)
	b = append(b, `,"request_id":`...)
	b = appendString(b, requestID)
	if r.Outcome == auth.OK && r.User != nil {
		b = append(b, `,"user":`...)
		b = appendUser(b, r.User)
		b = appendWarnings(b, r.Warnings)
	}
	return append(b, "}\n"...)
}

// appendWarnings appends the member warnings, or nothing if there are no warnings.
func appendWarnings(b []byte, warnings []auth.Warning) []byte {
	if len(warnings) == 0 {
		return b
	}
	b = append(b, `,"warnings":`...)
	separator := byte('[')
	for _, w := range warnings {
		b = append(b, separator)
		b = append(b, `{"code":`...)
		b = appendString(b, string(w.Code))
		if w.Code == auth.GraceLogins {
			b = append(b, `,"remaining":`...)
		} else {
			b = append(b, `,"seconds":`...)
		}
		b = strconv.AppendInt(b, w.Count, 10)
		b = append(b, '}')
		separator = ','
	}
	return append(b, ']')
}

// appendUser appends the JSON of u. Attributes come in order of their names, so that equal answers
// are equal bytes.
func appendUser(b []byte, u *auth.User) []byte {
	b = append(b, `{"username":`...)
	b = appendString(b, u.Username)
	b = append(b, `,"dn":`...)
	b = appendString(b, u.DN)
	if len(u.Attributes) > 0 {
		b = append(b, `,"attributes":`...)
		names := make([]string, 0, 16) // on the stack, up to that many
		for name := range u.Attributes {
			names = append(names, name)
		}
		slices.Sort(names)
		separator := byte('{')
		for _, name := range names {
			b = append(b, separator)
			b = appendString(b, name)
			b = append(b, ':')
			b = appendStrings(b, u.Attributes[name])
			separator = ','
		}
		b = append(b, '}')
	}
	if u.Groups != nil {
		b = append(b, `,"groups":`...)
		b = appendStrings(b, u.Groups)
	}
	return append(b, '}')
}

// appendStrings appends a JSON array.
func appendStrings(b []byte, values []string) []byte {
	b = append(b, '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, v)
	}
	return append(b, ']')
}

// appendString appends a JSON string. Bytes that are not UTF-8 become U+FFFD: better than no
// answer.
func appendString(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s)
	return b
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
