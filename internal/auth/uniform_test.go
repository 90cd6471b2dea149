package auth_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/auth"
	"authsvc/ldappool"
	"authsvc/ldappool/ldapconn"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUniform_OnlyTheRightPasswordSeesTheVerdict(t *testing.T) {
	t.Parallel()
	for _, o := range auth.Outcomes() {
		for _, seen := range []bool{false, true} {
			given := auth.Result{Outcome: o, PasswordSeen: seen, RetryAfter: 7, DN: "dn", Cause: errors.New("cause")}
			require.Equal(t, given, auth.VisibleResult(0, given), "without uniform mode")
			want := given
			if o >= auth.InvalidUser && o <= auth.NotPermitted && !seen {
				want.Outcome, want.RetryAfter = auth.InvalidPassword, 0
			}
			require.Equal(t, want, auth.VisibleResult(time.Second, given), "%v, password seen: %t", o, seen)
		}
	}
}

// slow is a directory without a network: an entry for each name but those that begin with "nobody",
// two for "twin". A search and a bind take their time. It notes the DNs of binds.
type slow struct {
	search, bind time.Duration
	code         uint16            // of a bind
	codes        map[string]uint16 // of a bind as a DN that differs
	err          map[string]error  // a fault of a bind as a DN

	mu    sync.Mutex
	binds []string
}

const decoyDN = "cn=decoy"

func (s *slow) SearchWithFilter(_ context.Context, req *ldap.SearchRequest, f ldapconn.Filter) (*ldappool.SearchResult, error) {
	time.Sleep(s.search)
	r := &ldappool.SearchResult{}
	name := strings.TrimSuffix(strings.TrimPrefix(cmp.Or(f.String(), req.Filter), "(uid="), ")")
	switch {
	case strings.HasPrefix(name, "nobody"):
	case name == "twin":
		r.Entries = []*ldap.Entry{{DN: "uid=a"}, {DN: "uid=b"}}
	case name == "decoy":
		r.Entries = []*ldap.Entry{{DN: decoyDN}}
	default:
		name, _, _ = strings.Cut(name, "@") // its mail finds it too
		r.Entries = []*ldap.Entry{{DN: "uid=" + name}}
	}
	return r, nil
}

func (s *slow) Bind(_ context.Context, dn, _ string, _ ...ldappool.Control) (*ldappool.BindResult, error) {
	s.mu.Lock()
	s.binds = append(s.binds, dn)
	s.mu.Unlock()
	time.Sleep(s.bind)
	if err := s.err[dn]; err != nil {
		return nil, err
	}
	code, ok := s.codes[dn]
	if !ok {
		code = s.code
	}
	return &ldappool.BindResult{Result: ldappool.Result{Code: code}}, nil
}

// uniform is uniform mode with the default delay.
func uniform() auth.Config {
	cfg := byFilter()
	cfg.UniformDelay = 50 * time.Millisecond
	return cfg
}

// withDecoy is uniform mode with a decoy.
func withDecoy() auth.Config {
	cfg := uniform()
	cfg.DecoyDN = decoyDN
	return cfg
}

// took tries a name and returns how long the answer took.
func took(a *auth.Authenticator, name string) (auth.Result, time.Duration) {
	began := time.Now()
	r := a.Authenticate(context.Background(), auth.Credentials{Username: name, Password: "x"})
	return r, time.Since(began)
}

func TestUniform_FailuresAreAnsweredAtMultiplesOfTheDelay(t *testing.T) {
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
		require.Equal(t, 4*time.Millisecond, o.all()[1].result.Phases.Total, "and the time without the wait")

		d.code = ldap.LDAPResultSuccess
		_, after := took(a, "user0")
		require.Equal(t, 4*time.Millisecond, after, "a success is answered at once")
		d.code = ldap.LDAPResultBusy
		_, after = took(a, "user0")
		require.Equal(t, 4*time.Millisecond, after, "a fault too: it says nothing of a password")
	})
}

// TestUniform_AnAnswerIsLaterByARandomTime, whatever the failure is: within the bound, and spread
// over all of it.
func TestUniform_AnAnswerIsLaterByARandomTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := uniform()
		cfg.UniformJitter = 5 * time.Millisecond
		d := &slow{search: time.Millisecond, bind: 3 * time.Millisecond, code: ldap.LDAPResultInvalidCredentials}
		a, _ := newAuthenticator(t, cfg, d)
		for _, name := range []string{"nobody", "user0", "twin"} {
			var all []time.Duration
			for range 300 {
				_, after := took(a, name)
				all = append(all, after-50*time.Millisecond)
			}
			slices.Sort(all)
			require.GreaterOrEqual(t, all[0], time.Duration(0))
			require.Less(t, all[299], cfg.UniformJitter)
			require.Less(t, all[30], time.Millisecond, name) // one in ten in the first fifth
			require.Greater(t, all[269], 4*time.Millisecond, name)
		}
	})
}

func outcomes(o *observer) (all []auth.Outcome) {
	for _, l := range o.all() {
		all = append(all, l.result.Outcome)
	}
	return all
}

// TestUniform_TheStepChangesAtFixedTimesOnly: whatever attempts take, all that begin within one
// period of ten seconds have the same step, and the next period's comes from what was recorded
// before.
func TestUniform_TheStepChangesAtFixedTimesOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &slow{search: time.Millisecond, bind: 119 * time.Millisecond, code: ldap.LDAPResultInvalidCredentials}
		a, _ := newAuthenticator(t, uniform(), d)
		started := time.Now()
		period := func(n int) { time.Sleep(time.Until(started.Add(time.Duration(n) * 10 * time.Second))) }
		expect := func(want time.Duration, name, why string) {
			t.Helper()
			_, after := took(a, name)
			require.Equal(t, want, after, why)
		}
		for range 3 {
			expect(150*time.Millisecond, "user0", "120 ms, at a multiple of 50")
			expect(50*time.Millisecond, "nobody", "the step is what it was, whatever was recorded")
		}
		period(1)
		expect(200*time.Millisecond, "nobody", "120 ms and half as much again")
		d.bind = 0
		for range 20 {
			expect(200*time.Millisecond, "user0", "within a period")
		}
		period(2)
		expect(200*time.Millisecond, "nobody", "while slow ones are among the last hundred")
		for range 600 {
			took(a, "user0")
		}
		period(20)
		expect(50*time.Millisecond, "nobody", "when the last 512 are quick")
		d.bind = time.Second
		took(a, "user0")
		period(21)
		for range 4 {
			took(a, "user0")
		}
		expect(50*time.Millisecond, "nobody", "one in a hundred may be slower")
		period(22)
		took(a, "user0")
		period(23)
		expect(time.Second, "nobody", "more of them, and all wait, but no longer than a second")
		time.Sleep(3 * time.Hour)
		expect(time.Second, "nobody", "nothing was recorded since: the step stays")
		d.bind = 0
		took(a, "user0")
		time.Sleep(10 * time.Second)
		expect(50*time.Millisecond, "nobody", "durations of more than ten minutes ago are forgotten")
		d.bind = 119 * time.Millisecond
		took(a, "user0")
		time.Sleep(3 * time.Hour)
		expect(200*time.Millisecond, "nobody", "but each has counted once")
	})
}

// TestUniform_TheMomentLeavesTimeToMeetIt: an answer that is ready just before a moment gets the
// next, so that the precise sleep is the same for all.
func TestUniform_TheMomentLeavesTimeToMeetIt(t *testing.T) {
	t.Parallel()
	const step = 50 * time.Millisecond
	for _, c := range []struct{ took, want time.Duration }{
		{0, step}, {time.Millisecond, step}, {48 * time.Millisecond, step}, {48*time.Millisecond + 1, 2 * step},
		{50 * time.Millisecond, 2 * step}, {98 * time.Millisecond, 2 * step}, {time.Second, time.Second + step},
	} {
		require.Equal(t, c.want, auth.AnswerAfter(c.took, step), "%v", c.took)
	}
	require.Equal(t, 3*time.Millisecond, auth.AnswerAfter(time.Microsecond, time.Millisecond), "with the shortest delay")
}

func TestUniform_TooManyAttemptsAreAnsweredAtMultiplesOfTheDelayToo(t *testing.T) {
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

// answered is one of several attempts at once.
type answered struct {
	outcome auth.Outcome
	after   time.Duration
}

// atOnce tries each of the names at the same time and returns the answers in order of time.
func atOnce(a *auth.Authenticator, ctx func(i int) context.Context, names ...string) []answered {
	return apart(0, a, ctx, names...)
}

// apart tries the names so long after one another.
func apart(gap time.Duration, a *auth.Authenticator, ctx func(i int) context.Context, names ...string) []answered {
	all := make([]answered, len(names))
	began := time.Now()
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * gap)
			r := a.Authenticate(ctx(i), auth.Credentials{Username: name, Password: "x", Client: "192.0.2.1"})
			all[i] = answered{r.Outcome, time.Since(began)}
		})
	}
	wg.Wait()
	slices.SortFunc(all, func(x, y answered) int { return cmp.Compare(x.after, y.after) })
	return all
}

func always(ctx context.Context) func(int) context.Context {
	return func(int) context.Context { return ctx }
}

func repeated(name string, n int) []string { return slices.Repeat([]string{name}, n) }

// TestUniform_ManyAtOnceOnOneNameAreAnsweredAlikeWhetherItExists: one at a time, each at its own
// moment, though a bind takes thirty times as long as none; by one client or by callers of which
// nine hang up.
func TestUniform_ManyAtOnceOnOneNameAreAnsweredAlikeWhetherItExists(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]func() auth.Config{"without a decoy": uniform, "with a decoy": withDecoy} {
		for how, limit := range map[string]int{"with the throttle": 10, "with its limit in reach": 4, "without": 0} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					d := &slow{search: time.Millisecond, bind: 30 * time.Millisecond, code: ldap.LDAPResultInvalidCredentials}
					gone, cancel := context.WithCancel(t.Context())
					cancel()
					for why, ctx := range map[string]func(int) context.Context{
						"all wait": always(t.Context()),
						"nine hang up": func(i int) context.Context {
							if i == 0 {
								return t.Context()
							}
							return gone
						},
					} {
						var seen [2][]answered
						for i, username := range []string{"user0", "nobody"} {
							c := cfg()
							if limit > 0 {
								c = throttled(t, c, limit, 100)
							}
							a, _ := newAuthenticator(t, c, d)
							seen[i] = atOnce(a, ctx, repeated(username, 10)...)
						}
						require.Equal(t, seen[0], seen[1], why)
						require.Equal(t, auth.InvalidPassword, seen[0][0].outcome)
						if limit != 4 {
							require.Equal(t, 500*time.Millisecond, seen[0][9].after, "one after another")
						}
					}
				})
			})
		}
	}
}

// TestUniform_AnAttemptThatWaitedIsAnsweredAStepAfterItsTurn, however long after the one before it
// came: counted from when it came, the moment would depend on the work of those before.
func TestUniform_AnAttemptThatWaitedIsAnsweredAStepAfterItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &slow{bind: 30 * time.Millisecond, code: ldap.LDAPResultInvalidCredentials}
		for gap := time.Millisecond; gap < 60*time.Millisecond; gap += 3 * time.Millisecond {
			for name, cfg := range map[string]auth.Config{"without a decoy": uniform(), "with a decoy": withDecoy()} {
				var seen [2][]answered
				for i, username := range []string{"user0", "nobody"} {
					a, _ := newAuthenticator(t, cfg, d)
					seen[i] = apart(gap, a, always(t.Context()), repeated(username, 5)...)
				}
				require.Equal(t, seen[0], seen[1], "%v apart, %s", gap, name)
			}
		}
	})
}

// TestUniform_AccountsDoNotWaitForOneAnother: an application that asks for all its users is one
// client.
func TestUniform_AccountsDoNotWaitForOneAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &slow{bind: 30 * time.Millisecond, code: ldap.LDAPResultInvalidCredentials}
		a, _ := newAuthenticator(t, throttled(t, withDecoy(), 10, 100), d)
		var names []string
		for i := range 50 {
			names = append(names, fmt.Sprint("user", i), fmt.Sprint("nobody", i))
		}
		for _, r := range atOnce(a, always(t.Context()), names...) {
			require.Equal(t, answered{auth.InvalidPassword, 50 * time.Millisecond}, r)
		}
		d.code = ldap.LDAPResultSuccess
		all := atOnce(a, always(t.Context()), repeated("user0", 5)...)
		require.Equal(t, answered{auth.OK, 150 * time.Millisecond}, all[4], "of one account they do, without the delay of failures")
	})
}

// TestUniform_NamesOfOneEntryDoNotWaitForOneAnother: if they did, two requests would reveal that
// there is an entry.
func TestUniform_NamesOfOneEntryDoNotWaitForOneAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &slow{bind: 30 * time.Millisecond, code: ldap.LDAPResultInvalidCredentials}
		for _, name := range []string{"user0", "nobody"} {
			a, _ := newAuthenticator(t, throttled(t, withDecoy(), 10, 100), d)
			all := atOnce(a, always(t.Context()), name, name+"@example.org", name+"@example.net")
			require.Equal(t, slices.Repeat([]answered{{auth.InvalidPassword, 50 * time.Millisecond}}, 3), all)
		}
	})
}

// TestUniform_RejectedAttemptDelaysNobody: a client that is exhausted is answered at a moment
// of the clock too, and has the account's turn only until it is refused.
func TestUniform_RejectedAttemptDelaysNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &slow{code: ldap.LDAPResultInvalidCredentials}
		a, _ := newAuthenticator(t, throttled(t, withDecoy(), 1, 100), d)
		requireOutcome(t, auth.InvalidPassword, from(a, "192.0.2.1", "user0", "x"))
		d.code = ldap.LDAPResultSuccess
		var refused sync.WaitGroup
		refused.Go(func() { requireOutcome(t, auth.TooManyAttempts, from(a, "192.0.2.1", "user0", "x")) })
		synctest.Wait()
		began := time.Now()
		requireOutcome(t, auth.OK, from(a, "192.0.2.2", "user0", "right"))
		require.Zero(t, time.Since(began))
		refused.Wait()
		require.Equal(t, 50*time.Millisecond, time.Since(began))
	})
}

func TestUniform_AttemptWithoutATurnMayRetryLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := withDecoy()
		cfg.TurnWait = 120 * time.Millisecond
		a, _ := newAuthenticator(t, cfg, &slow{code: ldap.LDAPResultInvalidCredentials})
		for _, name := range []string{"user0", "nobody"} {
			seen := atOnce(a, always(t.Context()), repeated(name, 10)...)
			for i, r := range seen {
				want := answered{auth.InvalidPassword, time.Duration(i+1) * 50 * time.Millisecond}
				if i >= 3 {
					want = answered{auth.TooManyAttempts, 150 * time.Millisecond}
				}
				require.Contains(t, seen, want, "%s: %v", name, r)
			}
			_, after := took(a, name)
			require.Equal(t, 50*time.Millisecond, after, "no turn is left behind")
		}
	})
}

// TestUniform_ThePasswordIsAlwaysComparedOnce: with a decoy every verdict costs the directory a
// bind at which it compares a password, and one only.
func TestUniform_ThePasswordIsAlwaysComparedOnce(t *testing.T) {
	t.Parallel()
	wrong := uint16(ldap.LDAPResultInvalidCredentials)
	for name, c := range map[string]struct {
		username string
		code     uint16 // of the user's bind
		want     []string
	}{
		"a wrong password":          {"user0", wrong, []string{"uid=user0"}},
		"an unknown name":           {"nobody", 0, []string{decoyDN}},
		"an ambiguous name":         {"twin", 0, []string{decoyDN}},
		"the decoy itself":          {"decoy", 0, []string{decoyDN}},
		"an entry that has gone":    {"user0", ldap.LDAPResultNoSuchObject, []string{"uid=user0", decoyDN}},
		"an entry without password": {"user0", ldap.LDAPResultInappropriateAuthentication, []string{"uid=user0", decoyDN}},
		"the right password":        {"user0", ldap.LDAPResultSuccess, []string{"uid=user0"}},
		"a fault":                   {"user0", ldap.LDAPResultBusy, []string{"uid=user0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := &slow{bind: time.Millisecond, code: c.code, codes: map[string]uint16{decoyDN: wrong}}
				a, o := newAuthenticator(t, withDecoy(), d)
				r, _ := took(a, c.username)
				require.Equal(t, c.want, d.binds)
				require.Empty(t, r.Notice)
				require.Equal(t, time.Duration(len(c.want))*time.Millisecond, o.all()[0].result.Phases.Bind)

				plain, _ := newAuthenticator(t, byFilter(), &slow{code: c.code})
				if c.username != "decoy" {
					require.Equal(t, []auth.Outcome{from(plain, "192.0.2.1", c.username, "x").Outcome}, outcomes(o), "the log has the truth")
				}
			})
		})
	}
}

// TestUniform_NothingThatTheDecoyAnswersLetsAnyoneIn: every result code of the decoy's bind leaves
// a wrong password or a fault. A fault of it is a fault for the caller, as it is for a name with an
// entry.
func TestUniform_NothingThatTheDecoyAnswersLetsAnyoneIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for code := range uint16(128) {
			d := &slow{code: code}
			for _, username := range []string{"nobody", "twin", "decoy"} {
				a, o := newAuthenticator(t, throttled(t, withDecoy(), 1, 1), d)
				r, after := took(a, username)
				known, _ := newAuthenticator(t, byFilter(), d)
				ofUser := from(known, "192.0.2.1", "user0", "x").Outcome
				if ofUser.IsFault() && code != ldap.LDAPResultInvalidDNSyntax {
					requireOutcome(t, ofUser, r)
					require.Zero(t, after, "at once")
					r, _ = took(a, username)
					requireOutcome(t, ofUser, r) // it was not counted
					continue
				}
				requireOutcome(t, auth.InvalidPassword, r)
				require.Nil(t, r.User)
				require.False(t, r.PasswordSeen)
				require.Equal(t, auth.InvalidUser, o.all()[0].result.Outcome)
				require.Equal(t, code != ldap.LDAPResultInvalidCredentials && code != ldap.LDAPResultInappropriateAuthentication, r.Notice != "", "code %d: %s", code, r.Notice)
				r, _ = took(a, username)
				requireOutcome(t, auth.TooManyAttempts, r) // it was
			}
		}
		for _, kind := range []error{ldappool.ErrTimeout, ldappool.ErrUnavailable, ldappool.ErrOverloaded, ldappool.ErrConnLost, errors.New("other")} {
			err := &ldappool.OpError{Op: "bind", Kind: kind}
			d := &slow{err: map[string]error{decoyDN: err, "uid=user0": err}}
			a, _ := newAuthenticator(t, withDecoy(), d)
			known, _ := took(a, "user0")
			unknown, _ := took(a, "nobody")
			require.True(t, known.Outcome.IsFault())
			require.Equal(t, known.Outcome, unknown.Outcome)
			require.Equal(t, known.RetryAfter, unknown.RetryAfter)
			require.ErrorIs(t, unknown.Cause, err)
		}
	})
}

// TestUniform_ManyCallersMeetTheirMoments on a real clock and with nanosleep(2): a thousand that
// wait for moments apart by microseconds return at them, none before, and one alone does.
func TestUniform_ManyCallersMeetTheirMoments(t *testing.T) {
	t.Parallel()
	until := auth.NewSleeper(auth.Nanosleep)
	start := time.Now().Add(20 * time.Millisecond)
	early := make([]time.Duration, 1000)
	var all sync.WaitGroup
	for i := range early {
		all.Go(func() {
			moment := start.Add(time.Duration(i*7919%1000) * 37 * time.Microsecond)
			until(moment)
			early[i] = time.Until(moment)
		})
	}
	all.Wait()
	require.LessOrEqual(t, slices.Max(early), time.Duration(0))
	began := time.Now()
	until(began)
	until(began.Add(time.Millisecond))
	require.GreaterOrEqual(t, time.Since(began), time.Millisecond)
}

// TestUniform_TheLastSleepIsAlwaysTheSame: however long before a moment a caller comes, the sleeps
// end with a whole slice.
func TestUniform_TheLastSleepIsAlwaysTheSame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for before := 600 * time.Microsecond; before < 60*time.Millisecond; before += 137 * time.Microsecond {
			var last time.Duration
			until := auth.NewSleeper(func(d time.Duration) {
				last = d
				time.Sleep(d)
			})
			moment := time.Now().Add(before)
			until(moment)
			require.Zero(t, time.Until(moment))
			require.Equal(t, 500*time.Microsecond, last, "%v before", before)
		}
	})
}

// TestUniform_OneCallerAtATimeSleepsInTheSystem, however many wait.
func TestUniform_OneCallerAtATimeSleepsInTheSystem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sleeping, most atomic.Int32
		until := auth.NewSleeper(func(d time.Duration) {
			most.Store(max(most.Load(), sleeping.Add(1)))
			time.Sleep(d)
			sleeping.Add(-1)
		})
		start := time.Now().Add(10 * time.Millisecond)
		var all sync.WaitGroup
		for i := range 1000 {
			all.Go(func() {
				moment := start.Add(time.Duration(i%40) * 100 * time.Microsecond)
				until(moment)
				assert.Equal(t, time.Duration(0), time.Since(moment))
			})
		}
		all.Wait()
		require.EqualValues(t, 1, most.Load())
	})
}
