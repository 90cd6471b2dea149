package auth_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"
	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

func TestUniformModeTellsOnlyWhoKnowsThePasswordWhatTheDirectorySaid(t *testing.T) {
	t.Parallel()
	for _, o := range auth.Outcomes() {
		for _, seen := range []bool{false, true} {
			given := auth.Result{Outcome: o, PasswordSeen: seen, RetryAfter: 7, DN: "dn", Cause: errors.New("cause")}
			require.Equal(t, given, auth.Told(0, given), "without uniform mode")
			want := given
			if o >= auth.InvalidUser && o <= auth.NotPermitted && !seen {
				want.Outcome, want.RetryAfter = auth.InvalidPassword, 0
			}
			require.Equal(t, want, auth.Told(time.Second, given), "%v, password seen: %t", o, seen)
		}
	}
}

// slow is a directory without a network: an entry for each name but "nobody", two for "twin", and what a bind takes.
type slow struct {
	search, bind time.Duration
	code         uint16
}

func (s *slow) Search(_ context.Context, req *ldap.SearchRequest) (*ldappool.SearchResult, error) {
	time.Sleep(s.search)
	r := &ldappool.SearchResult{}
	switch req.Filter {
	case "(uid=nobody)":
	case "(uid=twin)":
		r.Entries = []*ldap.Entry{{DN: "uid=a"}, {DN: "uid=b"}}
	default:
		r.Entries = []*ldap.Entry{{DN: "uid=user0"}}
	}
	return r, nil
}

func (s *slow) Bind(context.Context, string, string, ...ldap.Control) (*ldappool.BindResult, error) {
	time.Sleep(s.bind)
	return &ldappool.BindResult{Result: ldappool.Result{Code: s.code}}, nil
}

// uniform is uniform mode with the default delay.
func uniform() auth.Config {
	cfg := byFilter()
	cfg.UniformDelay = 50 * time.Millisecond
	return cfg
}

// took tries a name and tells how long the answer took.
func took(a *auth.Authenticator, name string) (auth.Result, time.Duration) {
	began := time.Now()
	r := a.Authenticate(context.Background(), auth.Credentials{Username: name, Password: "x"})
	return r, time.Since(began)
}

func TestFailuresAreAnsweredOnAGrid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &slow{search: time.Millisecond, bind: 3 * time.Millisecond, code: ldap.LDAPResultInvalidCredentials}
		a, o := newAuthenticator(t, uniform(), d)
		for _, name := range []string{"nobody", "user0", "twin"} {
			r, after := took(a, name)
			requireOutcome(t, auth.InvalidPassword, r)
			require.Equal(t, 50*time.Millisecond, after, name)
		}
		require.Equal(t, []auth.Outcome{auth.InvalidUser, auth.InvalidPassword, auth.InvalidUser}, outcomes(o), "the log has the truth")
		require.Equal(t, 4*time.Millisecond, o.all()[1].result.Phases.Total, "and the time without the grid")

		d.bind, d.code = 3*time.Millisecond, ldap.LDAPResultSuccess
		_, after := took(a, "user0")
		require.Equal(t, 4*time.Millisecond, after, "a success is answered at once")
		d.code = ldap.LDAPResultBusy
		_, after = took(a, "user0")
		require.Equal(t, 4*time.Millisecond, after, "a fault too: it says nothing of a password")
	})
}

func outcomes(o *observer) (all []auth.Outcome) {
	for _, l := range o.all() {
		all = append(all, l.result.Outcome)
	}
	return all
}

func TestTheGridStaysAboveWhatWrongPasswordsTake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &slow{search: time.Millisecond, bind: 120 * time.Millisecond, code: ldap.LDAPResultInvalidCredentials}
		a, _ := newAuthenticator(t, uniform(), d)
		for _, name := range []string{"user0", "nobody", "twin", "user0"} {
			_, after := took(a, name)
			require.Equal(t, 200*time.Millisecond, after, "%s: 121 ms and half as much again, in steps of 50", name)
		}
		d.bind = 0
		for range 62 {
			_, after := took(a, "user0")
			require.Equal(t, 200*time.Millisecond, after, "while the slow ones are recent")
		}
		for range 1024 {
			took(a, "user0")
		}
		_, after := took(a, "nobody")
		require.Equal(t, 50*time.Millisecond, after, "when they are no more")

		d.bind = time.Second // one in a hundred, say: it is later than others, and makes nobody else wait
		for range 5 {
			_, after = took(a, "user0")
			require.Equal(t, 1050*time.Millisecond, after)
		}
		_, after = took(a, "nobody")
		require.Equal(t, 50*time.Millisecond, after)
		_, after = took(a, "user0")
		require.Equal(t, 1550*time.Millisecond, after, "more than that, and all wait")
		_, after = took(a, "nobody")
		require.Equal(t, 1550*time.Millisecond, after)

		time.Sleep(10 * time.Minute)
		d.bind = 0
		took(a, "user0")
		_, after = took(a, "nobody")
		require.Equal(t, 50*time.Millisecond, after, "ten minutes later")

		d.bind = time.Minute / 4
		for range 10 {
			_, after = took(a, "user0")
		}
		require.Equal(t, 20*time.Second, after)
		_, after = took(a, "nobody")
		require.Equal(t, 5*time.Second, after, "nobody waits longer")
	})
}

func TestInUniformModeTooManyAttemptsAreOnTheGridToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &slow{search: time.Millisecond, bind: time.Millisecond, code: ldap.LDAPResultInvalidCredentials}
		a, _ := newAuthenticator(t, throttled(t, uniform(), 2, 10), d)
		for _, name := range []string{"user0", "nobody", "twin"} {
			for i := range 5 {
				r, after := took(a, name)
				require.Equal(t, 50*time.Millisecond, after)
				want := auth.InvalidPassword
				if i >= 2 {
					want = auth.TooManyAttempts
					require.Equal(t, time.Hour/2, (r.RetryAfter + time.Second).Truncate(time.Minute), "%s: %v", name, r.RetryAfter)
				}
				requireOutcome(t, want, r)
			}
		}
	})
}

func TestNobodyWaitsOnTheGridForACallerWhoIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, o := newAuthenticator(t, uniform(), &slow{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		a.Authenticate(ctx, auth.Credentials{Username: "nobody", Password: "x"})
		require.Zero(t, time.Since(began))
		require.Len(t, o.all(), 1)
	})
}

func TestInUniformModeWhatIsToldAsAWrongPasswordCountsAsOne(t *testing.T) {
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

func TestUniformModeAgainstADirectory(t *testing.T) {
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

// TestInUniformModeSpellingsTellNothing has names that are folded to one and that slapd does not take for one. Which of them a
// user has must not be seen by what they use up together.
func TestInUniformModeSpellingsTellNothing(t *testing.T) {
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
