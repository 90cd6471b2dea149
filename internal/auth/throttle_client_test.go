package auth_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"
	"authsvc/internal/throttle"
	"authsvc/ldappool"

	"github.com/stretchr/testify/require"
)

// withClientLimit limits one client over all accounts, in addition to the usual limits.
func withClientLimit(t testing.TB, cfg auth.Config, failures int) auth.Config {
	t.Helper()
	m, err := throttle.New(throttle.Config{
		Failures: 10, AccountFailures: 100, ClientFailures: failures, Window: time.Hour, MaxWait: patience,
	})
	require.NoError(t, err)
	cfg.Throttle, cfg.ThrottleWait = m, patience
	return cfg
}

// TestThrottle_OnePasswordOnAThousandAccountsMeetsTheClientsLimit: half of the names exist. By a
// filter and by a template, in both modes.
func TestThrottle_OnePasswordOnAThousandAccountsMeetsTheClientsLimit(t *testing.T) {
	t.Parallel()
	const users, limit = 500, 20
	uniform := byFilter()
	uniform.UniformDelay = time.Millisecond
	for how, cfg := range map[string]auth.Config{"by filter": byFilter(), "by template": byTemplate(), "in uniform mode": uniform} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: users})
			d := &counting{Directory: newPool(t, s.URL())}
			a, o := newAuthenticator(t, withClientLimit(t, cfg, limit), d)
			var all sync.WaitGroup
			for i := range 2 * users {
				all.Go(func() { from(a, "2001:db8::1", fmt.Sprint("user", i), "Winter2026!") })
			}
			all.Wait()
			counts := map[auth.Outcome]int{}
			for _, l := range o.all() {
				counts[l.result.Outcome]++
			}
			require.Equal(t, limit, counts[auth.InvalidUser]+counts[auth.InvalidPassword], "%v", counts)
			require.Equal(t, 2*users-limit, counts[auth.TooManyAttempts]+counts[auth.Overloaded], "%v", counts) // a busy machine may turn some away
			require.LessOrEqual(t, d.binds.Load(), int64(limit))

			searches := d.searches.Load()
			r := from(a, "2001:db8::2", "user1", "password1")
			requireOutcome(t, auth.TooManyAttempts, r)
			require.ErrorContains(t, r.Cause, "20 failures of this client in 1h0m0s")
			require.Equal(t, searches, d.searches.Load(), "the directory is asked nothing")
			requireOutcome(t, auth.OK, from(a, "2001:db8:1::1", "user1", "password1"))
		})
	}
}

// TestThrottle_SuccessKeepsTheClientsCountOverAllAccounts: whoever has an account of their own
// gains no tries by it.
func TestThrottle_SuccessKeepsTheClientsCountOverAllAccounts(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 30})
	a, _ := newAuthenticator(t, withClientLimit(t, byFilter(), 5), newPool(t, s.URL()))
	for i := 1; i <= 5; i++ {
		requireOutcome(t, auth.InvalidPassword, from(a, "192.0.2.1", fmt.Sprint("user", i), "wrong"))
		if i < 5 {
			requireOutcome(t, auth.OK, from(a, "192.0.2.1", "user0", "password0"))
		}
	}
	requireOutcome(t, auth.TooManyAttempts, from(a, "192.0.2.1", "user6", "wrong"))
	require.Zero(t, binds(s, ldaptest.UserDN(6)))
	requireOutcome(t, auth.OK, from(a, "192.0.2.2", "user6", "password6"))
	requireOutcome(t, auth.InvalidPassword, from(a, "192.0.2.2", "user6", "wrong"))
}

// TestThrottle_FaultsAreRefundedToTheClient: an application whose users all log in from one address
// is not shut out by a directory that fails, nor made to log them in one at a time.
func TestThrottle_FaultsAreRefundedToTheClient(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 30})
	d := &counting{Directory: newPool(t, s.URL())}
	a, _ := newAuthenticator(t, withClientLimit(t, byFilter(), 2), d)
	for _, err := range []error{ldappool.ErrTimeout, ldappool.ErrOverloaded, ldappool.ErrUnavailable, ldappool.ErrConnLost, context.DeadlineExceeded} {
		d.bind = func() (*ldappool.BindResult, error) { return nil, err }
		for i := range 3 {
			require.True(t, from(a, "192.0.2.1", fmt.Sprint("user", i), ldaptest.Password(i)).Outcome.IsFault())
		}
	}
	var together sync.WaitGroup // two logins meet in the directory
	together.Add(2)
	d.bind = func() (*ldappool.BindResult, error) {
		together.Done()
		together.Wait()
		return &ldappool.BindResult{}, nil
	}
	var all sync.WaitGroup
	for i := range 2 {
		all.Go(func() { from(a, "192.0.2.1", fmt.Sprint("user", i), ldaptest.Password(i)) })
	}
	all.Wait()
	d.bind = nil
	for i := range 30 {
		requireOutcome(t, auth.OK, from(a, "192.0.2.1", fmt.Sprint("user", i), ldaptest.Password(i)))
	}
}
