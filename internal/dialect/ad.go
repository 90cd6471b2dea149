package dialect

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"authsvc/internal/ldapname"
	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
)

// oidAD is the capability of Active Directory (MS-ADTS 3.1.1.3.4.3.1).
const oidAD = "1.2.840.113556.1.4.800"

// ad is Active Directory, and Samba's. Both say why they refuse a bind by a sub-code in the
// diagnostic message of result 49.
var ad = Dialect{
	Name:    "ad",
	Product: "Active Directory or Samba",
	Defaults: Defaults{
		UserFilter: "(&(objectCategory=person)(objectClass=user)" +
			"(|(sAMAccountName={username})(userPrincipalName={username})))",
		UserNameAttribute:  "sAMAccountName",
		GroupNameAttribute: "sAMAccountName",
		// A bind that AD got and did not answer counts as an attempt of the user. If it is sent
		// twice, a wrong password locks the account sooner.
		BindRetry: "unsent",
	},
	Groups: Groups{
		// AD computes the SIDs of the security groups that a user is in, always with nested ones
		// and the primary group (MS-ADTS 3.1.1.4.5.19).
		Attribute: "tokenGroups", KeyAttribute: "objectSid", InDomain: true,
	},
	Advice:            Advice{Filter: "without it, the preset's own filter finds users by their logon name"},
	IDAttribute:       "objectGUID",
	StateAttributes:   []string{"sAMAccountName", "userAccountControl", "msDS-UserPasswordExpiryTimeComputed"},
	BlockerAttributes: []string{"msDS-User-Account-Control-Computed", "accountExpires", "pwdLastSet"},
	LockoutAttribute:  "lockoutThreshold",
	AccountAttribute:  "sAMAccountName",

	recognize: func(root RootDSE) bool {
		for _, oid := range root["supportedcapabilities"] {
			if oid == oidAD {
				return true
			}
		}
		return false
	},
	refusal: judgeAD,
	subCode: func(diagnostic string) string {
		if code, ok := adSubcode(diagnostic); ok {
			return code.String()
		}
		return ""
	},
	nameKey:        ldapname.CountKeyAD,
	machine:        isComputer,
	disabled:       disabledAD,
	expiry:         passwordExpiryAD,
	blocker:        blockerAD,
	indexed:        indexedAD,
	lockout:        lockoutAD,
	entryPolicy:    entryPolicy{pointer: "msDS-ResultantPSO", after: "msDS-LockoutThreshold"},
	maxConnections: queryPolicyAD,
}

// subcode is the Win32 error code that AD and Samba put into the diagnostic message of a refused
// bind ([MS-ERREF] section 2.2).
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

	// With these a domain controller could not compare the password.
	adNotEnoughMemory   subcode = 0x8   // ERROR_NOT_ENOUGH_MEMORY
	adOutOfMemory       subcode = 0xe   // ERROR_OUTOFMEMORY
	adNoLogonServers    subcode = 0x51f // ERROR_NO_LOGON_SERVERS
	adInternalError     subcode = 0x54f // ERROR_INTERNAL_ERROR
	adNoSystemResources subcode = 0x5aa // ERROR_NO_SYSTEM_RESOURCES
	adServerUnavailable subcode = 0x6ba // RPC_S_SERVER_UNAVAILABLE
	adServerTooBusy     subcode = 0x6bb // RPC_S_SERVER_TOO_BUSY
	adNoTrustAccount    subcode = 0x6fb // ERROR_NO_TRUST_SAM_ACCOUNT
	adTrustedDomain     subcode = 0x6fc // ERROR_TRUSTED_DOMAIN_FAILURE
	adTrustRelationship subcode = 0x6fd // ERROR_TRUSTED_RELATIONSHIP_FAILURE
	adTrustFailure      subcode = 0x6fe // ERROR_TRUST_FAILURE
	adSecurityPackage   subcode = 0x721 // RPC_S_SEC_PKG_ERROR
)

// adMark stands before the sub-code, in Windows' text and in Samba's:
//
//	80090308: LdapErr: DSID-0C090446, comment: AcceptSecurityContext error, data 52e, v3839
const adMark = "AcceptSecurityContext error, data "

// adSubcode reads the sub-code: hexadecimal digits between the mark and a comma. ok is false if
// there is none.
func adSubcode(diagnostic string) (code subcode, ok bool) {
	_, rest, ok := strings.Cut(diagnostic, adMark)
	if !ok {
		return 0, false
	}
	digits, _, ok := strings.Cut(rest, ",")
	if !ok || digits == "" || strings.ContainsAny(digits, "+-_xX") { // strconv takes more than AD writes
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 16, 32)
	return subcode(n), err == nil
}

// String is the sub-code in hexadecimal, as AD writes it.
func (s subcode) String() string { return strconv.FormatUint(uint64(s), 16) }

// answer is what a sub-code says of an account. Only 775 is sent to one who does not know the
// password.
func (s subcode) answer() (Answer, bool) {
	switch s {
	case adNoSuchUser:
		return Answer{Verdict: NoSuchEntry, NotCompared: true}, true
	case adLogonFailure:
		return Answer{Verdict: WrongPassword}, true
	case adAccountRestriction, adLogonHours, adWorkstation, adLogonType:
		return Answer{Verdict: NotPermitted}, true
	case adPasswordExpired:
		return Answer{Verdict: PasswordExpired}, true
	case adAccountDisabled:
		return Answer{Verdict: Disabled}, true
	case adAccountExpired:
		return Answer{Verdict: AccountExpired}, true
	case adMustChange:
		return Answer{Verdict: MustChange}, true
	case adLockedOut:
		return Answer{Verdict: Locked, BeforePassword: true}, true
	case adNotEnoughMemory, adOutOfMemory, adNoLogonServers, adInternalError, adNoSystemResources, adServerUnavailable,
		adServerTooBusy, adNoTrustAccount, adTrustedDomain, adTrustRelationship, adTrustFailure, adSecurityPackage:
		return Answer{Verdict: Unavailable}, true
	}
	return Answer{}, false
}

// judgeAD says what a refused bind means at AD. If the answer has a known sub-code, the sub-code
// decides. Without one, result 49 means a wrong password, and other codes are no verdict. A proxy
// before AD passes a sub-code on with 53, 19 or 50.
func judgeAD(r ldappool.Result) (Answer, bool) {
	if !speaksOfAccounts(r.Code) {
		return Answer{}, false
	}
	code, found := adSubcode(r.Diagnostic)
	if a, known := code.answer(); found && known {
		return a, true
	}
	if r.Code != ldap.LDAPResultInvalidCredentials {
		return Answer{}, false
	}
	notice := "AD rejected a bind without a sub-code"
	if found {
		notice = "AD rejected a bind with the unknown sub-code " + code.String()
	}
	return Answer{Verdict: WrongPassword, Notice: notice}, true
}

// Bits of userAccountControl ([MS-ADTS] section 2.2.16).
const (
	uacAccountDisable   = 0x2
	uacInterdomainTrust = 0x800
	uacWorkstationTrust = 0x1000
	uacServerTrust      = 0x2000
	uacComputer         = uacInterdomainTrust | uacWorkstationTrust | uacServerTrust
)

// isComputer reports whether an entry is a machine's or a trusted domain's, however the filter
// found it.
func isComputer(e *ldap.Entry) bool {
	control, _ := accountControl(e)
	return isComputerName(e.GetEqualFoldAttributeValue("sAMAccountName")) || control&uacComputer != 0
}

// isComputerName reports whether a sAMAccountName is that of a machine: AD lets no person's end so.
func isComputerName(name string) bool { return strings.HasSuffix(name, "$") }

// accountControl reads userAccountControl, 0 if the service identity may not.
func accountControl(e *ldap.Entry) (int32, error) {
	value := e.GetEqualFoldAttributeValue("userAccountControl")
	if value == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil {
		return 0, errors.New("userAccountControl is not a 32-bit INTEGER")
	}
	return int32(n), nil
}

func disabledAD(e *ldap.Entry) (bool, error) {
	control, err := accountControl(e)
	return control&uacAccountDisable != 0, err
}

// from1601 is the number of seconds from 1601 to 1970. Windows counts 100 ns from 1601 (MS-DTYP
// 2.3.3).
const from1601 = 11644473600

// passwordExpiryAD reads msDS-UserPasswordExpiryTimeComputed ([MS-ADTS] section 3.1.1.4.5.36). 0 is
// a password that must be changed, the largest number one that never expires. ok is false if there
// is nothing to warn of.
func passwordExpiryAD(e *ldap.Entry) (unix int64, ok bool) {
	ticks, ok := number(e, "msDS-UserPasswordExpiryTimeComputed")
	return ticks/1e7 - from1601, ok && ticks > 0 && ticks != math.MaxInt64
}

// Bits of msDS-User-Account-Control-Computed (MS-ADTS 3.1.1.4.5.17).
const (
	uacLockout         = 0x10
	uacPasswordExpired = 0x800000
)

func blockerAD(e *ldap.Entry, now time.Time) (Blocker, bool) {
	control, _ := number(e, "msDS-User-Account-Control-Computed")
	expires, _ := number(e, "accountExpires")
	passwordSet, hasSet := number(e, "pwdLastSet")
	expiry := time.Unix(expires/1e7-from1601, 0)
	switch {
	case control&uacLockout != 0:
		return Blocker{Verdict: Locked, Why: "according to the user's entry: too many wrong passwords"}, true
	case expires != 0 && expires != math.MaxInt64 && expiry.Before(now):
		return Blocker{Verdict: AccountExpired, Why: "according to the user's entry: accountExpires is " + date(expiry)}, true
	case hasSet && passwordSet == 0:
		return Blocker{Verdict: MustChange, Why: "according to the user's entry: pwdLastSet is 0"}, true
	case control&uacPasswordExpired != 0:
		return Blocker{Verdict: PasswordExpired, Why: "according to the user's entry"}, true
	}
	return Blocker{}, false
}

// indexedAD reads the schema (MS-ADTS 2.2.10: the first bit of searchFlags).
func indexedAD(ctx context.Context, r Reader, _, attribute string) Knowledge {
	schema := r.RootDSE().First("schemanamingcontext")
	if schema == "" {
		return Unknown
	}
	entries, ok, err := r.Search(ctx, schema, ldap.ScopeSingleLevel, "(&(objectClass=attributeSchema)(lDAPDisplayName="+ldap.EscapeFilter(attribute)+"))", 1, "searchFlags")
	if err != nil || !ok || len(entries) != 1 {
		return Unknown
	}
	flags, ok := number(entries[0], "searchFlags")
	if !ok {
		return Unknown
	}
	return known(flags&1 != 0)
}

// lockoutAD reads the domain's own rule; those of fine-grained policies are for some accounts.
func lockoutAD(ctx context.Context, r Reader) Lockout {
	root := r.RootDSE().First("defaultnamingcontext")
	if root == "" {
		return Lockout{}
	}
	e := read(ctx, r, root, "lockoutThreshold", "lockOutObservationWindow")
	if e == nil {
		return Lockout{}
	}
	after, ok := number(e, "lockoutThreshold")
	if !ok {
		return Lockout{}
	}
	ticks, _ := number(e, "lockOutObservationWindow") // negative, in 100 ns
	return Lockout{After: after, Window: time.Duration(-ticks) * 100, Where: "lockoutThreshold of " + root}
}

// queryPolicyAD reads the default query policy (MS-ADTS 3.1.1.3.4.6).
func queryPolicyAD(ctx context.Context, r Reader) (most int64, where string) {
	e := read(ctx, r, "CN=Default Query Policy,CN=Query-Policies,CN=Directory Service,CN=Windows NT,CN=Services,"+
		r.RootDSE().First("configurationnamingcontext"), "lDAPAdminLimits")
	if e == nil {
		return 0, ""
	}
	for _, v := range e.GetEqualFoldAttributeValues("lDAPAdminLimits") {
		if value, ok := strings.CutPrefix(v, "MaxConnections="); ok {
			n, err := strconv.ParseInt(value, 10, 64)
			if err == nil {
				return n, "MaxConnections of the default query policy"
			}
		}
	}
	return 0, ""
}
