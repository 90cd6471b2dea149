package auth

import (
	"fmt"
	"strconv"
	"strings"

	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
)

// subcode is the Win32 error code that AD and Samba put into the diagnostic message of a refused bind ([MS-ERREF] section 2.2).
type subcode uint32

// The sub-codes that are known.
const (
	adNoSuchUser         subcode = 0x525 // ERROR_NO_SUCH_USER
	adLogonFailure       subcode = 0x52e // ERROR_LOGON_FAILURE
	adAccountRestriction subcode = 0x52f // ERROR_ACCOUNT_RESTRICTION
	adLogonHours         subcode = 0x530 // ERROR_INVALID_LOGON_HOURS
	adWorkstation        subcode = 0x531 // ERROR_INVALID_WORKSTATION
	adPasswordExpired    subcode = 0x532 // ERROR_PASSWORD_EXPIRED
	adAccountDisabled    subcode = 0x533 // ERROR_ACCOUNT_DISABLED
	adLogonType          subcode = 0x569 // ERROR_LOGON_TYPE_NOT_GRANTED
	adAccountExpired     subcode = 0x701 // ERROR_ACCOUNT_EXPIRED
	adMustChange         subcode = 0x773 // ERROR_PASSWORD_MUST_CHANGE
	adLockedOut          subcode = 0x775 // ERROR_ACCOUNT_LOCKED_OUT
	adNoLogonServers     subcode = 0x51f // ERROR_NO_LOGON_SERVERS
)

// adMark stands before the sub-code, in Windows' text and in Samba's:
//
//	80090308: LdapErr: DSID-0C090446, comment: AcceptSecurityContext error, data 52e, v3839
const adMark = "AcceptSecurityContext error, data "

// adSubcode reads the sub-code: hexadecimal digits between the mark and a comma. false where there is none.
func adSubcode(diagnostic string) (subcode, bool) {
	_, rest, ok := strings.Cut(diagnostic, adMark)
	if !ok {
		return 0, false
	}
	digits, _, ok := strings.Cut(rest, ",")
	if !ok || digits == "" || strings.ContainsAny(digits, "+-_xX") { // strconv takes more than AD writes
		return 0, false
	}
	code, err := strconv.ParseUint(digits, 16, 32)
	return subcode(code), err == nil
}

// verdict is what a sub-code says of an account. Only 775 is told to one who does not know the password.
func (s subcode) verdict(unknown Outcome) (verdict, bool) {
	switch s {
	case adNoSuchUser:
		return verdict{outcome: unknown}, true
	case adLogonFailure:
		return verdict{outcome: InvalidPassword}, true
	case adAccountRestriction, adLogonHours, adWorkstation, adLogonType:
		return verdict{outcome: NotPermitted}, true
	case adPasswordExpired:
		return verdict{outcome: PasswordExpired}, true
	case adAccountDisabled:
		return verdict{outcome: AccountDisabled}, true
	case adAccountExpired:
		return verdict{outcome: AccountExpired}, true
	case adMustChange:
		return verdict{outcome: MustChangePassword}, true
	case adLockedOut:
		return verdict{outcome: AccountLocked, early: true}, true
	case adNoLogonServers:
		return verdict{outcome: DirectoryUnavailable}, true
	}
	return verdict{}, false
}

// judgeAD says what a refused bind means at AD. A 49 is a refused password whatever else it says; other codes are verdicts only
// where a sub-code that is known stands beside them: a proxy before AD passes it on with 53, 19 or 50.
func judgeAD(r ldappool.Result, unknown Outcome) (verdict, bool) {
	if !speaksOfAccounts(r.Code) {
		return verdict{}, false
	}
	code, found := adSubcode(r.Diagnostic)
	if v, known := code.verdict(unknown); found && known {
		return v, true
	}
	if r.Code != ldap.LDAPResultInvalidCredentials {
		return verdict{}, false
	}
	notice := "AD refused a bind without a sub-code"
	if found {
		notice = fmt.Sprintf("AD refused a bind with the unknown sub-code %x", uint32(code))
	}
	return verdict{outcome: InvalidPassword, notice: notice}, true
}
