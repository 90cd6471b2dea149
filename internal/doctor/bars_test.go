package doctor

import (
	"testing"
	"time"

	"authsvc/internal/auth"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
)

// TestTheEntryOf389DSSaysWhatBarsALogin and what may.
func TestTheEntryOf389DSSaysWhatBarsALogin(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	const past, future, never = "20260101000000Z", "20260201000000Z", "19700101000000Z"
	for name, c := range map[string]struct {
		attribute, value string
		want             auth.Outcome
		perhaps          bool
	}{
		"locked for a while":       {"accountUnlockTime", future, auth.AccountLocked, false},
		"locked for good":          {"accountUnlockTime", never, auth.AccountLocked, false},
		"no more locked":           {"accountUnlockTime", past, auth.OK, false},
		"a password that expired":  {"passwordExpirationTime", past, auth.PasswordExpired, true},
		"one that will":            {"passwordExpirationTime", future, auth.OK, false},
		"one that must be changed": {"passwordExpirationTime", never, auth.MustChangePassword, false},
		"one that FreeIPA expired": {"krbPasswordExpiration", past, auth.PasswordExpired, true},
		"nothing":                  {"uid", "user0", auth.OK, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := bar389(ldap.NewEntry("uid=user0", map[string][]string{c.attribute: {c.value}}), now)
			if c.want == auth.OK {
				assert.Nil(t, b)
				return
			}
			if assert.NotNil(t, b) {
				assert.Equal(t, c.want, b.outcome)
				assert.Equal(t, c.perhaps, b.perhaps)
			}
		})
	}
}
