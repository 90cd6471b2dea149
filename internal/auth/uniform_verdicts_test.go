package auth_test

import (
	"testing"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

func TestUniform_WhatLooksLikeAWrongPasswordCountsAsOne(t *testing.T) {
	t.Parallel()
	for _, o := range auth.Outcomes() {
		failure := o == auth.InvalidUser || o == auth.InvalidPassword
		for _, c := range []struct {
			delay time.Duration
			seen  bool
			fails bool
		}{
			{0, false, failure},
			{time.Second, true, failure},
			{time.Second, false, o >= auth.InvalidUser && o <= auth.NotPermitted},
		} {
			want := "returned"
			switch {
			case o == auth.OK:
				want = "succeeded"
			case c.fails:
				want = "failed"
			}
			require.Equal(t, want, auth.Verdict(c.delay, auth.Result{Outcome: o, PasswordSeen: c.seen}), "%v %+v", o, c)
		}
	}
}

// TestUniform_NobodyLogsInAsTheDecoy at a directory, with the right password, however the DN is
// spelt: by its name, by a template, or by a name without an entry.
func TestUniform_NobodyLogsInAsTheDecoy(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 2})
	p := newPool(t, s.URL())
	for _, dn := range []string{ldaptest.UserDN(1), "UID=User1, OU=People,DC=example,DC=org", `uid=\75ser1,` + ldaptest.PeopleDN, "uid=ｕｓｅｒ１," + ldaptest.PeopleDN} {
		for name, cfg := range map[string]auth.Config{"by filter": byFilter(), "by template": byTemplate()} {
			cfg.UniformDelay, cfg.DecoyDN = time.Millisecond, dn
			a, o := newAuthenticator(t, cfg, p)
			for _, username := range []string{"user1", "USER1", "nobody"} {
				r := from(a, "192.0.2.1", username, ldaptest.Password(1))
				requireOutcome(t, auth.InvalidPassword, r)
				require.Nil(t, r.User)
			}
			requireOutcome(t, auth.OK, from(a, "192.0.2.1", "user0", ldaptest.Password(0)))
			if name == "by filter" {
				require.Equal(t, []auth.Outcome{auth.InvalidUser, auth.InvalidUser, auth.InvalidUser, auth.OK}, outcomes(o))
				require.Contains(t, o.all()[2].result.Notice, "ended with ok")
				require.Equal(t, auth.InvalidUser, a.Explain(t.Context(), "user1").Outcome)
			}
		}
	}
}

func TestUniform_AtARealDirectory(t *testing.T) {
	t.Parallel()
	s, _ := startTree(t)
	cfg := byFilter(ldaptest.BaseDN)
	cfg.UniformDelay = time.Millisecond
	a, o := newAuthenticator(t, cfg, newPool(t, s.URL()))
	for _, name := range []string{"nobody", "twin", "user0", "open"} {
		requireOutcome(t, auth.InvalidPassword, from(a, "192.0.2.1", name, "wrong"))
	}
	requireOutcome(t, auth.OK, from(a, "192.0.2.1", "user0", "password0"))
	require.Equal(t, []auth.Outcome{auth.InvalidUser, auth.InvalidUser, auth.InvalidPassword, auth.InvalidPassword, auth.OK}, outcomes(o))
}

// TestUniform_SpellingsRevealNothing has names that are folded to one and that slapd does not
// take for one. Which of them a user has must not be seen by what they use up together.
func TestUniform_SpellingsRevealNothing(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	p := newPool(t, s.URL())
	for _, odd := range []string{"\u00ad", "\u200b", "\ufe0f", "\u034f", "\u180e", "\ufeff", "\ufffc"} {
		for _, order := range []string{"aaab", "aaba", "abbb", "baaa", "bbba", "bbbb"} {
			var told [2][]auth.Outcome
			for i, name := range []string{"user", "nobody"} {
				cfg := throttled(t, byFilter(), 3, 10)
				cfg.UniformDelay = time.Millisecond
				a, _ := newAuthenticator(t, cfg, p)
				spelt := map[rune]string{'a': name + "0", 'b': name + odd + "0"}
				for _, which := range order {
					told[i] = append(told[i], from(a, "192.0.2.1", spelt[which], "wrong").Outcome)
				}
			}
			require.Equal(t, told[1], told[0], "%q in the order %s", odd, order)
			require.Equal(t, auth.TooManyAttempts, told[0][3])
		}
	}
}
