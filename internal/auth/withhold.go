package auth

import (
	"errors"
	"strings"

	"authsvc/internal/redact"
	"authsvc/ldappool"
)

// withhold removes texts from r that repeat the password. It runs after the evaluation of the
// answer, which needs the whole text.
func withhold(r Result, password string) Result {
	if r.Cause == nil {
		return r
	}
	var answer *directoryError
	var op *ldappool.OpError
	switch {
	case errors.As(r.Cause, &answer):
		answer.result.Diagnostic = redact.Diagnostic(answer.result.Diagnostic, password) // a copy
	case errors.As(r.Cause, &op) && op.Err != nil && password != "" && strings.Contains(op.Err.Error(), password):
		redacted := *op
		redacted.Err = errors.New(redact.Withheld)
		r.Cause = &redacted
	}
	return r
}
