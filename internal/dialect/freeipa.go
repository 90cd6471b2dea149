package dialect

import (
	"slices"
	"strings"
	"time"

	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
)

// oidIPA is the arc of FreeIPA's extended operations.
const oidIPA = "2.16.840.1.113730.3.8.10"

// ipaGroups matches FreeIPA's groups, among all that memberOf names.
const ipaGroups = "(objectClass=ipaUserGroup)"

// freeIPA is a 389 DS with plugins that look at an account before its password was seen.
var freeIPA = Dialect{
	Name:    "freeipa",
	Product: "FreeIPA",
	Defaults: Defaults{
		// The compatibility tree has each user a second time, as another class: below the suffix
		// two entries would match.
		UserFilter: "(&(objectClass=inetOrgPerson)(uid={username}))",
	},
	Groups: Groups{
		Attribute: "memberOf", Filter: ipaGroups, DirectFilter: "(&" + ipaGroups + "(member={dn}))",
		Below: "cn=groups,cn=accounts",
	},
	IDAttribute:          "nsUniqueId",
	StateAttributes:      []string{"nsAccountLock", "krbPasswordExpiration"},
	BlockerAttributes:    []string{"accountUnlockTime", "passwordExpirationTime", "krbPasswordExpiration"},
	EchoesAttributeNames: true,

	recognize:            isFreeIPA,
	refusal:              func(r ldappool.Result) (Answer, bool) { return judgeByWords(r, words389, wordsFreeIPA) },
	policyBeforePassword: true,
	disabled:             nsAccountLock,
	expiry:               krbPasswordExpiration,
	blocker: func(e *ldap.Entry, now time.Time) (Blocker, bool) {
		return blocker389(e, now, "passwordExpirationTime", "krbPasswordExpiration")
	},
	indexed:         indexed389,
	maxConnections:  tableSize389,
	openConnections: place{"cn=monitor", "currentConnections"},
}

// wordsFreeIPA are those of ipa-lockout, ipa-pwd-extop and ipa-graceperiod.
var wordsFreeIPA = []refusalWords{
	{ldap.LDAPResultUnwillingToPerform, "Too many failed logins.", Answer{Verdict: Locked, BeforePassword: true}},
	{ldap.LDAPResultUnwillingToPerform, "Entry permanently locked.", Answer{Verdict: Locked, BeforePassword: true}},
	{ldap.LDAPResultUnwillingToPerform, "Account (Kerberos principal) is expired", Answer{Verdict: AccountExpired, BeforePassword: true}},
	{ldap.LDAPResultInvalidCredentials, "Password is expired.", Answer{Verdict: PasswordExpired, BeforePassword: true}},
}

func isFreeIPA(root RootDSE) bool {
	return slices.ContainsFunc(root["supportedextension"], func(oid string) bool { return strings.HasPrefix(oid, oidIPA+".") }) ||
		root.First("ipatopologypluginversion") != "" || root.First("ipadomainlevel") != ""
}

// krbPasswordExpiration reads a GeneralizedTime of the form that FreeIPA writes.
func krbPasswordExpiration(e *ldap.Entry) (unix int64, ok bool) {
	at, err := time.Parse(generalizedTime, e.GetEqualFoldAttributeValue("krbPasswordExpiration"))
	return at.Unix(), err == nil
}
