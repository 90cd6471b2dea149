package auth

import (
	"errors"
	"strings"

	"authsvc/internal/redact"
	"authsvc/ldappool"
)

// withhold removes from r what repeats the password. It comes after the judging, which needs every
// word.
func withhold(r Result, password string) Result {
	if r.Cause == nil {
		return r
	}
	var answer *directoryError
	var op *ldappool.OpError
	switch {
	case errors.As(r.Cause, &answer):
		answer.result.Diagnostic = redact.Diagnostic(answer.result.Diagnostic, password) // in a copy of ours
	case errors.As(r.Cause, &op) && op.Err != nil && password != "" && strings.Contains(op.Err.Error(), password):
		quiet := *op
		quiet.Err = errors.New(redact.Withheld)
		r.Cause = &quiet
	}
	return r
}
