package poolevent

import (
	"context"
	"errors"
	"testing"

	"authsvc/ldappool"

	"github.com/stretchr/testify/assert"
)

func failed(kind, cause error) error {
	return &ldappool.OpError{Op: "bind", Kind: kind, Err: cause}
}

func TestResult_NamesWhatARequestEndedIn(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"answer":   nil,
		"timeout":  failed(ldappool.ErrTimeout, nil),
		"lost":     failed(ldappool.ErrConnLost, nil),
		"canceled": failed(ldappool.ErrTimeout, context.Canceled),
		"other":    failed(ldappool.ErrClosed, nil),
	} {
		assert.Equal(t, want, Result(err))
		assert.Contains(t, Results(), want)
	}
}

func TestRefusal_NamesWhyACallerGotNoConnection(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"unavailable": failed(ldappool.ErrUnavailable, context.Canceled),
		"overloaded":  failed(ldappool.ErrOverloaded, context.DeadlineExceeded),
		"canceled":    failed(ldappool.ErrOverloaded, context.Canceled),
		"closed":      failed(ldappool.ErrClosed, nil),
		"other":       errors.New("of another kind"),
	} {
		assert.Equal(t, want, Refusal(err))
		assert.Contains(t, Refusals(), want)
	}
}
