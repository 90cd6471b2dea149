package ldappool

import (
	"strings"
	"time"

	"authsvc/internal/redact"
	"authsvc/ldappool/ldapconn"

	"github.com/go-ldap/ldap/v3"
)

// Control is a control of a request or an answer.
type Control = ldapconn.Control

// Result is what the directory answered to one operation (LDAPResult, RFC 4511 section 4.1.9). No
// result code is an error.
type Result struct {
	Code       uint16        // result code, RFC 4511 appendix A; ldap.LDAPResultSuccess is 0
	MatchedDN  string        // the part of the name that does exist, with noSuchObject
	Diagnostic string        // the server's own words, for operators; see Withhold
	Withhold   bool          // Diagnostic may repeat the service identity's password, or is too long: it must not be shown
	Controls   []Control     // response controls, with their values as they were sent
	Server     string        // URL of the server that answered
	Wait       time.Duration // time spent waiting for a connection
	Took       time.Duration // time from the request to its answer
}

// shownDiagnostic returns Diagnostic as it may be shown if no user's password was sent.
func (r *Result) shownDiagnostic() string {
	if r.Withhold {
		return redact.Withheld
	}
	return strings.TrimRight(r.Diagnostic, "\x00\r\n ")
}

// BindResult is the directory's answer to a simple bind.
type BindResult struct{ Result }

// SearchResult is the directory's answer to a search. With codes such as sizeLimitExceeded (4),
// Entries holds the entries received before.
type SearchResult struct {
	Result
	Entries    []*ldap.Entry
	References []string // continuation references (RFC 4511 section 4.5.3), which are not followed
}
