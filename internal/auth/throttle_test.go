package auth_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"
	"authsvc/internal/throttle"
	"authsvc/ldappool"
	"authsvc/ldappool/ldapconn"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// throttled is cfg with the service's usual throttle, or one of other numbers.
func throttled(t testing.TB, cfg auth.Config, failures, account int) auth.Config {
	t.Helper()
	m, err := throttle.New(throttle.Config{Failures: failures, AccountFailures: account, Window: time.Hour, MaxWait: patience})
	require.NoError(t, err)
	cfg.Throttle = m
	return cfg
}

// from tries a name and a password from a client.
func from(a *auth.Authenticator, client, username, password string) auth.Result {
	return a.Authenticate(context.Background(), auth.Credentials{Username: username, Password: password, Client: client})
}

// binds counts the binds of a user that slapd's log has.
func binds(s *ldaptest.Slapd, dn string) int { return s.LogCount(`BIND dn="` + dn + `" method=128`) }

// spellings are names that slapd takes for user0, with a filter on uid, cn and mail. The first
// uidSpellings are of its uid.
func spellings() []string {
	return []string{
		"user0", "USER0", "User0", "uSeR0", "ｕｓｅｒ０", "ＵＳＥＲ0", "user⁰",
		"User 0", "USER 0", "user   0", "user\u00a00", "Ｕser\u3000０",
		"user0@example.org", "USER0@EXAMPLE.ORG", "User0@Example.org",
	}
}

const uidSpellings = 7

// monitored has slapd count its operations in cn=Monitor.
func monitored(users int) ldaptest.SlapdConfig {
	return ldaptest.SlapdConfig{
		Users: users, ExtraGlobal: "moduleload back_monitor", ExtraDatabase: "database monitor\naccess to * by * read",
	}
}

// bindsMonitored counts all binds by what slapd's monitor says.
func bindsMonitored(t *testing.T, s *ldaptest.Slapd) int {
	t.Helper()
	c, err := ldap.DialURL(s.URL())
	require.NoError(t, err)
	defer c.Close()
	r, err := c.Search(ldap.NewSearchRequest("cn=Bind,cn=Operations,cn=Monitor", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{"monitorOpCompleted"}, nil))
	require.NoError(t, err)
	n, err := strconv.Atoi(r.Entries[0].GetAttributeValue("monitorOpCompleted"))
	require.NoError(t, err)
	return n
}

// byAnyName finds users by uid, cn and mail.
func byAnyName() auth.Config {
	cfg := byFilter()
	cfg.Filter = "(|(uid={username})(cn={username})(mail={username}))"
	return cfg
}

// TestThrottle_ThousandWrongPasswordsAtOnceMeetTheLimit: from 64 callers in every spelling of one
// name; another account is served meanwhile.
func TestThrottle_ThousandWrongPasswordsAtOnceMeetTheLimit(t *testing.T) {
	t.Parallel()
	const callers, tries = 64, 1000
	for name, c := range map[string]struct {
		clients int // the callers' addresses
		want    int // binds
	}{
		"from one client":                      {1, 10},
		"from four clients":                    {4, 40},
		"from so many that the account's ends": {callers, 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := ldaptest.StartSlapd(t, monitored(2))
			p := newPool(t, s.URL(), func(c *ldappool.Config) { c.MaxConns = 32 })
			a, o := newAuthenticator(t, throttled(t, byAnyName(), 10, 100), p)
			work := make(chan int)
			var all sync.WaitGroup
			for caller := range callers {
				all.Go(func() {
					for i := range work {
						name := spellings()[i%len(spellings())]
						from(a, fmt.Sprintf("192.0.2.%d", caller%c.clients), name, fmt.Sprint("wrong", i))
					}
				})
			}
			for i := range tries {
				work <- i
				if i%10 == 0 {
					r := from(a, "192.0.2.0", "user1", "password1")
					requireOutcome(t, auth.OK, r)
				}
			}
			close(work)
			all.Wait()
			require.Equal(t, c.want, binds(s, ldaptest.UserDN(0)), "binds that slapd saw")
			require.NoError(t, p.Close(t.Context()), "no dial is to bind while it is counted")
			// slapd may have read some more service binds, of dials that were given up, and have
			// them to do yet.
			ldaptest.Eventually(t, "slapd's monitor counts as many binds as its log has", func() bool {
				others := binds(s, ldaptest.UserDN(1)) + binds(s, ldaptest.ServiceDN)
				return bindsMonitored(t, s)-others == c.want
			})
			counts := map[auth.Outcome]int{}
			for _, l := range o.all() {
				counts[l.result.Outcome]++
				requireSound(t, l.result, l.credentials.Password)
			}
			t.Logf("%v; slapd saw %d searches", counts, s.LogCount(" SRCH base=\""+ldaptest.PeopleDN))
			require.Equal(t, map[auth.Outcome]int{auth.InvalidPassword: c.want, auth.TooManyAttempts: tries - c.want, auth.OK: 100}, counts)
		})
	}
}

func TestThrottle_ThousandRightPasswordsAtOnceSucceed(t *testing.T) {
	t.Parallel()
	for how, cfg := range map[string]auth.Config{"by filter": byAnyName(), "by template": byTemplate()} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
			a, o := newAuthenticator(t, throttled(t, cfg, 10, 100), newPool(t, s.URL()))
			names := spellings()
			if how == "by template" {
				names = names[:uidSpellings]
			}
			var all sync.WaitGroup
			for i := range 1000 {
				all.Go(func() { from(a, "192.0.2.1", names[i%len(names)], "password0") })
			}
			all.Wait()
			for _, l := range o.all() {
				requireOutcome(t, auth.OK, l.result)
			}
			require.Len(t, o.all(), 1000)
		})
	}
}

func TestThrottle_SpellingsShareABudgetWithATemplate(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	a, _ := newAuthenticator(t, throttled(t, byTemplate(), 10, 100), newPool(t, s.URL()))
	for i := range 100 {
		from(a, "192.0.2.1", spellings()[i%uidSpellings], "wrong")
	}
	require.Equal(t, 10, s.LogCount(` method=128`)-s.LogCount(`cn=service,`+ldaptest.BaseDN+`" method=128`), "binds of users")
}

func TestThrottle_ExhaustedSpellingSendsNothing(t *testing.T) {
	t.Parallel()
	for name, user := range map[string]string{"a user": "user0", "a name that nobody has": "nobody"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
			d := &counting{Directory: newPool(t, s.URL())}
			a, o := newAuthenticator(t, throttled(t, byFilter(), 3, 10), d)
			for range 4 {
				from(a, "192.0.2.1", user, "wrong")
			}
			require.EqualValues(t, 4, d.searches.Load(), "the fourth is found out to be the same account")
			for range 10 {
				r := from(a, "192.0.2.1", user, "wrong")
				requireOutcome(t, auth.TooManyAttempts, r)
				require.Equal(t, 20*time.Minute, r.RetryAfter.Round(time.Minute))
				require.ErrorContains(t, r.Cause, "3 failures of the account from this client in 1h0m0s")
			}
			require.EqualValues(t, 4, d.searches.Load())
			require.Len(t, o.all(), 14, "each is told of")
			require.NotEqual(t, auth.TooManyAttempts, from(a, "192.0.2.2", user, "wrong").Outcome, "another client")
			require.EqualValues(t, 5, d.searches.Load())
		})
	}
}

// counting counts what is asked of a directory, and can answer in its place.
type counting struct {
	auth.Directory
	searches, binds atomic.Int64
	searchErr       atomic.Bool // a search fails
	bind            func() (*ldappool.BindResult, error)
}

func (c *counting) SearchWithFilter(ctx context.Context, req *ldap.SearchRequest, f ldapconn.Filter) (*ldappool.SearchResult, error) {
	c.searches.Add(1)
	if c.searchErr.Load() {
		return nil, ldappool.ErrUnavailable
	}
	return c.Directory.SearchWithFilter(ctx, req, f)
}

func (c *counting) Bind(ctx context.Context, dn, password string, controls ...ldappool.Control) (*ldappool.BindResult, error) {
	c.binds.Add(1)
	if c.bind != nil {
		return c.bind()
	}
	return c.Directory.Bind(ctx, dn, password, controls...)
}

func TestThrottle_FaultsCountForNobody(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	d := &counting{Directory: newPool(t, s.URL())}
	a, _ := newAuthenticator(t, throttled(t, byFilter(), 1, 1), d)
	for _, err := range []error{ldappool.ErrTimeout, ldappool.ErrOverloaded, ldappool.ErrUnavailable, ldappool.ErrConnLost, context.DeadlineExceeded} {
		d.bind = func() (*ldappool.BindResult, error) { return nil, err }
		for range 3 {
			require.True(t, from(a, "192.0.2.1", "user0", "password0").Outcome.IsFault())
		}
	}
	d.bind = func() (*ldappool.BindResult, error) { panic("at the bind") }
	require.Panics(t, func() { from(a, "192.0.2.1", "user0", "password0") })
	d.bind = nil
	requireOutcome(t, auth.OK, from(a, "192.0.2.1", "user0", "password0"))

	away := byFilter(absentDN)
	b, _ := newAuthenticator(t, throttled(t, away, 1, 1), d)
	for range 3 {
		requireOutcome(t, auth.DirectoryUnavailable, from(b, "192.0.2.1", "user0", "password0"))
	}
}

func TestThrottle_UnknownAndAmbiguousNamesAreCountedAlike(t *testing.T) {
	t.Parallel()
	s, _ := startTree(t)
	p := newPool(t, s.URL())
	for name, spelt := range map[string][]string{
		"a name that nobody has": {"nobody", "NOBODY", "ｎobody", "no\u00adbody"},
		"an ambiguous one":       {"twin", "TWIN", "ｔwin", "Twin"},
		"a user":                 {"user0", "USER0", "ｕser0", "User0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, _ := newAuthenticator(t, throttled(t, byFilter(ldaptest.BaseDN), 5, 10), p)
			var got []string
			for i := range 12 {
				r := from(a, "192.0.2.1", spelt[i%4], "wrong")
				got = append(got, fmt.Sprint(r.Outcome == auth.TooManyAttempts))
			}
			require.Equal(t, strings.Repeat("false ", 5)+strings.TrimSpace(strings.Repeat("true ", 7)), strings.Join(got, " "))
		})
	}
}

// broken is a throttle that nobody can ask.
type broken struct{ throttle.Throttle }

func (broken) Check(context.Context, throttle.Account, string) error { return nil }

func (broken) Reserve(context.Context, throttle.Account, string) (throttle.Reservation, error) {
	return nil, context.DeadlineExceeded
}

func TestThrottle_ErrorIsAFault(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	cfg := byFilter()
	cfg.Throttle = broken{}
	requireOutcome(t, auth.InternalError, authenticate(t, cfg, newPool(t, s.URL()), "user0", "password0"))
	require.Zero(t, binds(s, ldaptest.UserDN(0)), "and no password is tried")
}
