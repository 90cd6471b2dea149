package auth_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/credcache"
	"authsvc/internal/ldaptest"
	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// remembering is cfg with a cache of credentials.
func remembering(cfg auth.Config, change ...func(*credcache.Config)) auth.Config {
	cfg.Remember = credcache.Config{TTL: time.Minute, FailureTTL: time.Minute, Size: 1000}
	for _, f := range change {
		f(&cfg.Remember)
	}
	return cfg
}

// verify asks as a reverse proxy does for a client.
func verify(a *auth.Authenticator, client, username, password string, required ...auth.Requirement) (auth.Result, auth.Source) {
	return a.Verify(context.Background(), auth.Credentials{
		Username: username, Password: password, Client: client, Forward: &auth.Forward{Required: required},
	})
}

const device = "192.0.2.1"

func requireVerified(t testing.TB, a *auth.Authenticator, want auth.Outcome, source auth.Source, client, username, password string) {
	t.Helper()
	r, from := verify(a, client, username, password)
	requireOutcome(t, want, r)
	require.Equal(t, source, from)
}

func TestVerify_RepeatedCredentialsCostOneLogin(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 2})
	d := &counting{Directory: newPool(t, s.URL())}
	a, seen := newAuthenticator(t, remembering(byFilter()), d)
	requireVerified(t, a, auth.OK, auth.FromDirectory, device, "user0", "password0")
	for range 10 {
		r, source := verify(a, device, "user0", "password0")
		requireOutcome(t, auth.OK, r)
		require.Equal(t, auth.FromCache, source)
		require.Equal(t, "user0", r.User.Username)
	}
	require.EqualValues(t, 1, d.binds.Load())
	require.EqualValues(t, 1, d.searches.Load())
	require.Len(t, seen.all(), 1, "the audit log has real verdicts only")

	requireVerified(t, a, auth.OK, auth.FromDirectory, "192.0.2.2", "user0", "password0") // another client
	requireVerified(t, a, auth.OK, auth.FromDirectory, device, "user1", "password1")
	requireOutcome(t, auth.OK, from(a, device, "user0", "password0")) // POST /auth has no cache
	require.EqualValues(t, 4, d.binds.Load())
}

func TestVerify_APageWithThirtyPartsIsOneLogin(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	d := &counting{Directory: newPool(t, s.URL())}
	a, _ := newAuthenticator(t, throttled(t, remembering(byFilter()), 5, 50), d)
	var parts sync.WaitGroup
	var right atomic.Int64
	for range 30 {
		parts.Go(func() {
			if r, _ := verify(a, device, "user0", "password0"); r.Outcome == auth.OK && r.User.DN == ldaptest.UserDN(0) {
				right.Add(1)
			}
		})
	}
	parts.Wait()
	require.EqualValues(t, 30, right.Load())
	require.EqualValues(t, 1, d.binds.Load())
}

func TestVerify_TheSameWrongPasswordIsTriedAndCountedOnce(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	d := &counting{Directory: newPool(t, s.URL())}
	a, _ := newAuthenticator(t, throttled(t, remembering(byFilter()), 3, 100), d)
	requireVerified(t, a, auth.OK, auth.FromDirectory, device, "user0", "password0")
	requireVerified(t, a, auth.InvalidPassword, auth.FromDirectory, device, "user0", "old")
	for range 20 { // a phone
		requireVerified(t, a, auth.InvalidPassword, auth.FromCache, device, "user0", "old")
	}
	requireVerified(t, a, auth.OK, auth.FromCache, device, "user0", "password0")
	require.EqualValues(t, 2, d.binds.Load())
	requireVerified(t, a, auth.InvalidPassword, auth.FromDirectory, device, "user0", "other") // the second of three
	requireVerified(t, a, auth.OK, auth.FromCache, device, "user0", "password0")

	for range 20 { // a name without an entry
		r, _ := verify(a, device, "nobody", "old")
		require.NotEqual(t, auth.TooManyAttempts, r.Outcome)
	}
}

func TestVerify_AnExhaustedClientLearnsNothing(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	d := &counting{Directory: newPool(t, s.URL())}
	a, _ := newAuthenticator(t, throttled(t, remembering(byFilter()), 3, 100), d)
	requireVerified(t, a, auth.OK, auth.FromDirectory, device, "user0", "password0")
	for i := range 3 {
		requireVerified(t, a, auth.InvalidPassword, auth.FromDirectory, device, "user0", fmt.Sprint("guess", i))
	}
	for _, password := range []string{"password0", "guess0", "another"} { // right, rejected before, new
		requireVerified(t, a, auth.TooManyAttempts, auth.FromNothing, device, "user0", password)
	}
	requireVerified(t, a, auth.OK, auth.FromDirectory, "192.0.2.2", "user0", "password0")
	require.EqualValues(t, 5, d.binds.Load())
}

// A client tries a thousand passwords at once, with the accepted one among them. The cache must not
// find it for more guesses than the throttle allows, and the few that are compared at once.
func TestVerify_ManyGuessesAtOnceAreComparedNoOftenerThanTheThrottleAllows(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	found := 0
	const rounds, guesses = 20, 200
	for round := range rounds {
		a, _ := newAuthenticator(t, throttled(t, remembering(byFilter()), 3, 1000), newPool(t, s.URL()))
		requireVerified(t, a, auth.OK, auth.FromDirectory, device, "user0", "password0")
		var all sync.WaitGroup
		var ok atomic.Bool
		for i := range guesses {
			password := fmt.Sprint("guess", i)
			if i == guesses-1-round { // nearly the last of them
				password = "password0"
			}
			all.Go(func() {
				if r, _ := verify(a, device, "user0", password); r.Outcome == auth.OK {
					ok.Store(true)
				}
			})
		}
		all.Wait()
		if ok.Load() {
			found++
		}
	}
	// Six of 200 may be compared: the right one is among them in one of 33 rounds by chance. The
	// order of goroutines is none of the test's business.
	t.Logf("found in %d of %d rounds", found, rounds)
	require.Less(t, found, rounds/2)
}

func TestVerify_AGuessThatGetsNoVerdictIsCounted(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	d := &counting{Directory: newPool(t, s.URL())}
	cfg := remembering(byFilter(), func(c *credcache.Config) { c.Stale = time.Hour })
	a, _ := newAuthenticator(t, throttled(t, cfg, 3, 100), d)
	requireVerified(t, a, auth.OK, auth.FromDirectory, device, "user0", "password0")
	d.bind = func() (*ldappool.BindResult, error) { return nil, ldappool.ErrUnavailable }
	for i := range 3 {
		requireVerified(t, a, auth.DirectoryUnavailable, auth.FromDirectory, device, "user0", fmt.Sprint("guess", i))
	}
	requireVerified(t, a, auth.TooManyAttempts, auth.FromNothing, device, "user0", "password0")
}

// unavailable is what a directory that is away answers to a bind.
func unavailable() (*ldappool.BindResult, error) { return nil, ldappool.ErrUnavailable }

func TestVerify_APasswordThatIsRepeatedInAnOutageCountsOnce(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	d := &counting{Directory: newPool(t, s.URL())}
	a, _ := newAuthenticator(t, throttled(t, remembering(byFilter()), 3, 100), d)
	requireVerified(t, a, auth.OK, auth.FromDirectory, device, "user0", "password0")
	d.bind = unavailable
	for range 20 { // a phone with an old password
		requireVerified(t, a, auth.DirectoryUnavailable, auth.FromDirectory, device, "user0", "old")
	}
	var page sync.WaitGroup
	for range 30 { // a page load with a new one
		page.Go(func() { verify(a, device, "user0", "new") })
	}
	page.Wait()
	requireVerified(t, a, auth.OK, auth.FromCache, device, "user0", "password0")
	d.bind = nil
	requireVerified(t, a, auth.InvalidPassword, auth.FromDirectory, device, "user0", "new")
}

func TestVerify_FaultsCountNothingWithoutAnAcceptedPasswordOrWithTheRightOne(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	d := &counting{Directory: newPool(t, s.URL())}
	a, _ := newAuthenticator(t, throttled(t, remembering(byFilter()), 2, 100), d)
	requireVerified(t, a, auth.InvalidPassword, auth.FromDirectory, device, "user0", "typo")
	d.bind = unavailable
	for i := range 5 {
		requireVerified(t, a, auth.DirectoryUnavailable, auth.FromDirectory, device, "user0", fmt.Sprint("password", i))
	}
	d.bind = nil
	requireVerified(t, a, auth.OK, auth.FromDirectory, device, "user0", "password0")
}

func TestVerify_AFaultAfterTheRightPasswordCountsNothing(t *testing.T) {
	t.Parallel()
	s := startGroups(t)
	d := &counting{Directory: newPool(t, s.URL())}
	a, _ := newAuthenticator(t, throttled(t, remembering(inGroups()), 2, 100), d)
	requireVerified(t, a, auth.OK, auth.FromDirectory, device, "user0", "password0")
	for i := range 5 { // each is a new password, which the directory accepts, and then cannot say the groups
		d.bind = func() (*ldappool.BindResult, error) {
			d.searchErr.Store(true)
			return &ldappool.BindResult{}, nil
		}
		requireVerified(t, a, auth.DirectoryUnavailable, auth.FromDirectory, device, "user0", fmt.Sprint("new", i))
		d.searchErr.Store(false)
	}
	requireVerified(t, a, auth.OK, auth.FromCache, device, "user0", "password0")
}

func TestVerify_TheSameWrongPasswordOccupiesOnePlace(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	d := &counting{Directory: newPool(t, s.URL())}
	a, _ := newAuthenticator(t, throttled(t, remembering(byFilter()), 5, 100), d)
	requireVerified(t, a, auth.OK, auth.FromDirectory, device, "user0", "password0")
	hangs := make(chan struct{})
	d.bind = func() (*ldappool.BindResult, error) { <-hangs; return nil, ldappool.ErrTimeout }
	var phone sync.WaitGroup
	for range 10 {
		phone.Go(func() { verify(a, device, "user0", "old") })
	}
	ldaptest.Eventually(t, "the bind hangs", func() bool { return d.binds.Load() == 2 })
	requireVerified(t, a, auth.OK, auth.FromCache, device, "user0", "password0")
	for _, other := range []string{"older", "oldest"} {
		phone.Go(func() { verify(a, device, "user0", other) })
	}
	ldaptest.Eventually(t, "three passwords hang", func() bool { return d.binds.Load() == 4 })
	phone.Go(func() { verify(a, device, "user0", "old") })
	ldaptest.Eventually(t, "one more request waits for the bind of its own password", func() bool { return a.GuessesUnderWay() == 13 })
	close(hangs)
	phone.Wait()
	require.Zero(t, a.GuessesUnderWay())
}

func TestVerify_APageIsServedStaleWhileTheDirectoryHangs(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	d := &counting{Directory: newPool(t, s.URL())}
	cfg := remembering(byFilter(), func(c *credcache.Config) { c.TTL, c.Stale = time.Nanosecond, time.Hour })
	a, _ := newAuthenticator(t, throttled(t, cfg, 3, 100), d)
	requireVerified(t, a, auth.OK, auth.FromDirectory, device, "user0", "password0")
	hangs := make(chan struct{})
	d.bind = func() (*ldappool.BindResult, error) { <-hangs; return nil, ldappool.ErrTimeout }
	var page sync.WaitGroup
	var stale atomic.Int64
	for range 30 {
		page.Go(func() {
			if r, source := verify(a, device, "user0", "password0"); r.Outcome == auth.OK && source == auth.FromStale {
				stale.Add(1)
			}
		})
	}
	ldaptest.Eventually(t, "the bind hangs", func() bool { return d.binds.Load() == 2 })
	close(hangs)
	page.Wait()
	require.EqualValues(t, 30, stale.Load())
}

func TestVerify_AnAccountThatIsKeptOutIsForgotten(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	d := &counting{Directory: newPool(t, s.URL())}
	cfg := remembering(byFilter())
	cfg.Dialect = named("389ds")
	a, _ := newAuthenticator(t, cfg, d)
	for _, client := range []string{device, "192.0.2.2"} {
		requireVerified(t, a, auth.OK, auth.FromDirectory, client, "user0", "password0")
	}
	d.bind = func() (*ldappool.BindResult, error) {
		return &ldappool.BindResult{Result: ldappool.Result{Code: ldap.LDAPResultUnwillingToPerform, Diagnostic: "Account inactivated. Contact system administrator."}}, nil
	}
	r := from(a, "192.0.2.9", "user0", "password0") // by POST /auth, from anywhere
	requireOutcome(t, auth.AccountDisabled, r)
	d.bind = nil
	for _, client := range []string{device, "192.0.2.2"} {
		requireVerified(t, a, auth.OK, auth.FromDirectory, client, "user0", "password0")
	}
	requireVerified(t, a, auth.OK, auth.FromCache, device, "user0", "password0")
	require.Equal(t, 1, a.Forget("USER0"))
	require.Zero(t, a.Forget("USER0"))
	requireVerified(t, a, auth.OK, auth.FromDirectory, device, "user0", "password0")
	require.Equal(t, 1, a.Forget(""))
	requireVerified(t, a, auth.OK, auth.FromDirectory, device, "user0", "password0")
	require.Zero(t, a.Forget("nobody"))
}

func TestVerify_AStaleAnswerIsGivenOnlyWhileTheDirectoryIsAway(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	for _, stale := range []time.Duration{0, time.Hour} {
		d := &counting{Directory: newPool(t, s.URL())}
		cfg := remembering(byFilter(), func(c *credcache.Config) { c.TTL, c.Stale = time.Nanosecond, stale })
		a, _ := newAuthenticator(t, throttled(t, cfg, 3, 100), d)
		requireVerified(t, a, auth.OK, auth.FromDirectory, device, "user0", "password0")
		requireVerified(t, a, auth.OK, auth.FromDirectory, device, "user0", "password0")
		for _, err := range []error{ldappool.ErrUnavailable, ldappool.ErrOverloaded, ldappool.ErrTimeout} {
			d.bind = func() (*ldappool.BindResult, error) { return nil, err }
			r, source := verify(a, device, "user0", "password0")
			if stale == 0 {
				require.True(t, r.Outcome.IsFault())
				require.Equal(t, auth.FromDirectory, source)
			} else {
				requireOutcome(t, auth.OK, r)
				require.Equal(t, auth.FromStale, source)
			}
		}
		d.bind = func() (*ldappool.BindResult, error) {
			return &ldappool.BindResult{Result: ldappool.Result{Code: ldap.LDAPResultInvalidCredentials}}, nil
		}
		requireVerified(t, a, auth.InvalidPassword, auth.FromDirectory, device, "user0", "password0")
		d.bind = func() (*ldappool.BindResult, error) { return nil, ldappool.ErrUnavailable }
		r, _ := verify(a, device, "user0", "password0")
		require.NotEqual(t, auth.OK, r.Outcome, "the directory rejected it since")
	}
}

func TestVerify_GroupsAreLookedUpOnceAndRequiredByEachRequest(t *testing.T) {
	t.Parallel()
	s := startGroups(t)
	d := &counting{Directory: newPool(t, s.URL())}
	a, seen := newAuthenticator(t, remembering(inGroups()), d)
	type all = []auth.Requirement
	staff := "cn=staff," + ldaptest.GroupsDN
	for _, c := range []struct {
		required []auth.Requirement
		want     auth.Outcome
		groups   []string
	}{
		{nil, auth.OK, []string{oddGroup, "posix", "spelt", "staff", "unique"}},
		{all{{"staff"}}, auth.OK, []string{"staff"}},
		{all{{"other", "STAFF"}}, auth.OK, []string{"staff"}},
		{all{{"staff", "posix"}, {"unique"}}, auth.OK, []string{"posix", "staff", "unique"}},
		{all{{staff}}, auth.OK, []string{"staff"}},
		{all{{"staff"}, {"other"}}, auth.NotPermitted, nil},
		{all{{"other"}}, auth.NotPermitted, nil},
		{all{{"cn=staff," + ldaptest.BaseDN}}, auth.NotPermitted, nil},
		{all{{"*"}}, auth.NotPermitted, nil},
	} {
		r, _ := verify(a, device, "user0", "password0", c.required...)
		requireOutcome(t, c.want, r)
		require.True(t, r.PasswordSeen)
		if c.want == auth.OK {
			require.ElementsMatch(t, c.groups, r.User.Groups, c.required)
		}
	}
	require.EqualValues(t, 1, d.binds.Load())
	require.Len(t, seen.all(), 1)

	// The directory goes away. What it has said of another spelling is remembered. What it cannot
	// say of one matters only if no alternative permits.
	respelt := `CN = st\61FF , OU=groups,DC=Example ,dc=org`
	r, _ := verify(a, device, "user0", "password0", auth.Requirement{respelt})
	requireOutcome(t, auth.OK, r)
	d.searchErr.Store(true)
	for _, c := range []struct {
		required auth.Requirement
		want     auth.Outcome
	}{
		{auth.Requirement{respelt}, auth.OK}, {auth.Requirement{"STAFF"}, auth.OK},
		{auth.Requirement{`cn=\73taff,` + ldaptest.GroupsDN, "staff"}, auth.OK}, {auth.Requirement{`cn=\73taff,` + ldaptest.GroupsDN}, auth.DirectoryUnavailable},
	} {
		r, source := verify(a, device, "user0", "password0", c.required)
		requireOutcome(t, c.want, r)
		require.Equal(t, auth.FromCache, source)
	}
	d.searchErr.Store(false)

	// The first request is refused for its group, and what the directory said is kept.
	b, seen := newAuthenticator(t, remembering(inGroups()), d)
	r, source := verify(b, device, "user0", "password0", auth.Requirement{"other"})
	requireOutcome(t, auth.NotPermitted, r)
	require.Equal(t, auth.FromDirectory, source)
	requireOutcome(t, auth.NotPermitted, seen.all()[0].result)
	r, source = verify(b, device, "user0", "password0", auth.Requirement{"staff"})
	requireOutcome(t, auth.OK, r)
	require.Equal(t, auth.FromCache, source)

	without, seen := newAuthenticator(t, remembering(byFilter()), d)
	for range 2 {
		r, _ = verify(without, device, "user0", "password0", auth.Requirement{"staff"})
		requireOutcome(t, auth.InternalError, r)
	}
	require.Len(t, seen.all(), 2, "a fault of the configuration is reported each time")
}

func TestVerify_UniformModeCountsRepetitionsAlikeForAllNames(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 2})
	d := &counting{Directory: newPool(t, s.URL())}
	cfg := remembering(byFilter())
	cfg.Dialect, cfg.UniformDelay = named("389ds"), 20*time.Millisecond
	a, _ := newAuthenticator(t, throttled(t, cfg, 3, 100), d)
	inactive := &ldappool.BindResult{Result: ldappool.Result{Code: ldap.LDAPResultUnwillingToPerform, Diagnostic: "Account inactivated. Contact system administrator."}}
	for _, name := range []string{"user0", "user1", "nobody"} {
		if d.bind = nil; name == "user1" {
			d.bind = func() (*ldappool.BindResult, error) { return inactive, nil }
		}
		requireVerified(t, a, auth.InvalidPassword, auth.FromDirectory, device, name, "old")
		for range 10 {
			began := time.Now()
			requireVerified(t, a, auth.InvalidPassword, auth.FromCache, device, name, "old")
			require.GreaterOrEqual(t, time.Since(began), cfg.UniformDelay)
		}
	}
}

func TestVerify_AStrangerIsThrottledAlikeWhateverTheAccountsState(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 2})
	d := &counting{Directory: newPool(t, s.URL())}
	cfg := remembering(byFilter())
	cfg.Dialect = named("389ds")
	a, _ := newAuthenticator(t, throttled(t, cfg, 3, 100), d)
	inactive := &ldappool.BindResult{Result: ldappool.Result{Code: ldap.LDAPResultUnwillingToPerform, Diagnostic: "Account inactivated. Contact system administrator."}}
	for _, name := range []string{"user0", "user1", "nobody"} {
		if d.bind = nil; name == "user1" {
			d.bind = func() (*ldappool.BindResult, error) { return inactive, nil }
		}
		for i := range 3 {
			_, source := verify(a, device, name, fmt.Sprint("guess", i))
			require.Equal(t, auth.FromDirectory, source, name)
			if i < 2 { // otherwise exhausted
				_, source = verify(a, device, name, fmt.Sprint("guess", i))
				require.Equal(t, auth.FromCache, source, name)
			}
		}
		requireVerified(t, a, auth.TooManyAttempts, auth.FromNothing, device, name, "guess4")
	}
}

// What the directory has said of another spelling of a group lasts as long as the login does, which
// may be longer than the minute of the group cache.
func TestVerify_AnotherSpellingIsRememberedWithTheUser(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		away := false
		d := &scripted{search: func(req *ldap.SearchRequest) (uint16, []*ldap.Entry) {
			switch {
			case away:
				return ldap.LDAPResultUnavailable, nil
			case slices.Contains(req.Attributes, "uid"):
				return 0, []*ldap.Entry{entryOf(ldaptest.UserDN(0), map[string][]string{"uid": {"user0"}})}
			}
			return 0, []*ldap.Entry{entryOf(groupDN("staff"), map[string][]string{"cn": {"staff"}})}
		}}
		a, _ := newAuthenticator(t, remembering(inGroups(), func(c *credcache.Config) { c.TTL = time.Hour }), d)
		for range 2 {
			r, _ := verify(a, device, "user0", "password0", auth.Requirement{"STAFF"})
			requireOutcome(t, auth.OK, r)
			time.Sleep(2 * time.Minute)
			away = true
		}
		r, _ := verify(a, device, "user0", "password0", auth.Requirement{"Staff"})
		requireOutcome(t, auth.DirectoryUnavailable, r)
	})
}

func TestVerify_WithoutACacheEveryRequestIsALogin(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	d := &counting{Directory: newPool(t, s.URL())}
	a, seen := newAuthenticator(t, byFilter(), d)
	for range 3 {
		requireVerified(t, a, auth.OK, auth.FromNothing, device, "user0", "password0")
	}
	requireVerified(t, a, auth.BadRequest, auth.FromNothing, device, "user0", "")
	require.EqualValues(t, 3, d.binds.Load())
	require.Len(t, seen.all(), 4)
	require.Zero(t, a.Forget(""))
}

// The directory hangs, and what was remembered expires meanwhile.
func TestVerify_APageWithOnePasswordCountsOnceEvenIfTheEntryExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hanging := make(chan struct{})
		var away atomic.Bool
		d := &counting{Directory: &scripted{search: aUser}}
		d.bind = func() (*ldappool.BindResult, error) {
			if !away.Load() {
				return &ldappool.BindResult{}, nil
			}
			<-hanging
			return nil, ldappool.ErrTimeout
		}
		a, _ := newAuthenticator(t, throttled(t, remembering(byFilter()), 3, 100), d)
		requireVerified(t, a, auth.OK, auth.FromDirectory, device, "user0", "password0")
		away.Store(true)
		time.Sleep(time.Minute - time.Second)
		var page sync.WaitGroup
		for range 30 {
			page.Go(func() { verify(a, device, "user0", "new") })
		}
		time.Sleep(2 * time.Second)
		close(hanging)
		page.Wait()
		away.Store(false)
		requireVerified(t, a, auth.OK, auth.FromDirectory, device, "user0", "new")
	})
}

// A request that begins when the account is known to be disabled is not answered with a login that
// began before.
func TestVerify_ALoginUnderWayIsNotSharedAfterItsAccountIsDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &counting{Directory: &scripted{search: func(req *ldap.SearchRequest) (uint16, []*ldap.Entry) {
			if !slices.Contains(req.Attributes, "uid") { // for groups
				time.Sleep(2 * time.Second)
				return 0, nil
			}
			return aUser(req)
		}}}
		inactive := &ldappool.BindResult{Result: ldappool.Result{Code: ldap.LDAPResultUnwillingToPerform, Diagnostic: "Account inactivated. Contact system administrator."}}
		var answer atomic.Pointer[ldappool.BindResult]
		answer.Store(&ldappool.BindResult{})
		d.bind = func() (*ldappool.BindResult, error) { return answer.Load(), nil }
		cfg := remembering(inGroups())
		cfg.Dialect = named("389ds")
		a, _ := newAuthenticator(t, cfg, d)
		var began sync.WaitGroup
		began.Go(func() { requireVerified(t, a, auth.OK, auth.FromDirectory, device, "user0", "password0") })
		time.Sleep(time.Second)
		answer.Store(inactive)
		requireOutcome(t, auth.AccountDisabled, from(a, "192.0.2.9", "user0", "password0"))
		r, _ := verify(a, device, "user0", "password0")
		requireOutcome(t, auth.AccountDisabled, r)
		began.Wait()
		require.EqualValues(t, 3, d.binds.Load())
	})
}

// aUser is the answer to a search for user0.
func aUser(*ldap.SearchRequest) (uint16, []*ldap.Entry) {
	return 0, []*ldap.Entry{entryOf(ldaptest.UserDN(0), map[string][]string{"uid": {"user0"}})}
}

func BenchmarkVerify_Hit(b *testing.B) {
	a, _ := newAuthenticator(b, throttled(b, remembering(byFilter()), 10, 100), &scripted{search: aUser})
	requireVerified(b, a, auth.OK, auth.FromDirectory, device, "user0", "password0")
	b.ReportAllocs()
	for b.Loop() {
		if r, source := verify(a, device, "user0", "password0"); r.Outcome != auth.OK || source != auth.FromCache {
			b.Fatal(r, source)
		}
	}
}
