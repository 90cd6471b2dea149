package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
)

// retryAfter is what a caller is told to wait when the directory is away or the queue is full. The pool looks for an
// absent directory every second at least.
const retryAfter = time.Second

// longestRetryAfter bounds what a caller is told to wait where the pool knows how long its queue is: by then much may be
// different.
const longestRetryAfter = 30 * time.Second

// directoryError is an answer of the directory that is no verdict on a password: what it was asked, and its own words.
type directoryError struct {
	op     string
	result ldappool.Result
	policy string // the password policy control's error, where there was one
}

func (e *directoryError) Error() string {
	name, ok := ldap.LDAPResultCodeMap[e.result.Code]
	if !ok {
		name = "unknown result code"
	}
	msg := fmt.Sprintf("%s %s: %s (%d)", e.op, e.result.Server, name, e.result.Code)
	if e.result.Diagnostic != "" {
		msg += ": " + e.result.Diagnostic
	}
	if e.policy != "" {
		msg += "; password policy: " + e.policy
	}
	return msg
}

// judgeFault says what a fault of the pool is to a caller. It never is a verdict. Where the pool says of what kind it is,
// that counts, and not what is behind it: a directory can be unavailable because it timed out.
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
			r.RetryAfter = min(max(retryAfter, op.Queue), longestRetryAfter)
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

// judgeSearch says what a search's result code means. OK means that the entries are all there are, or enough to see that
// there are too many. That the base does not exist, or that the service identity may not see it (both are noSuchObject,
// 32), is a fault: nothing is known of the user then.
func judgeSearch(r ldappool.Result) Result {
	switch r.Code {
	case ldap.LDAPResultSuccess, ldap.LDAPResultSizeLimitExceeded:
		return Result{Outcome: OK}
	case ldap.LDAPResultTimeLimitExceeded:
		return Result{Outcome: DirectoryTimeout, Cause: &directoryError{op: "search", result: r}}
	}
	return Result{Outcome: DirectoryUnavailable, RetryAfter: retryAfter, Cause: &directoryError{op: "search", result: r}}
}

// judgeBind says what the answer to a user's bind means (RFC 4511 section 4.2.2 and appendix A, the password policy controls,
// and the directory's own words). Only what speaks of this password or this account is a verdict; all else is a fault, never
// a guess. unknown is the outcome where the directory says that there is no such entry.
func judgeBind(p Preset, r ldappool.Result, unknown Outcome) Result {
	policy, err := readPolicy(r.Controls)
	answer := BindAnswer{Answered: true, Code: r.Code, Policy: policy.err.String()}
	if code, ok := adSubcode(r.Diagnostic); ok && p == AD {
		answer.SubCode = fmt.Sprintf("%x", uint32(code))
	}
	if err != nil {
		return Result{Outcome: DirectoryUnavailable, RetryAfter: retryAfter, Bind: answer, Cause: fmt.Errorf("bind %s: %w", r.Server, err)}
	}
	v, ok := p.judge(r, policy, unknown)
	switch {
	case !ok:
		v = verdict{outcome: DirectoryUnavailable}
		if r.Code == ldap.LDAPResultInvalidDNSyntax || r.Code == ldap.LDAPResultProtocolError {
			v.outcome = InternalError // the service's request was wrong
		}
	case v.outcome == OK:
		return Result{Outcome: OK, PasswordSeen: true, Bind: answer, Warnings: policy.warnings()}
	}
	result := Result{Outcome: v.outcome, PasswordSeen: v.seen(), Notice: v.notice, Bind: answer,
		Cause: &directoryError{op: "bind", result: r, policy: answer.Policy}}
	if v.outcome == DirectoryUnavailable {
		result.RetryAfter = retryAfter
	}
	return result
}

// judge finds the verdict in an answer to a bind, if there is one.
func (p Preset) judge(r ldappool.Result, policy policy, unknown Outcome) (verdict, bool) {
	if r.Code == ldap.LDAPResultSuccess {
		return policy.judgeSuccess()
	}
	if v, ok := p.refusal(r, unknown); ok {
		return v, true
	}
	if speaksOfAccounts(r.Code) {
		if v, ok := policy.judgeError(); ok {
			v.early = v.early || p == FreeIPA // its plugins look before the password was seen
			return v, true
		}
	}
	switch r.Code {
	case ldap.LDAPResultInvalidCredentials:
		// FreeIPA attaches it to a wrong password too.
		if policy.expired && p != FreeIPA {
			return verdict{outcome: PasswordExpired}, true
		}
		return verdict{outcome: InvalidPassword}, true
	case ldap.LDAPResultInappropriateAuthentication: // the entry has no password at all
		return verdict{outcome: InvalidPassword}, true
	case ldap.LDAPResultNoSuchObject:
		return verdict{outcome: unknown}, true
	}
	return verdict{}, false
}
