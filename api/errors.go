package api

import (
	"fmt"
	"net/http"
)

// refusal is the error of a request that the Authenticator never sees: status 10, bad_request.
type refusal struct {
	status int    // HTTP
	detail string // names the field and the rule, and nothing that the caller sent
	cause  error  // for the log, where there is more to say
}

// Error is the detail.
func (r *refusal) Error() string { return r.detail }

// The refusals that are about no single field.
var (
	errNotFound         = &refusal{status: http.StatusNotFound, detail: "not found"}
	errMethodNotAllowed = &refusal{status: http.StatusMethodNotAllowed, detail: "method not allowed"}
	errContentEncoding  = &refusal{status: http.StatusUnsupportedMediaType, detail: "Content-Encoding: must be absent"}
	errContentType      = &refusal{
		status: http.StatusUnsupportedMediaType,
		detail: "Content-Type: must be application/json or application/x-www-form-urlencoded, in UTF-8",
	}
	errBodyTooLarge = &refusal{
		status: http.StatusRequestEntityTooLarge,
		detail: fmt.Sprintf("body: must be at most %d bytes", maxBody),
	}
	errByteOrder    = badRequest("body: must not begin with a byte order mark")
	errNotObject    = badRequest("body: must be one JSON object")
	errTrailing     = badRequest("body: must end after one JSON object")
	errUnknownField = badRequest("unknown field: only username and password are allowed")
	errJSONAsForm   = badRequest("body: looks like JSON, but Content-Type announces a form: send Content-Type: application/json")
	errFormEscape   = badRequest("body: must have valid percent escapes")
	errSemicolon    = badRequest("body: fields must be separated by &, and a semicolon must be written as %3B")
)

// badRequest is a refusal with HTTP 400.
func badRequest(detail string) *refusal {
	return &refusal{status: http.StatusBadRequest, detail: detail}
}

// The refusals of the main listener.
var (
	errBrowserHost = badRequest("Host: must be an IP address, localhost or a name listed in HTTP_HOSTS for requests from browsers")
	errOtherOrigin = badRequest("Origin: must be the origin of this service")
)

// pageRefusal is a refusal that people read, with HTTP 403.
type pageRefusal string

// Error is the text of the answer.
func (r pageRefusal) Error() string { return string(r) }
