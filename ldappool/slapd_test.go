package ldappool

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// slapdPool is a pool on a slapd. Its books are checked at every hook and at the end.
func slapdPool(t *testing.T, s *ldaptest.Slapd, changes ...func(*Config)) *Pool {
	t.Helper()
	cfg := Config{Servers: []string{s.URL()}, BindDN: ldaptest.ServiceDN, BindPassword: ldaptest.ServicePassword}
	for _, change := range changes {
		change(&cfg)
	}
	var p *Pool
	made := make(chan struct{})
	cfg.Trace = audited(cfg.Trace, func() {
		<-made
		if err := p.audit(); err != nil {
			t.Error(err)
		}
	})
	p, err := New(cfg)
	close(made)
	require.NoError(t, err)
	t.Cleanup(func() { closePool(t, p) })
	return p
}

func TestSlapd_EachAnswerIsAResult(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10, TLS: true})
	for name, change := range map[string]func(*Config){
		"ldap":     func(*Config) {},
		"ldaps":    func(c *Config) { c.Servers, c.TLS = []string{s.TLSURL()}, s.TLSConfig() },
		"StartTLS": func(c *Config) { c.StartTLS, c.TLS = true, s.TLSConfig() },
		"ldapi":    func(c *Config) { c.Servers = []string{s.LDAPIURL()} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := slapdPool(t, s, change)
			ctx := t.Context()
			found := mustSearch(t, p)
			require.Equal(t, ldaptest.UserDN(1), found.Entries[0].DN)
			require.Equal(t, []string{"user1"}, found.Entries[0].GetAttributeValues("uid"))
			require.Equal(t, p.Stat().Servers[0].URL, found.Server)
			require.Positive(t, found.Took)

			none := people()
			none.Filter = "(uid=nobody)"
			r, err := p.Search(ctx, none)
			require.NoError(t, err)
			require.EqualValues(t, ldap.LDAPResultSuccess, r.Code)
			require.Empty(t, r.Entries)

			nowhere := people()
			nowhere.BaseDN = "ou=nowhere," + ldaptest.BaseDN
			r, err = p.Search(ctx, nowhere)
			require.NoError(t, err)
			require.EqualValues(t, ldap.LDAPResultNoSuchObject, r.Code)
			require.Equal(t, ldaptest.BaseDN, r.MatchedDN)

			many := people()
			many.Filter = "(uid=*)"
			r, err = p.Search(ctx, many)
			require.NoError(t, err)
			require.EqualValues(t, ldap.LDAPResultSizeLimitExceeded, r.Code)
			require.Len(t, r.Entries, 2, "what came before the limit")

			require.Positive(t, mustBind(t, p).Took)
			for _, c := range []struct {
				dn, password string
				code         uint16
			}{
				{ldaptest.UserDN(1), "wrong", ldap.LDAPResultInvalidCredentials},
				{"uid=nobody," + ldaptest.PeopleDN, "any", ldap.LDAPResultInvalidCredentials},
				{"no name", "any", ldap.LDAPResultInvalidDNSyntax},
				{ldaptest.UserDN(2), ldaptest.Password(2), ldap.LDAPResultSuccess},
			} {
				b, err := p.Bind(ctx, c.dn, c.password)
				require.NoError(t, err)
				require.Equal(t, c.code, b.Code, c.dn)
			}
		})
	}
}

func TestSlapd_IsSharedByManyCallers(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10})
	p := slapdPool(t, s, sizes(8, 2), func(c *Config) { c.MaxWait = 20 * time.Second })
	var callers sync.WaitGroup
	for i := range 64 {
		callers.Go(func() {
			for n := range 15 {
				if err := login(t, p, (i+n)%10, n%4 == 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	require.LessOrEqual(t, p.Stat().Dials, int64(2*8+8))
	require.Zero(t, p.Stat().Retries)
}

// login does what a login does, for the i-th user. A verdict must be right; an error is a fault.
func login(t *testing.T, p *Pool, i int, wrong bool) error {
	t.Helper()
	req := people()
	req.Filter = "(uid=" + ldaptest.Username(i) + ")"
	r, err := p.Search(context.Background(), req)
	if err != nil {
		return err
	}
	if r.Code != ldap.LDAPResultSuccess || len(r.Entries) != 1 {
		t.Errorf("search: code %d (%s), %d entries", r.Code, r.Diagnostic, len(r.Entries))
		return nil
	}
	password, want := ldaptest.Password(i), uint16(ldap.LDAPResultSuccess)
	if wrong {
		password, want = "wrong", ldap.LDAPResultInvalidCredentials
	}
	b, err := p.Bind(context.Background(), r.Entries[0].DN, password)
	if err != nil {
		return err
	}
	if b.Code != want {
		t.Errorf("bind: code %d, want %d (%s)", b.Code, want, b.Diagnostic)
	}
	return nil
}

// load runs callers that log in, until stop is called, which returns the errors.
func load(t *testing.T, p *Pool, callers int) (stop func() []error) {
	t.Helper()
	var mu sync.Mutex
	var errs []error
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	pace := time.NewTicker(time.Millisecond) // of all callers together
	for i := range callers {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if err := login(t, p, (i+n)%10, n%4 == 0); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
					// A caller that is refused at once pauses before it asks again, or nothing else
					// gets the processor.
					<-pace.C
				}
			}
		})
	}
	end := func() { cancel(); all.Wait(); pace.Stop() }
	t.Cleanup(end)
	return func() []error {
		end()
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(errs)
	}
}

// served waits until some more logins have got their connections.
func served(t *testing.T, p *Pool) {
	t.Helper()
	const logins = 50
	from := p.Stat().Bind.Acquired
	until(t, p, "logins", func(s *Stat) bool { return s.Bind.Acquired >= from+logins })
}

func TestSlapd_LoginsSucceedDespiteItsIdleLimit(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10, IdleTimeout: 2 * time.Second})
	p := slapdPool(t, s, sizes(8, 2), func(c *Config) { c.HealthCheckInterval = time.Minute })
	// A burst, then silence until slapd has cut every connection, twice; and once in the middle of
	// the cutting.
	for range 2 {
		var burst sync.WaitGroup
		for i := range 16 {
			burst.Go(func() {
				if err := login(t, p, i%10, i%4 == 0); err != nil {
					t.Error(err)
				}
			})
		}
		burst.Wait()
		from := s.ClosedIdle()
		ldaptest.Eventually(t, "slapd cuts an idle connection", func() bool { return s.ClosedIdle() > from })
		if err := login(t, p, 1, false); err != nil {
			t.Error(err)
		}
	}
	require.Positive(t, p.Stat().Retired[RetiredPeerClosed])
	require.Equal(t, ServerUsable, p.Stat().Servers[0].State)
}

func TestSlapd_KilledUnderLoadGivesOnlyRightVerdicts(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10})
	p := slapdPool(t, s, sizes(8, 2))
	stop := load(t, p, 16)
	for range 2 {
		served(t, p)
		s.Kill()
		until(t, p, "the server is down", func(st *Stat) bool { return st.Servers[0].State == ServerDown })
		s.Start()
		until(t, p, "the server is usable", func(st *Stat) bool { return st.Servers[0].State == ServerUsable })
	}
	served(t, p)
	for _, err := range stop() {
		require.True(t, errors.Is(err, ErrUnavailable) || errors.Is(err, ErrConnLost), "%v", err)
	}
	require.NoError(t, login(t, p, 1, false))
}

func TestSlapd_PausedUnderLoadGivesOnlyRightVerdicts(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10})
	p := slapdPool(t, s, sizes(8, 2), func(c *Config) {
		c.RequestTimeout, c.DialTimeout, c.MaxWait = time.Second, 500*time.Millisecond, 500*time.Millisecond
	})
	stop := load(t, p, 16)
	served(t, p)
	s.Pause()
	until(t, p, "the server is down", func(st *Stat) bool { return st.Servers[0].State == ServerDown })
	s.Resume()
	until(t, p, "the server is usable", func(st *Stat) bool { return st.Servers[0].State == ServerUsable })
	served(t, p)
	for _, err := range stop() {
		require.NotErrorIs(t, err, ErrClosed)
		require.True(t, isKnown(err), "%v", err)
	}
	require.NoError(t, login(t, p, 1, false))
}

func TestSlapd_RestartCostsOnlyOperationsUnderWay(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10})
	p := slapdPool(t, s)
	until(t, p, "warm connections", func(st *Stat) bool { return st.Bind.Idle == 2 && st.Search.Idle == 2 })
	s.Restart()
	// All connections died, and nobody has a request under way: the next login must succeed,
	// whatever it meets.
	until(t, p, "the server is usable", func(st *Stat) bool { return st.Servers[0].State == ServerUsable })
	require.NoError(t, login(t, p, 1, false))
}
