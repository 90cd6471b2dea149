package auth

import (
	"errors"
	"fmt"
)

// decided is the error of a step that ended the login, with the result. Every step of a login
// returns what it found out, or a decided: only run makes the login's result of them.
type decided struct{ result Result }

// Error is for a log: nobody branches on it.
func (d *decided) Error() string {
	if d.result.Cause == nil {
		return d.result.Outcome.Code()
	}
	return d.result.Outcome.Code() + ": " + d.result.Cause.Error()
}

func (d *decided) Unwrap() error { return d.result.Cause }

// end returns the error of a step that ended the login with a result.
func end(r Result) error { return &decided{r} }

// fault returns the error of a step that got no answer from the directory that it could use.
func fault(cause error) error {
	return end(Result{Outcome: DirectoryUnavailable, RetryAfter: retryAfter, Cause: cause})
}

// naming adds to the cause in a step's error what the step was about.
func naming(what string, err error) error {
	r := resultOf(err)
	r.Cause = fmt.Errorf("%s: %w", what, r.Cause)
	return end(r)
}

// resultOf returns the result in a step's error. An error of another kind is a defect: it lets
// nobody in.
func resultOf(err error) Result {
	if d, ok := errors.AsType[*decided](err); ok {
		return d.result
	}
	return Result{Outcome: InternalError, Cause: err}
}

// then is the result of a login that had come to r and has now ended with another step's result.
// That the directory saw the right password holds for all that comes after it.
func (r Result) then(next Result) Result {
	if next.DN == "" {
		next.DN = r.DN
	}
	if !next.Bind.Answered {
		next.Bind = r.Bind
	}
	next.PasswordSeen = next.PasswordSeen || r.PasswordSeen || next.Outcome == OK
	return next
}
