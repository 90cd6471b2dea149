package auth_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"
	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// soon is the timeout of a login that is expected to run into it.
const soon = 250 * time.Millisecond

// isLogin reports whether a request is a login's bind and not the pool's.
func isLogin(req ldaptest.Request) bool {
	return req.Op == ldaptest.OpBind && req.DN != ldaptest.ServiceDN
}

// isFind reports whether a request is a login's search and not a ping.
func isFind(req ldaptest.Request) bool { return req.Op == ldaptest.OpSearch && req.DN != "" }

// hook answers those requests that it takes for its own, and says whether it did.
type hook func(c *ldaptest.Conn, req ldaptest.Request) bool

// newServer is a correct directory but for what the hook answers. It remembers the passwords of the
// logins it sees.
func newServer(t *testing.T, h hook) (*ldaptest.Server, *passwords) {
	t.Helper()
	directory, seen := ldaptest.NewDirectory(), &passwords{}
	return ldaptest.NewServer(t, func(c *ldaptest.Conn, req ldaptest.Request) {
		if isLogin(req) {
			seen.add(req)
		}
		if !h(c, req) {
			directory.Handle(c, req)
		}
	}), seen
}

// passwords are what logins' binds carried, "DN password" each.
type passwords struct {
	mu   sync.Mutex
	seen []string
}

func (p *passwords) add(req ldaptest.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, req.DN+" "+req.Password)
}

func (p *passwords) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.seen...)
}

// gate stops logins at some step until it is opened.
type gate struct {
	reached chan struct{} // receives once for each that came
	opened  chan struct{}
}

func newGate() *gate { return &gate{make(chan struct{}, 100), make(chan struct{})} }

// at stops the requests that stops says, and then has them answered in order.
func (g *gate) at(stops func(ldaptest.Request) bool) hook {
	return func(c *ldaptest.Conn, req ldaptest.Request) bool {
		if stops(req) {
			g.reached <- struct{}{}
			select {
			case <-g.opened:
			case <-c.Done():
			}
		}
		return false
	}
}

// warm waits until the pool has a connection for every step, so that none is dialled in a login's
// time.
func warm(t *testing.T, p *ldappool.Pool) {
	t.Helper()
	ldaptest.Eventually(t, "the pool is warm", func() bool { s := p.Stat(); return s.Search.Idle > 0 && s.Bind.Idle > 0 })
}

// TestLogin_SendsThePasswordOnceForExactlyOneEntry counts the binds in the directory's own log.
//
//nolint:tparallel // the subtests share the log
func TestLogin_SendsThePasswordOnceForExactlyOneEntry(t *testing.T) {
	t.Parallel()
	s, _ := startTree(t)
	p := newPool(t, s.URL())
	binds := func() int { // simple ones of users, when they arrive
		return s.LogCount(ldaptest.PeopleDN+`" method=128`) + s.LogCount(staffDN+`" method=128`)
	}
	for name, c := range map[string]struct {
		cfg                auth.Config
		username, password string
		outcome            auth.Outcome
		binds              int
	}{
		"the right password":             {byFilter(), "user0", "password0", auth.OK, 1},
		"a wrong password":               {byFilter(), "user0", "wrong", auth.InvalidPassword, 1},
		"an unknown user":                {byFilter(), "nobody", "password0", auth.InvalidUser, 0},
		"an ambiguous user":              {byFilter(ldaptest.BaseDN), "twin", "secret", auth.InvalidUser, 0},
		"an ambiguous user of two bases": {byFilter(ldaptest.PeopleDN, staffDN), "twin", "secret", auth.InvalidUser, 0},
		"a missing base":                 {byFilter(ldaptest.PeopleDN, absentDN), "user0", "password0", auth.DirectoryUnavailable, 0},
		"a refused name":                 {byFilter(), " user0", "password0", auth.BadRequest, 0},
		"an empty password":              {byFilter(), "user0", "", auth.BadRequest, 0},
		"the right password by template": {byTemplate(), "user1", "password1", auth.OK, 1},
		"a wrong password by template":   {byTemplate(), "user1", "wrong", auth.InvalidPassword, 1},
		"an unknown user by template":    {byTemplate(), "nobody", "wrong", auth.InvalidPassword, 1},
		"an empty password by template":  {byTemplate(), "user1", "", auth.BadRequest, 0},
	} {
		t.Run(name, func(t *testing.T) {
			before := binds()
			requireOutcome(t, c.outcome, authenticate(t, c.cfg, p, c.username, c.password))
			require.Equal(t, c.binds, binds()-before)
		})
	}
}

func TestLogin_FailedSearchSendsNoPassword(t *testing.T) {
	t.Parallel()
	answer := func(code uint16, entries ...ldaptest.Entry) hook {
		return func(c *ldaptest.Conn, req ldaptest.Request) bool {
			if isFind(req) {
				c.ReplySearch(req, code, entries...)
			}
			return isFind(req)
		}
	}
	raw := func(answer func(id int64) []byte) hook {
		return func(c *ldaptest.Conn, req ldaptest.Request) bool {
			if isFind(req) {
				c.WriteRaw(answer(req.MessageID))
				c.Close()
			}
			return isFind(req)
		}
	}
	user := ldaptest.Entry{DN: ldaptest.UserDN(0), Attributes: map[string][]string{"uid": {"user0"}}}
	other := ldaptest.Entry{DN: ldaptest.UserDN(1)}
	for name, c := range map[string]struct {
		hook hook
		want auth.Outcome
	}{
		"operationsError, as AD answers anonymous ones": {answer(1), auth.DirectoryUnavailable},
		"timeLimitExceeded with an entry":               {answer(3, user), auth.DirectoryTimeout},
		"strongerAuthRequired":                          {answer(8), auth.DirectoryUnavailable},
		"a referral":                                    {answer(10), auth.DirectoryUnavailable},
		"adminLimitExceeded with an entry":              {answer(11, user), auth.DirectoryUnavailable},
		"noSuchObject with an entry":                    {answer(32, user), auth.DirectoryUnavailable},
		"invalidCredentials (49)":                       {answer(49), auth.DirectoryUnavailable},
		"insufficientAccessRights":                      {answer(50), auth.DirectoryUnavailable},
		"busy":                                          {answer(51), auth.DirectoryUnavailable},
		"unavailable":                                   {answer(52), auth.DirectoryUnavailable},
		"unwillingToPerform":                            {answer(53), auth.DirectoryUnavailable},
		"other":                                         {answer(80), auth.DirectoryUnavailable},
		"a code that nobody knows":                      {answer(4711, user), auth.DirectoryUnavailable},
		"more entries than the size limit, and success, as Samba does": {answer(0, user, other, other), auth.InvalidUser},
		"one entry and sizeLimitExceeded":                              {answer(4, user), auth.InvalidUser},
		"an entry and the connection's end":                            {raw(func(id int64) []byte { return ldaptest.SearchEntry(id, user) }), auth.DirectoryUnavailable},
		"the connection's end":                                         {raw(func(int64) []byte { return nil }), auth.DirectoryUnavailable},
		"an answer to a bind":                                          {raw(func(id int64) []byte { return ldaptest.BindResponse(id, 0, "") }), auth.DirectoryUnavailable},
		"garbage":                                                      {raw(func(int64) []byte { return ldaptest.Garbage() }), auth.DirectoryUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, seen := newServer(t, c.hook)
			requireOutcome(t, c.want, authenticate(t, byFilter(), newPool(t, s.URL()), "user0", "password0"))
			require.Empty(t, seen.all())
		})
	}
}

func TestLogin_IgnoresSearchReferences(t *testing.T) {
	t.Parallel()
	s, seen := newServer(t, func(c *ldaptest.Conn, req ldaptest.Request) bool {
		if isFind(req) {
			c.WriteRaw(ldaptest.SearchReference(req.MessageID, "ldap://192.0.2.1/dc=example,dc=org"))
		}
		return false
	})
	r := authenticate(t, byFilter(), newPool(t, s.URL()), "user0", "password0")
	requireOutcome(t, auth.OK, r)
	require.Equal(t, []string{ldaptest.UserDN(0) + " password0"}, seen.all())
}

// TestLogin_EntryWithoutADNIsAFault: a bind with an empty name is anonymous, and some directories
// let it succeed whatever the password.
func TestLogin_EntryWithoutADNIsAFault(t *testing.T) {
	t.Parallel()
	s, seen := newServer(t, func(c *ldaptest.Conn, req ldaptest.Request) bool {
		switch {
		case isFind(req):
			c.ReplySearch(req, ldap.LDAPResultSuccess, ldaptest.Entry{Attributes: map[string][]string{"uid": {"user0"}}})
		case isLogin(req):
			c.ReplyBind(req, ldap.LDAPResultSuccess, "")
		default:
			return false
		}
		return true
	})
	r := authenticate(t, byFilter(), newPool(t, s.URL()), "user0", "password0")
	require.True(t, r.Outcome.IsFault(), "%v: %v", r.Outcome, r.Cause)
	require.Empty(t, seen.all())
}

// TestLogin_BindCodesAboutTheUserAreVerdicts has codes that slapd gives to no user's bind.
func TestLogin_BindCodesAboutTheUserAreVerdicts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code                 uint16
		byFilter, byTemplate auth.Outcome
	}{
		"noSuchObject, for an entry that is gone since": {32, auth.InvalidUser, auth.InvalidPassword},
		"inappropriateAuthentication":                   {48, auth.InvalidPassword, auth.InvalidPassword},
		"strongerAuthRequired":                          {8, auth.DirectoryUnavailable, auth.DirectoryUnavailable},
		"a referral":                                    {10, auth.DirectoryUnavailable, auth.DirectoryUnavailable},
		"confidentialityRequired":                       {13, auth.DirectoryUnavailable, auth.DirectoryUnavailable},
		"busy":                                          {51, auth.DirectoryUnavailable, auth.DirectoryUnavailable},
		"unwillingToPerform":                            {53, auth.DirectoryUnavailable, auth.DirectoryUnavailable},
		"protocolError":                                 {2, auth.InternalError, auth.InternalError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, seen := newServer(t, func(conn *ldaptest.Conn, req ldaptest.Request) bool {
				if isLogin(req) {
					conn.ReplyBind(req, c.code, "the server's own words")
				}
				return isLogin(req)
			})
			p := newPool(t, s.URL())
			r := authenticate(t, byFilter(), p, "user0", "password0")
			requireOutcome(t, c.byFilter, r)
			require.ErrorContains(t, r.Cause, "the server's own words")
			requireOutcome(t, c.byTemplate, authenticate(t, byTemplate(), p, "user0", "password0"))
			require.Len(t, seen.all(), 2, "one bind for each login")
		})
	}
}

func TestLogin_MalformedBindAnswerIsAFault(t *testing.T) {
	t.Parallel()
	for _, m := range ldaptest.MalformedAnswers() {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			s, seen := newServer(t, func(c *ldaptest.Conn, req ldaptest.Request) bool {
				if isLogin(req) {
					c.WriteRaw(m.Bytes(req.MessageID))
				}
				return isLogin(req)
			})
			p := newPool(t, s.URL(), func(c *ldappool.Config) { c.RequestTimeout = time.Second })
			r := authenticate(t, byFilter(), p, "user0", "wrong")
			require.True(t, r.Outcome.IsFault(), "%v: %v", r.Outcome, r.Cause)
			require.Len(t, seen.all(), 1)
		})
	}
}

func TestTimeout_SilentDirectoryIsATimeout(t *testing.T) {
	t.Parallel()
	for name, silent := range map[string]func(ldaptest.Request) bool{"to the search": isFind, "to the bind": isLogin} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for bound, change := range map[string]struct {
				login, request time.Duration
			}{"the login's time": {soon, patience}, "the request's time": {patience, soon}} {
				g := newGate()
				s, _ := newServer(t, g.at(silent))
				p := newPool(t, s.URL(), func(c *ldappool.Config) { c.RequestTimeout = change.request })
				warm(t, p)
				cfg := byFilter()
				cfg.Timeout = change.login
				r := authenticate(t, cfg, p, "user0", "password0")
				requireOutcome(t, auth.DirectoryTimeout, r)
				require.ErrorIs(t, r.Cause, ldappool.ErrTimeout, bound)
				require.Less(t, r.Phases.Total, patience, bound)
				require.GreaterOrEqual(t, r.Phases.Search+r.Phases.Bind, soon/2, "the silence is the directory's time, not the queue's")
				<-g.reached
			}
		})
	}
}

// TestTimeout_PausedDirectoryIsATimeout: the kernel of a stopped process still takes
// connections and bytes.
func TestTimeout_PausedDirectoryIsATimeout(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	p := newPool(t, s.URL())
	requireOutcome(t, auth.OK, authenticate(t, byFilter(), p, "user0", "password0"))
	s.Pause()
	cfg := byFilter()
	cfg.Timeout = soon
	r := authenticate(t, cfg, p, "user0", "password0")
	s.Resume()
	require.True(t, r.Outcome.IsFault(), "%v", r.Outcome)
	requireOutcome(t, auth.DirectoryTimeout, r)
}

func TestQueue_StuckOneIsAnOverload(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stops   func(ldaptest.Request) bool
		timeout time.Duration
		change  func(*ldappool.Config)
		queue   int           // logins that wait already
		waits   time.Duration // at least
	}{
		"for the search, until the login's time is over": {isFind, soon, func(*ldappool.Config) {}, 0, soon / 2},
		"for the bind, until the login's time is over":   {isLogin, soon, func(*ldappool.Config) {}, 0, soon / 2},
		"until the longest wait is over":                 {isFind, patience, func(c *ldappool.Config) { c.MaxWait = soon }, 0, soon / 2},
		"because it is full":                             {isFind, patience, func(c *ldappool.Config) { c.MaxWaiters = 2 }, 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate()
			s, _ := newServer(t, g.at(c.stops))
			p := newPool(t, s.URL(), func(cfg *ldappool.Config) {
				cfg.MaxConns = 2 // one of each kind
				c.change(cfg)
			})
			warm(t, p)
			others, _ := newAuthenticator(t, byFilter(), p)
			results := make(chan auth.Result, 1+c.queue)
			ask := func() {
				results <- others.Authenticate(context.Background(), auth.Credentials{Username: "user0", Password: "password0"})
			}
			go ask()
			<-g.reached // the one connection is taken
			for range c.queue {
				go ask()
			}
			ldaptest.Eventually(t, "others wait", func() bool { return p.Stat().Search.Waiting == c.queue })

			cfg := byFilter()
			cfg.Timeout = c.timeout
			r := authenticate(t, cfg, p, "user1", "password1")
			close(g.opened)
			for range 1 + c.queue {
				requireOutcome(t, auth.OK, <-results)
			}
			requireOutcome(t, auth.Overloaded, r)
			require.ErrorIs(t, r.Cause, ldappool.ErrOverloaded)
			require.GreaterOrEqual(t, r.Phases.Wait, c.waits)
		})
	}
}

// TestLogin_FinishesAfterItsCallerLeft: the directory has counted the try by then.
func TestLogin_FinishesAfterItsCallerLeft(t *testing.T) {
	t.Parallel()
	for name, stops := range map[string]func(ldaptest.Request) bool{"in the search": isFind, "in the bind": isLogin} {
		for _, c := range []struct {
			password string
			want     auth.Outcome
		}{{"password0", auth.OK}, {"wrong", auth.InvalidPassword}} {
			t.Run(name+", and it is "+c.want.Code(), func(t *testing.T) {
				t.Parallel()
				g := newGate()
				s, seen := newServer(t, g.at(stops))
				a, o := newAuthenticator(t, byFilter(), newPool(t, s.URL()))
				ctx, hangUp := context.WithCancel(context.Background())
				done := make(chan auth.Result, 1)
				go func() {
					done <- a.Authenticate(ctx, auth.Credentials{Username: "user0", Password: c.password})
				}()
				<-g.reached
				hangUp()
				require.Empty(t, o.all())
				close(g.opened)
				requireOutcome(t, c.want, <-done)
				require.Len(t, o.all(), 1)
				require.Equal(t, c.want, o.all()[0].result.Outcome)
				require.Equal(t, []string{ldaptest.UserDN(0) + " " + c.password}, seen.all())
			})
		}
	}
	t.Run("before it began", func(t *testing.T) {
		t.Parallel()
		s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
		a, o := newAuthenticator(t, byFilter(), newPool(t, s.URL()))
		ctx, hangUp := context.WithDeadline(context.Background(), time.Unix(0, 0))
		defer hangUp()
		requireOutcome(t, auth.OK, a.Authenticate(ctx, auth.Credentials{Username: "user0", Password: "password0"}))
		require.Len(t, o.all(), 1)
	})
}

func TestObserver_SeesEveryLoginOnce(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	a, o := newAuthenticator(t, byFilter(), newPool(t, s.URL()))
	logins := []struct {
		username, password string
		want               auth.Outcome
	}{
		{"user0", "password0", auth.OK},
		{"user0", "wrong", auth.InvalidPassword},
		{"nobody", "wrong", auth.InvalidUser},
		{"", "wrong", auth.BadRequest},
		{"user0", "", auth.BadRequest},
	}
	const rounds = 20
	var all sync.WaitGroup
	for i := range rounds * len(logins) {
		all.Go(func() {
			l := logins[i%len(logins)]
			r := a.Authenticate(t.Context(), auth.Credentials{Username: l.username, Password: l.password, RequestID: fmt.Sprint(i), Client: "here"})
			if r.Outcome != l.want {
				t.Errorf("%q %q: %v instead of %v: %v", l.username, l.password, r.Outcome, l.want, r.Cause)
			}
		})
	}
	all.Wait()
	told := map[string]auth.Outcome{}
	for _, l := range o.all() {
		require.NotContains(t, told, l.credentials.RequestID, "told twice")
		require.Equal(t, "here", l.credentials.Client)
		told[l.credentials.RequestID] = l.result.Outcome
		requireSound(t, l.result, l.credentials.Password)
	}
	require.Len(t, told, rounds*len(logins))
	for i := range rounds * len(logins) {
		require.Equal(t, logins[i%len(logins)].want, told[fmt.Sprint(i)])
	}
}

func TestObserver_SkippedPhasesAreZero(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	p := newPool(t, s.URL())
	for name, c := range map[string]struct {
		cfg                auth.Config
		username, password string
		searches, binds    bool
	}{
		"of a login by filter":       {byFilter(), "user0", "password0", true, true},
		"of a wrong password":        {byFilter(), "user0", "wrong", true, true},
		"of an unknown user":         {byFilter(), "nobody", "wrong", true, false},
		"of a login by template":     {byTemplate(), "user0", "password0", false, true},
		"of a request that is wrong": {byFilter(), "", "wrong", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			phases := authenticate(t, c.cfg, p, c.username, c.password).Phases
			require.Equal(t, c.searches, phases.Search > 0, "search")
			require.Equal(t, c.binds, phases.Bind > 0, "bind")
			if !c.searches && !c.binds {
				require.Zero(t, phases.Wait)
			}
		})
	}
}

// TestLogin_AbsentDirectoryIsAFault has many logins at once find out that the directory is away.
func TestLogin_AbsentDirectoryIsAFault(t *testing.T) {
	t.Parallel()
	for how, cfg := range map[string]auth.Config{"by filter": byFilter(), "by template": byTemplate()} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
			s.Kill()
			p := newPool(t, s.URL())
			a, o := newAuthenticator(t, cfg, p)
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() { a.Authenticate(t.Context(), auth.Credentials{Username: "user0", Password: "password0"}) })
			}
			all.Wait()
			require.Len(t, o.all(), 20)
			for _, l := range o.all() {
				requireOutcome(t, auth.DirectoryUnavailable, l.result)
				requireSound(t, l.result, "password0")
			}
			require.NoError(t, p.Close(t.Context()))
			r := authenticate(t, cfg, p, "user0", "password0")
			requireOutcome(t, auth.DirectoryUnavailable, r)
			require.ErrorIs(t, r.Cause, ldappool.ErrClosed)
		})
	}
}

func TestNew_RejectsAnInvalidConfig(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg  auth.Config
		want string
	}{
		"without filter and template":     {auth.Config{BaseDNs: []string{ldaptest.PeopleDN}}, "has no {username}"},
		"with a filter and no base":       {auth.Config{Filter: "(uid={username})"}, "needs a base DN"},
		"with a filter that is none":      {auth.Config{Filter: "uid={username}", BaseDNs: []string{ldaptest.PeopleDN}}, `auth: filter "uid={username}"`},
		"with a template that is none":    {auth.Config{DNTemplate: "{username}"}, `auth: DN template "{username}"`},
		"with a template that is for all": {auth.Config{DNTemplate: "uid=user0"}, "has no {username}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, err := auth.New(c.cfg, nil, nil)
			require.ErrorContains(t, err, c.want)
			require.Nil(t, a)
		})
	}
}
