package auth

import (
	"strings"

	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
)

// words389 are the diagnostic messages with which 389 DS and FreeIPA's plugins refuse a bind, where the result code alone may mean
// several things. Those that are early are told before the password was looked at.
var words389 = []struct {
	code    uint16
	words   string // the message begins with them
	preset  Preset // DS389: both
	verdict verdict
}{
	// slapi_check_account_lock: nsAccountLock. The password policy control beside it says accountLocked.
	{ldap.LDAPResultUnwillingToPerform, "Account inactivated.", DS389, verdict{outcome: AccountDisabled, early: true}},
	{ldap.LDAPResultConstraintViolation, "Exceed password retry limit.", DS389, verdict{outcome: AccountLocked, early: true}},
	// The account policy plugin.
	{ldap.LDAPResultConstraintViolation, "Account inactivity limit exceeded.", DS389, verdict{outcome: AccountLocked, early: true}},
	{ldap.LDAPResultInvalidCredentials, "password expired!", DS389, verdict{outcome: PasswordExpired}},
	// ipa-lockout, ipa-pwd-extop and ipa-graceperiod.
	{ldap.LDAPResultUnwillingToPerform, "Too many failed logins.", FreeIPA, verdict{outcome: AccountLocked, early: true}},
	{ldap.LDAPResultUnwillingToPerform, "Entry permanently locked.", FreeIPA, verdict{outcome: AccountLocked, early: true}},
	{ldap.LDAPResultUnwillingToPerform, "Account (Kerberos principal) is expired", FreeIPA, verdict{outcome: AccountExpired, early: true}},
	{ldap.LDAPResultInvalidCredentials, "Password is expired.", FreeIPA, verdict{outcome: PasswordExpired, early: true}},
}

// judge389 says what a refused bind means at 389 DS or FreeIPA.
func judge389(p Preset, r ldappool.Result) (verdict, bool) {
	for _, w := range words389 {
		if r.Code == w.code && (w.preset == DS389 || w.preset == p) && strings.HasPrefix(r.Diagnostic, w.words) {
			return w.verdict, true
		}
	}
	return verdict{}, false
}
