package auth_test

import (
	"strings"
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"
)

// slapdPolicies are the default policy and one with grace logins.
const slapdPolicies = `dn: cn=policy,` + ldaptest.BaseDN + `
objectClass: device
objectClass: pwdPolicy
cn: policy
pwdAttribute: userPassword
pwdMaxAge: 7776000
pwdExpireWarning: 604800
pwdLockout: TRUE
pwdMaxFailure: 3
pwdMustChange: TRUE

dn: cn=grace,` + ldaptest.BaseDN + `
objectClass: device
objectClass: pwdPolicy
cn: grace
pwdAttribute: userPassword
pwdMaxAge: 7776000
pwdExpireWarning: 604800
pwdLockout: TRUE
pwdMaxFailure: 3
pwdMustChange: TRUE
pwdGraceAuthNLimit: 3

`

// slapdStates are the states that slapd's ppolicy overlay has. The overlay distinguishes a locked
// account from a wrong password only with ppolicy_use_lockout.
func slapdStates(useLockout bool) []accountState {
	locked := says(auth.InvalidPassword)
	if useLockout {
		locked = early(auth.AccountLocked)
	}
	wrong := says(auth.InvalidPassword)
	return []accountState{
		{stateGood, "good", says(auth.OK), wrong},
		{stateUnknown, "nobody", says(auth.InvalidUser), says(auth.InvalidUser)},
		{stateFailures, "failed", locked, locked},
		{stateAdmin, "admin", locked, locked},
		{stateEnded, "ended", locked, locked}, // pwdEndTime: the overlay reports it as locked
		{stateAttribute, "attribute", says(auth.AccountDisabled), wrong},
		{stateExpired, "expired", says(auth.PasswordExpired), wrong},
		{stateGrace, "grace", says(auth.OK, auth.GraceLogins), wrong},
		{stateGraceless, "graceless", says(auth.PasswordExpired), wrong},
		{stateMustChange, "reset", says(auth.MustChangePassword), wrong},
		{stateExpiring, "expiring", says(auth.OK, auth.PasswordExpiring), wrong},
	}
}

// startPolicySlapd runs slapd with the ppolicy overlay over accounts in all of slapdStates.
func startPolicySlapd(t *testing.T, useLockout bool) string {
	t.Helper()
	overlay := "overlay ppolicy\nppolicy_default \"cn=policy," + ldaptest.BaseDN + "\"\n"
	if useLockout {
		overlay += "ppolicy_use_lockout\n"
	}
	fresh, old := "pwdChangedTime: "+generalized(days(-1)), "pwdChangedTime: "+generalized(days(-100))
	grace := "pwdPolicySubentry: cn=grace," + ldaptest.BaseDN
	used := "pwdGraceUseTime: " + generalized(days(-1)) + "\npwdGraceUseTime: " + generalized(days(-2)) + "\npwdGraceUseTime: " + generalized(days(-3))
	ldif := slapdPolicies
	for uid, lines := range map[string][]string{
		"good":      {fresh},
		"failed":    {fresh, "pwdAccountLockedTime: " + generalized(days(0))},
		"admin":     {fresh, "pwdAccountLockedTime: 000001010000Z"},
		"ended":     {fresh, "pwdEndTime: " + generalized(days(-1))},
		"attribute": {fresh, "loginDisabled: TRUE"},
		"expired":   {old},
		"grace":     {old, grace},
		"graceless": {old, grace, used},
		"reset":     {fresh, "pwdReset: TRUE"},
		"expiring":  {"pwdChangedTime: " + generalized(days(-85))},
	} {
		lines = append(lines, "userPassword: "+rightPassword)
		ldif += person(uid, ldaptest.PeopleDN, lines...) + person(uid+"-w", ldaptest.PeopleDN, lines...)
	}
	// For loginDisabled, whose schema is eDirectory's.
	ldif = strings.ReplaceAll(ldif, "objectClass: inetOrgPerson\n", "objectClass: inetOrgPerson\nobjectClass: extensibleObject\n")
	return ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		ExtraGlobal: "moduleload ppolicy\nattributetype ( 1.1.2.1.1 NAME 'loginDisabled' EQUALITY booleanMatch " +
			"SYNTAX 1.3.6.1.4.1.1466.115.121.1.7 SINGLE-VALUE )",
		ExtraDatabase: overlay, LDIF: ldif,
	}).URL()
}
