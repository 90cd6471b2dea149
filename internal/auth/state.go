package auth

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// expiryNotice is how long before a password of AD or FreeIPA expires its user is warned: Windows' own prompt came 14 days before up to
// Windows 7, and comes 5 days before since. The earlier one is for users who log in once a week.
const expiryNotice = 14 * 24 * time.Hour

// errComputer is the cause of a login that names a machine: its password is no person's.
var errComputer = errors.New("a computer, which is no user")

// stateAttributes are what a search asks for beside the configured ones, because the bind may not tell it.
func (p Preset) stateAttributes() []string {
	switch p {
	case AD:
		return []string{"sAMAccountName", "userAccountControl", "msDS-UserPasswordExpiryTimeComputed"}
	case DS389:
		return []string{"nsAccountLock"}
	case FreeIPA:
		return []string{"nsAccountLock", "krbPasswordExpiration"}
	}
	return []string{"loginDisabled"} // eDirectory's
}

// Bits of userAccountControl ([MS-ADTS] section 2.2.16).
const (
	uacAccountDisable   = 0x2
	uacInterdomainTrust = 0x800
	uacWorkstationTrust = 0x1000
	uacServerTrust      = 0x2000
	uacComputer         = uacInterdomainTrust | uacWorkstationTrust | uacServerTrust
)

// isComputer tells whether an entry of AD is a machine's or a trusted domain's, however the filter found it.
func isComputer(e *ldap.Entry) bool {
	control, _ := accountControl(e)
	return isComputerName(e.GetEqualFoldAttributeValue("sAMAccountName")) || control&uacComputer != 0
}

// isComputerName tells whether a sAMAccountName is that of a machine: AD lets no person's end so.
func isComputerName(name string) bool { return strings.HasSuffix(name, "$") }

// accountControl reads userAccountControl, 0 where the service identity may not.
func accountControl(e *ldap.Entry) (int32, error) {
	value := e.GetEqualFoldAttributeValue("userAccountControl")
	if value == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("userAccountControl %q is no INTEGER of 32 bits", value)
	}
	return int32(n), nil
}

// isDisabled tells whether the entry says that its account is switched off.
func (p Preset) isDisabled(e *ldap.Entry) (bool, error) {
	switch p {
	case AD:
		control, err := accountControl(e)
		return control&uacAccountDisable != 0, err
	case DS389, FreeIPA:
		return isTrue(e, "nsAccountLock"), nil
	}
	return isTrue(e, "loginDisabled"), nil
}

// isTrue tells whether a Boolean (RFC 4517 section 3.3.3) is TRUE, in whatever case, as 389 DS reads it.
func isTrue(e *ldap.Entry, name string) bool {
	return slices.ContainsFunc(e.GetEqualFoldAttributeValues(name), func(v string) bool { return strings.EqualFold(v, "TRUE") })
}

// checkState looks at what the entry says of an account whose password was right: an attribute knows nothing of the password,
// so it may not be told before. With a template there is no entry, and the bind alone tells.
func (l *login) checkState() {
	if len(l.found) == 0 {
		return
	}
	entry := l.found[0]
	switch disabled, err := l.cfg.Preset.isDisabled(entry); {
	case err != nil:
		l.end(Result{Outcome: DirectoryUnavailable, RetryAfter: retryAfter, Cause: err})
	case disabled:
		l.end(Result{Outcome: AccountDisabled, Cause: errors.New("the bind succeeded, but the entry says that the account is disabled")})
	case len(l.result.Warnings) == 0:
		l.result.Warnings = l.cfg.Preset.expiry(entry, time.Now())
	}
}

// expiry warns of a password that expires soon, by the entry, at the directories that send no control that would.
func (p Preset) expiry(e *ldap.Entry, now time.Time) []Warning {
	var at int64 // seconds from 1970
	var ok bool
	switch p {
	case AD:
		at, ok = adExpiry(e)
	case FreeIPA:
		at, ok = freeIPAExpiry(e)
	}
	left := at - now.Unix()
	if !ok || left > int64(expiryNotice/time.Second) {
		return nil
	}
	return []Warning{{Code: PasswordExpiring, Count: max(0, left)}}
}

// adExpiry reads msDS-UserPasswordExpiryTimeComputed ([MS-ADTS] section 3.1.1.4.5.36), which counts 100 ns from 1601; 0 is a
// password that must be changed, the largest number one that never expires. false where there is nothing to warn of.
func adExpiry(e *ldap.Entry) (int64, bool) {
	const from1601 = 11644473600 // seconds to 1970
	ticks, err := strconv.ParseInt(e.GetEqualFoldAttributeValue("msDS-UserPasswordExpiryTimeComputed"), 10, 64)
	return ticks/1e7 - from1601, err == nil && ticks > 0 && ticks != math.MaxInt64
}

// freeIPAExpiry reads krbPasswordExpiration, a GeneralizedTime (RFC 4517 section 3.3.13) of the form that FreeIPA writes.
func freeIPAExpiry(e *ldap.Entry) (int64, bool) {
	at, err := time.Parse("20060102150405Z", e.GetEqualFoldAttributeValue("krbPasswordExpiration"))
	return at.Unix(), err == nil
}
