// Package auth decides one login: it finds the user in the directory, binds as that user with the
// password given, and judges the answer. It knows LDAP through ldappool and nothing of HTTP.
package auth

import (
	"context"
	"errors"
	"time"

	"authsvc/ldappool"
	"authsvc/ldappool/ldapconn"

	"github.com/go-ldap/ldap/v3"
)

// Directory is what a login needs of the directory; *ldappool.Pool is one. An error is always a
// fault: what the directory answered, whatever its result code, comes as a result.
type Directory interface {
	// SearchWithFilter runs one search as the service identity, with the filter if it is not zero,
	// and otherwise with the request's own.
	SearchWithFilter(ctx context.Context, req *ldap.SearchRequest, filter ldapconn.Filter) (*ldappool.SearchResult, error)
	// Bind asks whether password belongs to dn (simple bind, RFC 4513 section 5.1.3).
	Bind(ctx context.Context, dn, password string, controls ...ldappool.Control) (*ldappool.BindResult, error)
}

// Credentials are a username and password to verify, and who asks.
type Credentials struct {
	Username string
	Password string
	// RequestID, Client and Caller are not validated. The Observer gets them with the result, so
	// that a line in the log can be found again.
	RequestID string
	Client    string // address
	Caller    Caller
}

// Result is the end of one login.
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
	// Cause is the operator's explanation of anything but OK, and BadRequest, which Detail
	// explains. It goes to the log, never to the caller.
	Cause error
	// Notice is something that an operator should look at, although the outcome is not a fault. It
	// goes to the log.
	Notice string
	// Bind is what the directory answered to the user's bind, for the log.
	Bind BindAnswer
	// DN is the entry that was tried, if one was found. It goes to the log; the caller gets it from
	// User.
	DN string
	// Server is the URL of the server that decided or failed. It is empty if no server was asked,
	// or if several could not be asked.
	Server string
	// Phases are the times the login's steps took.
	Phases Phases
}

// BindAnswer is the directory's answer to a user's bind, in short.
type BindAnswer struct {
	Answered bool   // there was a bind and it was answered; without, all else is empty
	Code     uint16 // result code, RFC 4511 appendix A
	Policy   string // the password policy control's error by its name, as accountLocked; empty if there was none
	SubCode  string // AD's, in hexadecimal, as 52e; empty if there was none
	// NotCompared: the directory compared the password with none, because there is no entry or it
	// has no password.
	NotCompared bool
}

// User is the entry that logged in.
type User struct {
	// Username is the entry's own name, which may differ from what was typed: the value of the name
	// attribute, or of its RDN where it shows none. With a DN template it is what was typed.
	Username string
	DN       string
	// Attributes are those that were asked for and that the entry has, by the names that were asked
	// for. A value is text; one that is not valid UTF-8, or is asked for in that form, is base64.
	Attributes map[string][]string
	// Groups are the names of the groups that the user is in, in order; nil where none are asked
	// for.
	Groups []string
}

// Phases are the parts of one login's time. A phase that did not happen is zero.
type Phases struct {
	Throttle time.Duration // for attempts under way on the same account, to be decided
	Wait     time.Duration // for connections, both lanes together, with dialling where that was needed
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
	Name string   // as its key's line or its certificate has it; empty where callers need neither
	By   CallerBy // how it showed that
}

// CallerBy is how a caller showed who it is.
type CallerBy string

// The ways to show it.
const (
	ByKey         CallerBy = "key"
	ByCertificate CallerBy = "certificate"
)

// WarningCode names what a user who was let in should know.
type WarningCode string

// The warnings.
const (
	PasswordExpiring WarningCode = "password_expiring" // Count is in seconds
	GraceLogins      WarningCode = "grace_logins"      // the password has expired; Count more logins are left
)

// Warning comes with OK.
type Warning struct {
	Code  WarningCode
	Count int64 // not negative
}

// ResultCode is the LDAP result code (RFC 4511 appendix A) in which the directory's answer to the
// decisive search or bind ended, as far as it explains a result that is not OK. ok is false where
// no answer decided.
func (r Result) ResultCode() (code uint16, ok bool) {
	var answer *directoryError
	if !errors.As(r.Cause, &answer) {
		return 0, false
	}
	return answer.result.Code, true
}
