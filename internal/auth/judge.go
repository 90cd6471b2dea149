package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"authsvc/internal/dialect"
	"authsvc/internal/redact"
	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
)

// retryAfter is how long a caller should wait if the directory is unavailable or the queue is full.
// The pool probes an unavailable directory at least once a second.
const retryAfter = time.Second

// maxRetryAfter bounds the RetryAfter that is computed from the length of the pool's queue. The
// queue may have changed by then.
const maxRetryAfter = 30 * time.Second

// directoryError is an answer of the directory as the cause of a result: the operation, the result
// code, and the diagnostic message.
type directoryError struct {
	op     string
	result ldappool.Result
	policy string // the password policy control's error, if it had one
}

func (e *directoryError) Error() string {
	name, ok := ldap.LDAPResultCodeMap[e.result.Code]
	if !ok {
		name = "unknown result code"
	}
	msg := fmt.Sprintf("%s %s: %s (%d)", e.op, e.result.Server, name, e.result.Code)
	switch {
	case e.result.Withhold:
		msg += ": " + redact.Withheld
	case e.result.Diagnostic != "":
		msg += ": " + e.result.Diagnostic
	}
	if e.policy != "" {
		msg += "; password policy: " + e.policy
	}
	return msg
}

// judgeFault returns the result of a login that ended with a fault of the pool. It is never a
// verdict. If the pool names the kind of the fault, the kind decides and not the cause behind it: a
// directory can be unavailable because it timed out.
func judgeFault(err error) Result {
	r := Result{Cause: err}
	kind := err
	var op *ldappool.OpError
	if errors.As(err, &op) {
		kind = op.Kind
	}
	switch {
	case errors.Is(kind, ldappool.ErrTimeout):
		r.Outcome = DirectoryTimeout
	case errors.Is(kind, ldappool.ErrOverloaded):
		r.Outcome, r.RetryAfter = Overloaded, retryAfter
		if op != nil {
			r.RetryAfter = min(max(retryAfter, op.Queue), maxRetryAfter)
		}
	case errors.Is(kind, ldappool.ErrUnavailable), errors.Is(kind, ldappool.ErrConnLost), errors.Is(kind, ldappool.ErrClosed):
		r.Outcome, r.RetryAfter = DirectoryUnavailable, retryAfter
	case errors.Is(kind, context.DeadlineExceeded):
		r.Outcome = DirectoryTimeout
	default:
		r.Outcome = InternalError
	}
	return r
}

// judgeSearch evaluates a search's result code. It returns nil if the entries are complete, or
// enough to see that there are too many. noSuchObject (32) may mean that the base does not exist,
// or that the service identity may not see it. It is a fault, because nothing is known about the
// user.
func judgeSearch(r ldappool.Result) error {
	switch r.Code {
	case ldap.LDAPResultSuccess, ldap.LDAPResultSizeLimitExceeded:
		return nil
	case ldap.LDAPResultTimeLimitExceeded:
		return asError(Result{Outcome: DirectoryTimeout, Cause: &directoryError{op: "search", result: r}})
	}
	return fault(&directoryError{op: "search", result: r})
}

// judgeLookup is judgeSearch for a search that needs all entries.
func judgeLookup(r ldappool.Result) error {
	if r.Code == ldap.LDAPResultSizeLimitExceeded {
		return fault(&directoryError{op: "search", result: r})
	}
	return judgeSearch(r)
}

// judgeBind evaluates the answer to a user's bind. Only an answer about this password or this
// account is a verdict; any other answer is a fault. unknown is the outcome if the directory
// answers that there is no such entry.
func judgeBind(d *dialect.Dialect, r ldappool.Result, unknown Outcome) Result {
	a, err := d.Judge(r)
	answer := BindAnswer{Answered: true, Code: r.Code, Policy: a.Policy, SubCode: a.SubCode, NotCompared: a.NotCompared}
	if err != nil {
		return Result{Outcome: DirectoryUnavailable, RetryAfter: retryAfter, Bind: answer, Cause: fmt.Errorf("bind %s: %w", r.Server, err)}
	}
	if a.Verdict == dialect.Accepted {
		return Result{Outcome: OK, PasswordSeen: true, Bind: answer, Warnings: warnings(a.Warning)}
	}
	result := Result{Outcome: OutcomeOf(a.Verdict), PasswordSeen: a.PasswordSeen(), Notice: a.Notice, Bind: answer,
		Cause: &directoryError{op: "bind", result: r, policy: answer.Policy}}
	switch {
	case a.Verdict == dialect.NoSuchEntry:
		result.Outcome = unknown
	case a.Verdict == dialect.NoVerdict && (r.Code == ldap.LDAPResultInvalidDNSyntax || r.Code == ldap.LDAPResultProtocolError):
		result.Outcome = InternalError // the service's request was wrong
	}
	if result.Outcome == DirectoryUnavailable {
		result.RetryAfter = retryAfter
	}
	return result
}

// OutcomeOf returns the outcome of a login for the directory's verdict.
func OutcomeOf(v dialect.Verdict) Outcome {
	switch v {
	case dialect.Accepted:
		return OK
	case dialect.NoSuchEntry:
		return InvalidUser
	case dialect.WrongPassword:
		return InvalidPassword
	case dialect.Locked:
		return AccountLocked
	case dialect.Disabled:
		return AccountDisabled
	case dialect.AccountExpired:
		return AccountExpired
	case dialect.PasswordExpired:
		return PasswordExpired
	case dialect.MustChange:
		return MustChangePassword
	case dialect.NotPermitted:
		return NotPermitted
	}
	return DirectoryUnavailable
}
