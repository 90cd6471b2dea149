package auth

import (
	"errors"
	"fmt"
)

// resultError is the error of a step that ended the login, with the result. Every step of a login
// returns its value, or a resultError. Only run makes the login's result of them.
type resultError struct{ result Result }

// Error is for the log only.
func (d *resultError) Error() string {
	if d.result.Cause == nil {
		return d.result.Outcome.Code()
	}
	return d.result.Outcome.Code() + ": " + d.result.Cause.Error()
}

func (d *resultError) Unwrap() error { return d.result.Cause }

// asError returns the error of a step that ends the login with a result.
func asError(r Result) error { return &resultError{r} }

// fault returns the error of a step that got no usable answer from the directory.
func fault(cause error) error {
	return asError(Result{Outcome: DirectoryUnavailable, RetryAfter: retryAfter, Cause: cause})
}

// withContext adds the subject of a step to the cause in its error.
func withContext(what string, err error) error {
	r := resultOf(err)
	r.Cause = fmt.Errorf("%s: %w", what, r.Cause)
	return asError(r)
}

// resultOf returns the result in a step's error. An error of another type is a bug, and denies the
// login.
func resultOf(err error) Result {
	if d, ok := errors.AsType[*resultError](err); ok {
		return d.result
	}
	return Result{Outcome: InternalError, Cause: err}
}

// followedBy returns the result of a login that had result r and then ended with another step's
// result. PasswordSeen stays true in all later results.
func (r Result) followedBy(next Result) Result {
	if next.DN == "" {
		next.DN = r.DN
	}
	if !next.Bind.Answered {
		next.Bind = r.Bind
	}
	next.PasswordSeen = next.PasswordSeen || r.PasswordSeen || next.Outcome == OK
	return next
}
