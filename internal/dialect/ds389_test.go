package dialect

import (
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
)

// TestBlocker_Of389DSAndFreeIPA: what refuses a login, and what may.
func TestBlocker_Of389DSAndFreeIPA(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	const past, future, never = "20260101000000Z", "20260201000000Z", "19700101000000Z"
	for name, c := range map[string]struct {
		attribute, value string
		want             Verdict
		perhaps          bool
	}{
		"locked for a while":       {"accountUnlockTime", future, Locked, false},
		"locked for good":          {"accountUnlockTime", never, Locked, false},
		"no more locked":           {"accountUnlockTime", past, NoVerdict, false},
		"a password that expired":  {"passwordExpirationTime", past, PasswordExpired, true},
		"one that will":            {"passwordExpirationTime", future, NoVerdict, false},
		"one that must be changed": {"passwordExpirationTime", never, MustChange, false},
		"one that FreeIPA expired": {"krbPasswordExpiration", past, PasswordExpired, true},
		"nothing":                  {"uid", "user0", NoVerdict, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := ldap.NewEntry("uid=user0", map[string][]string{c.attribute: {c.value}})
			b, found := freeIPA.Blocker(e, now)
			assert.Equal(t, c.want != NoVerdict, found)
			assert.Equal(t, c.want, b.Verdict)
			assert.Equal(t, c.perhaps, b.Perhaps)
			if c.attribute != "krbPasswordExpiration" {
				own, _ := ds389.Blocker(e, now)
				assert.Equal(t, b, own)
			}
		})
	}
}
