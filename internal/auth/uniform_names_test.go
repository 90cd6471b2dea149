package auth_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// TestUniform_ARefusedAttemptShowsNothingOfItsSearch: a search takes longer where there is an
// entry, and an exhausted client makes two attempts at once in spellings that were not typed
// before.
func TestUniform_ARefusedAttemptShowsNothingOfItsSearch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, search := range []time.Duration{time.Millisecond, 7 * time.Millisecond} {
			d := &slow{search: search, bind: time.Millisecond, code: ldap.LDAPResultInvalidCredentials}
			a, o := newAuthenticator(t, throttled(t, withDecoy(), 2, 100), d)
			seen := atOnce(a, always(t.Context()), "user0", "User0", "USER0", "UsER0")
			require.Equal(t, []answered{{auth.InvalidPassword, 50 * time.Millisecond}, {auth.InvalidPassword, 100 * time.Millisecond},
				{auth.TooManyAttempts, 150 * time.Millisecond}, {auth.TooManyAttempts, 150 * time.Millisecond}}, seen)
			seen = atOnce(a, always(t.Context()), "uSer0", "usEr0", "useR0")
			require.Equal(t, slices.Repeat([]answered{{auth.TooManyAttempts, 50 * time.Millisecond}}, 3), seen)
			for _, l := range o.all() {
				require.Equal(t, l.result.Outcome == auth.TooManyAttempts, l.result.Phases.Search == 0, "an exhausted name is not looked for")
			}
		}
	})
}

// TestUniform_TheNamesOfAnADAccountShareABudgetWhetherItExists: if those of no account did not, an
// attempt more than the limit would reveal which there are.
func TestUniform_TheNamesOfAnADAccountShareABudgetWhetherItExists(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSamba(t, ldaptest.SambaConfig{})
	s.AddUser("alice", "alice-secret")
	p := newADPool(t, s)
	cfg := byAD()
	cfg.UniformDelay = 5 * time.Millisecond
	for _, first := range []func(string) string{
		func(name string) string { return name },
		func(name string) string { return `AD\` + name },
		func(name string) string { return name + "@ad.example.org" },
	} {
		for _, name := range []string{"alice", "nobody"} {
			a, _ := newAuthenticator(t, throttled(t, cfg, 2, 100), p)
			for range 2 {
				requireOutcome(t, auth.InvalidPassword, from(a, "192.0.2.1", first(name), "wrong"))
			}
			for _, other := range []string{name, `AD\` + name, `ad\` + name, name + "@ad.example.org", name + "@AD.example.ORG"} {
				requireOutcome(t, auth.TooManyAttempts, from(a, "192.0.2.1", other, "wrong"))
			}
			requireOutcome(t, auth.InvalidPassword, from(a, "192.0.2.1", `OTHER\`+name, "wrong"))
			requireOutcome(t, auth.InvalidPassword, from(a, "192.0.2.1", name+"@other.example.org", "wrong"))
		}
	}
	a, _ := newAuthenticator(t, throttled(t, cfg, 2, 100), p)
	var all sync.WaitGroup
	for _, name := range []string{"alice", `AD\alice`, "alice@ad.example.org"} {
		all.Go(func() { requireOutcome(t, auth.OK, from(a, "192.0.2.1", name, "alice-secret")) })
	}
	all.Wait()
}
