package api

import (
	"crypto/rand"
	"net/http"

	"github.com/labstack/echo/v4"
)

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
