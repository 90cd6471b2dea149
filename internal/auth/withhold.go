package auth

import (
	"errors"
	"strings"

	"authsvc/ldappool"
)

// withheld stands for words of the directory's in which the password stands that was tried. All of them go: around a gap in a text
// that is known, one could read what filled it.
const withheld = "[withheld]"

// withhold takes out of r what repeats the password. It comes after the judging, which needs every word.
func withhold(r Result, password string) Result {
	var answer *directoryError
	var op *ldappool.OpError
	switch {
	case errors.As(r.Cause, &answer) && strings.Contains(answer.result.Diagnostic, password):
		answer.result.Diagnostic = withheld // a copy of ours
	case errors.As(r.Cause, &op) && op.Err != nil && strings.Contains(op.Err.Error(), password):
		quiet := *op
		quiet.Err = errors.New(withheld)
		r.Cause = &quiet
	}
	return r
}
