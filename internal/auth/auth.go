// Package auth decides one login: it finds the user in the directory, binds as that user with the
// given password, and evaluates the answer. It uses LDAP through ldappool and does not use HTTP.
package auth

import (
	"context"
	"errors"
	"time"

	"authsvc/ldappool"
	"authsvc/ldappool/ldapconn"

	"github.com/go-ldap/ldap/v3"
)

// Directory does the operations of a login; *ldappool.Pool implements it. An error is always a
// fault. The directory's answer, whatever its result code, is a result.
type Directory interface {
	// SearchWithFilter runs one search as the service identity, with the filter if it is not zero,
	// and otherwise with the request's own.
	SearchWithFilter(ctx context.Context, req *ldap.SearchRequest, filter ldapconn.Filter) (*ldappool.SearchResult, error)
	// Bind asks whether password belongs to dn (simple bind, RFC 4513 section 5.1.3).
	Bind(ctx context.Context, dn, password string, controls ...ldappool.Control) (*ldappool.BindResult, error)
}

// Credentials are a username and password to verify, and the caller.
type Credentials struct {
	Username string
	Password string
	// RequestID, Client and Caller are not validated. The Observer gets them with the result, so
	// that a log line can be matched with a request.
	RequestID string
	Client    string // address
	Caller    Caller
	// Forward is what a reverse proxy asks for; nil if a program asks.
	Forward *Forward
}

// Forward is the request to something behind a reverse proxy that the credentials came with.
type Forward struct {
	Host, Path string // as the proxy says; empty if it does not, or is not trusted. For the log
	// Required are the groups that the user must be in: one of each Requirement.
	Required []Requirement
}

// Requirement is a list of groups, written as in LDAP_REQUIRED_GROUPS, any of which permits.
type Requirement []string

// Result is the result of one login.
type Result struct {
	Outcome Outcome
	// Detail, with BadRequest, is what is wrong with the input: it names the field and the rule,
	// never a value.
	Detail string
	// PasswordSeen reports whether the directory saw the right password before it gave the answer
	// that became Outcome. If so, the caller knows the password. If not, uniform mode reports every
	// verdict as a wrong password.
	PasswordSeen bool
	// User is set with OK only.
	User *User
	// Warnings come with OK only.
	Warnings []Warning
	// RetryAfter, if not zero, is how long the caller should wait before it asks again.
	RetryAfter time.Duration
	// Cause explains every outcome except OK, and BadRequest, which Detail explains. It goes to the
	// log, never to the caller.
	Cause error
	// Notice is a problem that an operator should check, although the outcome is not a fault. It
	// goes to the log.
	Notice string
	// Bind is what the directory answered to the user's bind, for the log.
	Bind BindAnswer
	// DN is the entry that was tried, if one was found. It goes to the log; the caller gets it from
	// User.
	DN string
	// Server is the URL of the server that decided or failed. It is empty if no server was used, or
	// if several were unavailable.
	Server string
	// Phases are the times the login's steps took.
	Phases Phases
}

// BindAnswer is the directory's answer to a user's bind, in short.
type BindAnswer struct {
	Answered bool   // there was a bind and it was answered; otherwise all else is empty
	Code     uint16 // result code, RFC 4511 appendix A
	Policy   string // the password policy control's error by its name, as accountLocked; empty if there was none
	SubCode  string // AD's, in hexadecimal, as 52e; empty if there was none
	// NotCompared: the directory did not compare the password, because there is no entry or it has
	// no password.
	NotCompared bool
}

// User is the entry that logged in.
type User struct {
	// Username is the entry's name, which may differ from the typed name: the value of the name
	// attribute, or of the RDN if the entry shows no name attribute. With a DN template it is the
	// typed name.
	Username string
	DN       string
	// Attributes are the configured attributes that the entry has, by their configured names. A
	// value is text, or base64 if it is not valid UTF-8 or the configuration says so.
	Attributes map[string][]string
	// Groups are the names of the user's groups, sorted; nil if groups are not configured.
	Groups []string
}

// Phases are the parts of one login's time. A phase that did not happen is zero.
type Phases struct {
	Throttle time.Duration // for earlier attempts on the same account
	Wait     time.Duration // for connections, in both lanes, including dials
	Search   time.Duration // the directory's answers to searches, for groups too
	Bind     time.Duration // the directory's answer to the user's bind
	Total    time.Duration // from first to last
}

// Observer gets every login with its result, after the login was decided. LoginDone runs in the
// login's own goroutine and must not block.
type Observer interface {
	LoginDone(ctx context.Context, c Credentials, r Result)
}

// Caller is the program that asks for a login on behalf of a user.
type Caller struct {
	Name string   // from its key's line or its certificate; empty if callers need neither
	By   CallerBy // how it authenticated
}

// CallerBy is how a caller authenticated.
type CallerBy string

// The ways to authenticate.
const (
	ByKey         CallerBy = "key"
	ByCertificate CallerBy = "certificate"
)

// WarningCode names a warning for a user who logged in.
type WarningCode string

// The warnings.
const (
	PasswordExpiring WarningCode = "password_expiring" // Count is in seconds
	GraceLogins      WarningCode = "grace_logins"      // the password has expired; Count more logins are left
)

// Warning is a warning with the outcome OK.
type Warning struct {
	Code  WarningCode
	Count int64 // not negative
}

// ResultCode returns the LDAP result code (RFC 4511 appendix A) of the decisive search or bind, if
// that explains a result that is not OK. ok is false if no answer of the directory was decisive.
func (r Result) ResultCode() (code uint16, ok bool) {
	var answer *directoryError
	if !errors.As(r.Cause, &answer) {
		return 0, false
	}
	return answer.result.Code, true
}
