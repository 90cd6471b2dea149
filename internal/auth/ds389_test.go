package auth_test

import (
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// ds389States are the states that 389 DS has. It refuses locked and disabled accounts before it
// looks at the password.
func ds389States() []accountState {
	wrong := says(auth.InvalidPassword)
	return []accountState{
		{stateGood, "good", says(auth.OK), wrong},
		{stateUnknown, "nobody", says(auth.InvalidUser), says(auth.InvalidUser)},
		{stateFailures, "failed", early(auth.AccountLocked), early(auth.AccountLocked)},
		{stateInactive, "inactive", early(auth.AccountLocked), early(auth.AccountLocked)},
		{stateDisabled, "disabled", early(auth.AccountDisabled), early(auth.AccountDisabled)},
		{stateExpired, "expired", says(auth.PasswordExpired), wrong},
		{stateGrace, "grace", says(auth.OK, auth.GraceLogins), wrong},
		{stateGraceless, "graceless", says(auth.PasswordExpired), wrong},
		{stateMustChange, "reset", says(auth.MustChangePassword), wrong},
		{stateExpiring, "expiring", says(auth.OK, auth.PasswordExpiring), wrong},
	}
}

// start389 runs 389 DS over accounts in all of ds389States.
func start389(t *testing.T) string {
	t.Helper()
	s := ldaptest.StartDS389(t)
	s.Modify("cn=config", map[string][]string{
		"passwordLockout": {"on"}, "passwordMaxFailure": {"3"}, "passwordExp": {"on"}, "passwordMaxAge": {"7776000"}, "passwordWarning": {"604800"},
		"passwordMustChange": {"on"}, "nsslapd-pwpolicy-local": {"on"}, "passwordStorageScheme": {"SSHA"},
	})
	const inactivity = "cn=inactivity," + ldaptest.BaseDN
	s.Add(inactivity, map[string][]string{
		"objectClass": {"top", "ldapSubentry", "extensibleObject", "accountPolicy"}, "cn": {"inactivity"}, "accountInactivityLimit": {"3600"},
	})
	const plugin = "cn=Account Policy Plugin,cn=plugins,cn=config"
	s.Modify("cn=config,"+plugin, map[string][]string{
		"alwaysRecordLogin": {"yes"}, "stateAttrName": {"lastLoginTime"}, "altStateAttrName": {"createTimestamp"},
		"specAttrName": {"acctPolicySubentry"}, "limitAttrName": {"accountInactivityLimit"},
	})
	s.Modify("cn=config", map[string][]string{"nsslapd-dynamic-plugins": {"on"}})
	s.Modify(plugin, map[string][]string{"nsslapd-pluginEnabled": {"on"}})
	const grace = "cn=grace," + ldaptest.BaseDN
	s.Add(grace, map[string][]string{
		"objectClass": {"top", "ldapSubentry", "passwordPolicy", "extensibleObject"}, "cn": {"grace"}, "passwordGraceLimit": {"3"},
		"passwordLockout": {"on"}, "passwordMaxFailure": {"3"}, "passwordExp": {"on"}, "passwordMaxAge": {"7776000"}, "passwordWarning": {"604800"},
	})
	fine, over := []string{generalized(days(80))}, []string{generalized(days(-1))}
	for uid, attributes := range map[string]map[string][]string{
		"good":      {"passwordExpirationTime": fine},
		"failed":    {"passwordExpirationTime": fine, "passwordRetryCount": {"3"}, "accountUnlockTime": {generalized(days(1))}, "retryCountResetTime": {generalized(days(1))}},
		"inactive":  {"passwordExpirationTime": fine, "acctPolicySubentry": {inactivity}, "lastLoginTime": {generalized(days(-1))}},
		"disabled":  {"passwordExpirationTime": fine, "nsAccountLock": {"true"}},
		"expired":   {"passwordExpirationTime": over},
		"grace":     {"passwordExpirationTime": over, "pwdpolicysubentry": {grace}},
		"graceless": {"passwordExpirationTime": over, "pwdpolicysubentry": {grace}, "passwordGraceUserTime": {"3"}},
		"reset":     {}, // the Directory Manager set its password
		"expiring":  {"passwordExpirationTime": {generalized(days(5))}},
	} {
		for _, uid := range []string{uid, uid + "-w"} {
			dn := "uid=" + uid + "," + ldaptest.PeopleDN
			s.Add(dn, map[string][]string{
				"objectClass": {"inetOrgPerson"}, "uid": {uid}, "cn": {uid}, "sn": {uid}, "userPassword": {rightPassword},
			})
			if len(attributes) > 0 {
				s.Modify(dn, attributes)
			}
		}
	}
	return s.URL()
}

// TestAttributes_Of389DSByOtherNames: it answers in the words of the question, and slapd in those
// of its schema.
func TestAttributes_Of389DSByOtherNames(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartDS389(t)
	s.Add("uid=itstaff1,"+ldaptest.PeopleDN, map[string][]string{
		"objectClass": {"inetOrgPerson"}, "uid": {"genericemployee1", "itstaff1"}, "cn": {"It"}, "cn;lang-de": {"Es"}, "sn": {"Staff"},
		"userPassword": {rightPassword},
	})
	for _, nameAttribute := range []string{"uid", "userid", "0.9.2342.19200300.100.1.1"} {
		cfg := byFilter()
		cfg.NameAttribute = nameAttribute
		cfg.Attributes = []string{"surname", "2.5.4.3", "commonName;lang-de", "sn:base64"}
		r := authenticate(t, cfg, newPool(t, s.URL()), "genericemployee1", rightPassword)
		requireOutcome(t, auth.OK, r)
		require.Equal(t, "itstaff1", r.User.Username)
		require.Equal(t, map[string][]string{"surname": {"Staff"}, "2.5.4.3": {"It"}, "commonName;lang-de": {"Es"}, "sn": {"U3RhZmY="}}, r.User.Attributes)
	}
}
