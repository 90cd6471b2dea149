package dialect

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// membersFilter finds groups by every attribute that usual schemas name members in (RFC 4519, RFC
// 2307).
const membersFilter = "(|(member={dn})(uniqueMember={dn})(memberUid={username}))"

// openLDAP is OpenLDAP, and any other directory that follows the standards. It answers by result
// codes and the password policy control (draft-behera-ldap-password-policy-10).
var openLDAP = Dialect{
	Name:     "openldap",
	Product:  "OpenLDAP",
	Defaults: Defaults{GroupFilter: membersFilter},
	Advice: Advice{
		WrongPassword: "or unlock the account: slapd reports a locked account only with ppolicy_use_lockout",
		Index:         `OpenLDAP: "olcDbIndex: %[1]s eq" in cn=config; with slapd.conf "index %[1]s eq" and slapindex`,
	},
	IDAttribute:       "entryUUID", // RFC 4530
	StateAttributes:   []string{"loginDisabled"},
	BlockerAttributes: []string{"pwdAccountLockedTime", "pwdReset"},
	LockoutAttribute:  "pwdMaxFailure",
	HidesUnknownDNs:   true,

	recognize: func(root RootDSE) bool {
		return slices.ContainsFunc(root["objectclass"], func(c string) bool { return strings.EqualFold(c, "OpenLDAProotDSE") })
	},
	disabled:        func(e *ldap.Entry) (bool, error) { return isTrue(e, "loginDisabled"), nil }, // eDirectory's
	blocker:         policyBlocker,
	indexed:         indexedOpenLDAP,
	lockout:         lockoutOpenLDAP,
	entryPolicy:     entryPolicy{pointer: "pwdPolicySubentry", after: "pwdMaxFailure", on: "pwdLockout"},
	lockoutNote:     useLockout,
	clock:           place{"cn=Current,cn=Time,cn=Monitor", "monitorTimestamp"},
	openConnections: place{"cn=Current,cn=Connections,cn=Monitor", "monitorCounter"},
	maxConnections: func(ctx context.Context, r Reader) (int64, string) {
		most, where := counter("cn=Max File Descriptors,cn=Connections,cn=Monitor", "monitorCounter")(ctx, r)
		if where == "" { // the directory may be another one
			return tableSize389(ctx, r)
		}
		return most, where
	},
}

// policyBlocker reads the operational attributes of draft-behera-ldap-password-policy.
func policyBlocker(e *ldap.Entry, _ time.Time) (Blocker, bool) {
	const forEver = "000001010000Z"
	locked := e.GetEqualFoldAttributeValue("pwdAccountLockedTime")
	switch {
	case locked == forEver:
		return Blocker{Verdict: Locked, Why: "according to the user's entry: pwdAccountLockedTime is permanent, until an administrator unlocks it"}, true
	case locked != "":
		return Blocker{Verdict: Locked, Why: "according to the user's entry: locked at " + locked + " (pwdAccountLockedTime), until the policy's pwdLockoutDuration has passed", Perhaps: true}, true
	case isTrue(e, "pwdReset"):
		return Blocker{Verdict: MustChange, Why: "according to the user's entry: an administrator set the password (pwdReset)"}, true
	}
	return Blocker{}, false
}

// indexedOpenLDAP reads the database's configuration: "uid,mail pres,eq" (slapd-config(5),
// olcDbIndex).
func indexedOpenLDAP(ctx context.Context, r Reader, base, attribute string) Knowledge {
	db := database(ctx, r, "cn=config", "olcSuffix", base, "olcDbIndex")
	if db == nil {
		return Unknown
	}
	values := db.GetEqualFoldAttributeValues("olcDbIndex")
	usual := []string{""} // of a line without its own: "default pres,eq"
	for _, v := range values {
		if fields := strings.Fields(v); len(fields) == 2 && strings.EqualFold(fields[0], "default") {
			usual = strings.Split(fields[1], ",")
		}
	}
	for _, v := range values {
		fields := strings.Fields(v)
		if len(fields) == 0 || !r.NamesAny(ctx, strings.Split(fields[0], ","), attribute) {
			continue
		}
		kinds := usual
		if len(fields) > 1 {
			kinds = strings.Split(fields[1], ",")
		}
		if slices.Contains(kinds, "eq") {
			return Yes
		}
	}
	return No
}

// lockoutOpenLDAP reads the strictest of the password policies.
func lockoutOpenLDAP(ctx context.Context, r Reader) (l Lockout) {
	if controls := r.RootDSE()["supportedcontrol"]; len(controls) > 0 && !slices.Contains(controls, PolicyOID) {
		return Lockout{Where: "no password policy"}
	}
	for _, suffix := range r.RootDSE()["namingcontexts"] {
		entries, _, err := r.Search(ctx, suffix, ldap.ScopeWholeSubtree, "(objectClass=pwdPolicy)", 50, "pwdLockout", "pwdMaxFailure", "pwdFailureCountInterval")
		if err != nil {
			return Lockout{}
		}
		for _, e := range entries {
			n, ok := number(e, "pwdMaxFailure")
			if l.Where == "" {
				l.Where = e.DN
			}
			if ok && n > 0 && isTrue(e, "pwdLockout") && (l.After == 0 || n < l.After) {
				seconds, _ := number(e, "pwdFailureCountInterval")
				l = Lockout{After: n, Window: time.Duration(seconds) * time.Second, Where: e.DN}
			}
		}
	}
	return l
}

// useLockout reads whether slapd tells that an account is locked (slapo-ppolicy(5),
// ppolicy_use_lockout), which only its configuration says.
func useLockout(ctx context.Context, r Reader) Note {
	const otherwise = "a locked account gets status 2, wrong password, instead of 3, account locked"
	entries, _, err := r.Search(ctx, "cn=config", ldap.ScopeWholeSubtree, "(objectClass=olcPPolicyConfig)", 0, "olcPPolicyUseLockout")
	switch {
	case err != nil || len(entries) == 0:
		return Note{Detail: "not checked: whether slapd has ppolicy_use_lockout. The service identity may not read cn=config, which is usual. Without it " + otherwise}
	case slices.ContainsFunc(entries, func(e *ldap.Entry) bool {
		return !strings.EqualFold(e.GetEqualFoldAttributeValue("olcPPolicyUseLockout"), "TRUE")
	}):
		return Note{
			Detail: "slapd has no ppolicy_use_lockout: " + otherwise,
			Remedy: "set \"olcPPolicyUseLockout: TRUE\" on the ppolicy overlay in cn=config (slapd.conf: ppolicy_use_lockout)",
		}
	}
	return Note{Detail: "slapd has ppolicy_use_lockout: it reports locked accounts"}
}
