package dialect

import (
	"context"
	"slices"
	"strings"
	"time"

	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
)

// ds389 is 389 Directory Server: as OpenLDAP, and 53 and 19 with words of its own.
var ds389 = Dialect{
	Name:                 "389ds",
	Product:              "389 DS",
	Defaults:             Defaults{GroupFilter: membersFilter},
	IDAttribute:          "nsUniqueId",
	StateAttributes:      []string{"nsAccountLock"},
	BlockerAttributes:    []string{"accountUnlockTime", "passwordExpirationTime"},
	LockoutAttribute:     "passwordMaxFailure",
	EchoesAttributeNames: true,

	recognize: func(root RootDSE) bool {
		return !isFreeIPA(root) && (strings.Contains(root.Vendor(), "389") || strings.Contains(root.Vendor(), "Red Hat"))
	},
	refusal:  func(r ldappool.Result) (Answer, bool) { return judgeByWords(r, words389) },
	disabled: nsAccountLock,
	blocker: func(e *ldap.Entry, now time.Time) (Blocker, bool) {
		return blocker389(e, now, "passwordExpirationTime")
	},
	indexed:         indexed389,
	lockout:         lockout389,
	entryPolicy:     entryPolicy{pointer: "pwdPolicySubentry", after: "passwordMaxFailure", on: "passwordLockout"},
	maxConnections:  tableSize389,
	openConnections: place{"cn=monitor", "currentConnections"},
	clock:           place{"cn=monitor", "currentTime"},
}

// refusalWords are the first words of the diagnostic message of a refused bind, if the result code
// alone may mean several things.
type refusalWords struct {
	code   uint16
	words  string
	answer Answer
}

// words389 are those of 389 DS. It sends those with BeforePassword before it compares the password.
var words389 = []refusalWords{
	// slapi_check_account_lock: nsAccountLock. The password policy control of the same answer says
	// accountLocked.
	{ldap.LDAPResultUnwillingToPerform, "Account inactivated.", Answer{Verdict: Disabled, BeforePassword: true}},
	{ldap.LDAPResultConstraintViolation, "Exceed password retry limit.", Answer{Verdict: Locked, BeforePassword: true}},
	// The account policy plugin.
	{ldap.LDAPResultConstraintViolation, "Account inactivity limit exceeded.", Answer{Verdict: Locked, BeforePassword: true}},
	{ldap.LDAPResultInvalidCredentials, "password expired!", Answer{Verdict: PasswordExpired}},
}

// judgeByWords looks for the words of a refused bind in tables.
func judgeByWords(r ldappool.Result, tables ...[]refusalWords) (Answer, bool) {
	for _, words := range tables {
		for _, w := range words {
			if r.Code == w.code && strings.HasPrefix(r.Diagnostic, w.words) {
				return w.answer, true
			}
		}
	}
	return Answer{}, false
}

func nsAccountLock(e *ldap.Entry) (bool, error) { return isTrue(e, "nsAccountLock"), nil }

// blocker389 reads times. 389 DS writes the beginning of 1970 for one that an administrator has to
// end.
func blocker389(e *ldap.Entry, now time.Time, expiries ...string) (Blocker, bool) {
	at := func(attribute string) (time.Time, bool) {
		t, err := time.Parse(generalizedTime, e.GetEqualFoldAttributeValue(attribute))
		return t, err == nil
	}
	if t, ok := at("accountUnlockTime"); ok && t.Unix() == 0 {
		return Blocker{Verdict: Locked, Why: "according to the user's entry (accountUnlockTime), until an administrator unlocks it"}, true
	} else if ok && t.After(now) {
		return Blocker{Verdict: Locked, Why: "according to the user's entry: accountUnlockTime is " + date(t)}, true
	}
	for _, attribute := range expiries {
		if t, ok := at(attribute); ok && t.Unix() == 0 {
			return Blocker{Verdict: MustChange, Why: "according to the user's entry (" + attribute + ")"}, true
		} else if ok && t.Before(now) {
			return Blocker{Verdict: PasswordExpired, Why: "according to the user's entry: the password expired at " + date(t) + " (" + attribute + "); grace logins may be left", Perhaps: true}, true
		}
	}
	return Blocker{}, false
}

// indexed389 reads the configuration of the database: it has an entry for each index.
func indexed389(ctx context.Context, r Reader, base, attribute string) Knowledge {
	db := database(ctx, r, "cn=ldbm database,cn=plugins,cn=config", "nsslapd-suffix", base)
	if db == nil {
		return Unknown
	}
	entries, ok, err := r.Search(ctx, "cn=index,"+db.DN, ldap.ScopeSingleLevel, "(objectClass=nsIndex)", 0, "cn", "nsIndexType")
	if err != nil || !ok || len(entries) == 0 {
		return Unknown
	}
	return known(slices.ContainsFunc(entries, func(e *ldap.Entry) bool {
		return r.NamesAny(ctx, e.GetEqualFoldAttributeValues("cn"), attribute) && slices.Contains(e.GetEqualFoldAttributeValues("nsIndexType"), "eq")
	}))
}

// lockout389 reads the global rule, if the service identity may; those of subtrees and users are
// for some accounts.
func lockout389(ctx context.Context, r Reader) Lockout {
	e := read(ctx, r, "cn=config", "passwordLockout", "passwordMaxFailure", "passwordResetFailureCount")
	if e == nil {
		return Lockout{}
	}
	after, ok := number(e, "passwordMaxFailure")
	on := e.GetEqualFoldAttributeValue("passwordLockout")
	switch {
	case on == "" || !ok:
		return Lockout{}
	case !strings.EqualFold(on, "on"):
		after = 0
	}
	seconds, _ := number(e, "passwordResetFailureCount")
	return Lockout{After: after, Window: time.Duration(seconds) * time.Second, Where: "passwordMaxFailure of cn=config"}
}

// tableSize389 reads the size of the table of connections.
func tableSize389(ctx context.Context, r Reader) (int64, string) {
	return counter("cn=monitor", "dTableSize")(ctx, r)
}
