package doctor

import (
	"context"
	"math"
	"strings"
	"time"

	"authsvc/internal/auth"

	"github.com/go-ldap/ldap/v3"
)

// bar is what an entry says against a login, whatever the password: the bind would tell it, and there is none.
type bar struct {
	outcome auth.Outcome
	why     string
	perhaps bool // it may be over
}

// barAttributes are what bars are read from. Most are operational, so they are named.
func barAttributes() []string {
	return []string{
		"pwdAccountLockedTime", "pwdReset", // draft-behera-ldap-password-policy
		"msDS-User-Account-Control-Computed", "accountExpires", "pwdLastSet", // Active Directory
		"accountUnlockTime", "passwordExpirationTime", // 389 DS
		"krbPasswordExpiration", // FreeIPA
	}
}

// bars reads what a user's entry says against a login, as far as the service identity may read it.
func (s *patient) bars(ctx context.Context, dn string) *bar {
	e := s.read(ctx, dn, barAttributes()...)
	if e == nil {
		return nil
	}
	switch s.Logins.Preset {
	case auth.AD:
		return barAD(e, time.Now())
	case auth.DS389, auth.FreeIPA:
		return bar389(e, time.Now())
	}
	return barPPolicy(e)
}

func barPPolicy(e *ldap.Entry) *bar {
	const forEver = "000001010000Z"
	locked := e.GetEqualFoldAttributeValue("pwdAccountLockedTime")
	switch {
	case locked == forEver:
		return &bar{outcome: auth.AccountLocked, why: "its entry says so: pwdAccountLockedTime is for ever, until somebody unlocks it"}
	case locked != "":
		return &bar{outcome: auth.AccountLocked, why: "its entry says that it was locked at " + locked + " (pwdAccountLockedTime), which is over when the policy's pwdLockoutDuration has passed", perhaps: true}
	case strings.EqualFold(e.GetEqualFoldAttributeValue("pwdReset"), "TRUE"):
		return &bar{outcome: auth.MustChangePassword, why: "its entry says so: somebody else set its password (pwdReset)"}
	}
	return nil
}

// Bits of msDS-User-Account-Control-Computed (MS-ADTS 3.1.1.4.5.17).
const (
	uacLockout         = 0x10
	uacPasswordExpired = 0x800000
)

func barAD(e *ldap.Entry, now time.Time) *bar {
	control, _ := number(e, "msDS-User-Account-Control-Computed")
	expires, _ := number(e, "accountExpires")
	passwordSet, hasSet := number(e, "pwdLastSet")
	switch {
	case control&uacLockout != 0:
		return &bar{outcome: auth.AccountLocked, why: "its entry says so: too many wrong passwords"}
	case expires != 0 && expires != math.MaxInt64 && fileTime(expires).Before(now):
		return &bar{outcome: auth.AccountExpired, why: "its entry says so: accountExpires is " + date(fileTime(expires))}
	case hasSet && passwordSet == 0:
		return &bar{outcome: auth.MustChangePassword, why: "its entry says so: pwdLastSet is 0"}
	case control&uacPasswordExpired != 0:
		return &bar{outcome: auth.PasswordExpired, why: "its entry says so"}
	}
	return nil
}

// fileTime reads a time of Windows': 100 ns since 1601 (MS-DTYP 2.3.3).
func fileTime(ticks int64) time.Time {
	const from1601 = 11644473600 // seconds to 1970
	return time.Unix(ticks/1e7-from1601, 0)
}

// bar389 reads times of which 389 DS writes the beginning of 1970 for one that somebody has to see to.
func bar389(e *ldap.Entry, now time.Time) *bar {
	at := func(attribute string) (time.Time, bool) {
		t, err := time.Parse(generalizedTime, e.GetEqualFoldAttributeValue(attribute))
		return t, err == nil
	}
	if t, ok := at("accountUnlockTime"); ok && t.Unix() == 0 {
		return &bar{outcome: auth.AccountLocked, why: "its entry says so (accountUnlockTime), until somebody unlocks it"}
	} else if ok && t.After(now) {
		return &bar{outcome: auth.AccountLocked, why: "its entry says so: accountUnlockTime is " + date(t)}
	}
	for _, attribute := range []string{"passwordExpirationTime", "krbPasswordExpiration"} {
		if t, ok := at(attribute); ok && t.Unix() == 0 {
			return &bar{outcome: auth.MustChangePassword, why: "its entry says so (" + attribute + ")"}
		} else if ok && t.Before(now) {
			return &bar{outcome: auth.PasswordExpired, why: "its entry says that the password expired at " + date(t) + " (" + attribute + "); grace logins may be left", perhaps: true}
		}
	}
	return nil
}
