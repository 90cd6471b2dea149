package auth_test

import (
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"
)

// startSambaStates runs Samba over the accounts of ldaptest's AddStates. A wrong try never locks:
// those that are locked were so before.
func startSambaStates(t *testing.T) string {
	t.Helper()
	s := ldaptest.StartSamba(t, ldaptest.SambaConfig{LockoutThreshold: 5})
	s.AddStates(rightPassword, "")
	s.AddStates(rightPassword, "-w")
	return s.URL()
}

// sambaStates are Active Directory's account states as a real Samba 4.17 reports them.
func sambaStates() []accountState {
	wrong := says(auth.InvalidPassword)
	return []accountState{
		{stateGood, "good", says(auth.OK), wrong},
		{stateUnknown, "nobody", says(auth.InvalidUser), says(auth.InvalidUser)},
		{stateFailures, "locked", early(auth.AccountLocked), early(auth.AccountLocked)},
		{stateDisabled, "disabled", says(auth.AccountDisabled), wrong},
		{stateEnded, "expired", says(auth.AccountExpired), wrong},
		{stateExpired, "oldpassword", says(auth.PasswordExpired), wrong},
		{stateMustChange, "mustchange", says(auth.MustChangePassword), wrong},
		{stateExpiring, "expiring", says(auth.OK, auth.PasswordExpiring), wrong},
		{stateHours, "hours", says(auth.NotPermitted), wrong},
		{stateHours, "elsewhere", says(auth.NotPermitted), wrong},
		{"locked and disabled", "lockeddisabled", says(auth.AccountDisabled), wrong},
		{"account expired and password to be changed", "expiredmustchange", says(auth.AccountExpired), wrong},
		{stateComputer, "pc1$", says(auth.InvalidUser), says(auth.InvalidUser)},
	}
}
