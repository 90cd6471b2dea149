package auth_test

import (
	"fmt"
	"testing"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/dialect"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// TestThrottle_OnlyAWrongPasswordCounts: of an account with one try, what the directory says to who
// knows the password takes none, however often, in either mode; one wrong password takes it.
func TestThrottle_OnlyAWrongPasswordCounts(t *testing.T) {
	t.Parallel()
	groups, accounts := newPool(t, startGroups(t).URL()), newPool(t, startPolicySlapd(t, true))
	unreadable := inGroups("staff")
	unreadable.Groups.BaseDNs = []string{absentDN}
	for name, c := range map[string]struct {
		cfg                auth.Config
		directory          auth.Directory
		username, password string
		want               auth.Outcome
	}{
		"in no required group":          {inGroups("other"), groups, "user0", "password0", auth.NotPermitted},
		"in the required group":         {inGroups("staff"), groups, "user0", "password0", auth.OK},
		"in groups that cannot be read": {unreadable, groups, "user0", "password0", auth.DirectoryUnavailable},
		"disabled by an attribute":      {byPreset(named("openldap")), accounts, "attribute", rightPassword, auth.AccountDisabled},
		"with an expired password":      {byPreset(named("openldap")), accounts, "expired", rightPassword, auth.PasswordExpired},
		"with a password to be changed": {byPreset(named("openldap")), accounts, "reset", rightPassword, auth.MustChangePassword},
		"with a password near its end":  {byPreset(named("openldap")), accounts, "expiring", rightPassword, auth.OK},
		"in it, by another spelling":    {inGroups("STAFF"), groups, "USER0", "password0", auth.OK},
	} {
		for _, delay := range []time.Duration{0, time.Millisecond} {
			t.Run(fmt.Sprint(name, ", delay ", delay), func(t *testing.T) {
				t.Parallel()
				cfg := throttled(t, c.cfg, 1, 1)
				cfg.UniformDelay = delay
				a, _ := newAuthenticator(t, cfg, c.directory)
				for range 3 {
					r := from(a, "192.0.2.1", c.username, c.password)
					requireOutcome(t, c.want, r)
					require.True(t, r.PasswordSeen)
				}
				requireOutcome(t, auth.InvalidPassword, from(a, "192.0.2.1", c.username, wrongPassword))
				requireOutcome(t, auth.TooManyAttempts, from(a, "192.0.2.1", c.username, c.password))
			})
		}
	}
}

// TestThrottle_VerdictWithoutThePasswordCountsInUniformModeAlone: an attempt does not count if the
// caller sees a locked account. It counts if the caller sees a wrong password.
func TestThrottle_VerdictWithoutThePasswordCountsInUniformModeAlone(t *testing.T) {
	t.Parallel()
	p := newPool(t, startPolicySlapd(t, true))
	told := func(delay time.Duration) (all []auth.Outcome) {
		cfg := throttled(t, byPreset(named("openldap")), 2, 2)
		cfg.UniformDelay = delay
		a, o := newAuthenticator(t, cfg, p)
		for range 3 {
			all = append(all, from(a, "192.0.2.1", "admin", wrongPassword).Outcome)
		}
		require.Equal(t, auth.AccountLocked, o.all()[0].result.Outcome, "the log has the truth")
		return all
	}
	require.Equal(t, []auth.Outcome{auth.AccountLocked, auth.AccountLocked, auth.AccountLocked}, told(0))
	require.Equal(t, []auth.Outcome{auth.InvalidPassword, auth.InvalidPassword, auth.TooManyAttempts}, told(time.Millisecond))
}

// TestThrottle_CountsNamesOfAPrincipal, also those for which no bind is sent. Input that is not a
// name counts for no account.
func TestThrottle_CountsNamesOfAPrincipal(t *testing.T) {
	t.Parallel()
	s, seen := startAD(t, nil)
	p := newPool(t, s.URL())
	cfg := throttled(t, auth.Config{Dialect: named("ad"), DNTemplate: "{username}@example.org", Timeout: patience}, 1, 1)
	a, _ := newAuthenticator(t, cfg, p)
	requireOutcome(t, auth.InvalidPassword, from(a, "192.0.2.1", "pc1$", "secret"))
	requireOutcome(t, auth.TooManyAttempts, from(a, "192.0.2.1", "PC1$", "secret"))
	for range 3 {
		requireOutcome(t, auth.BadRequest, from(a, "192.0.2.1", "x@example.org", "secret"))
	}
	require.Empty(t, seen.all())
	requireOutcome(t, auth.OK, from(a, "192.0.2.1", "x", "secret"))
}

// TestThrottle_ComputerIsCountedByTheTypedName: the caller sees an unknown user, so the attempt
// counts like one on an unknown user.
func TestThrottle_ComputerIsCountedByTheTypedName(t *testing.T) {
	t.Parallel()
	s, seen := startAD(t, map[string][]string{"sAMAccountName": {"pc1$"}})
	cfg := byFilter(ldaptest.BaseDN)
	cfg.Dialect = named("ad")
	a, _ := newAuthenticator(t, throttled(t, cfg, 1, 1), newPool(t, s.URL()))
	requireOutcome(t, auth.InvalidUser, from(a, "192.0.2.1", "pc1$", "secret"))
	requireOutcome(t, auth.TooManyAttempts, from(a, "192.0.2.1", "PC1$", "secret"))
	require.Empty(t, seen.all())
}

// TestThrottle_NamesThatAreEqualToADShareABudget has names that Windows was seen to take for one
// (Samba's bug 14847), and others.
func TestThrottle_NamesThatAreEqualToADShareABudget(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		preset *dialect.Dialect
		names  []string
		want   auth.Outcome // of the second and each further
	}{
		"marks at AD":            {named("ad"), []string{"bjorn", "björn", "bjǫrṅ", "b̨́̄̐j᪲ǫ̈́Ⓡn̨̈́", "BJÖRN", "bjørn"}, auth.TooManyAttempts},
		"a ligature at AD":       {named("ad"), []string{"Meissner", "Meißner", "MEIẞNER"}, auth.TooManyAttempts},
		"kana at AD":             {named("ad"), []string{"つ", "ツ", "ﾂ"}, auth.TooManyAttempts},
		"other names at AD":      {named("ad"), []string{"bjorn", "bjoern", "b", "つ", "す"}, auth.InvalidPassword},
		"marks anywhere else":    {named("openldap"), []string{"bjorn", "björn", "bjørn"}, auth.InvalidPassword},
		"wide letters elsewhere": {named("openldap"), []string{"bjorn", "ｂjorn", "BJORN"}, auth.TooManyAttempts},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := newServer(t, func(*ldaptest.Conn, ldaptest.Request) bool { return false })
			cfg := throttled(t, byTemplate(), 1, 1)
			cfg.Dialect = c.preset
			a, _ := newAuthenticator(t, cfg, newPool(t, s.URL()))
			requireOutcome(t, auth.InvalidPassword, from(a, "192.0.2.1", c.names[0], "wrong"))
			for _, n := range c.names[1:] {
				requireOutcome(t, c.want, from(a, "192.0.2.1", n, "wrong"))
			}
		})
	}
}
