package auth_test

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/credcache"
	"authsvc/internal/ldaptest"
	"authsvc/internal/throttle"
	"authsvc/ldappool"
	"authsvc/ldappool/ldapconn"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// account is an entry of the model's directory.
type account struct {
	password         string
	disabled, member bool
}

// bind is what the directory said of a password, and when.
type bind struct {
	at           time.Time
	dn, password string
	code         uint16 // 53: the account is disabled
}

// truth is a directory that changes, takes its time and keeps what it has said.
type truth struct {
	mu         sync.Mutex
	accounts   map[string]*account    // by DN
	members    map[string][]time.Time // by DN: when the directory said that it is a member of staff
	binds      []bind
	latency    time.Duration // of half an operation
	away       bool
	operations time.Duration // so far
	aways      []time.Time   // when an operation failed
}

// modelNames are the names that are typed, with their DNs.
var modelNames = map[string]string{"alice": ldaptest.UserDN(0), "Alice": ldaptest.UserDN(0), "bob": ldaptest.UserDN(1), "nobody": ""}

// operate takes the time of an operation, in the middle of which the directory decides.
func (d *truth) operate(decide func()) error {
	d.mu.Lock()
	d.operations++
	latency := d.latency + d.operations // no two end at once, so that a failure can be reproduced
	d.mu.Unlock()
	time.Sleep(latency)
	defer time.Sleep(latency)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away {
		d.aways = append(d.aways, time.Now())
		return ldappool.ErrUnavailable
	}
	decide()
	return nil
}

func (d *truth) SearchWithFilter(_ context.Context, req *ldap.SearchRequest, f ldapconn.Filter) (*ldappool.SearchResult, error) {
	found := &ldappool.SearchResult{}
	filter := cmp.Or(f.String(), req.Filter)
	return found, d.operate(func() {
		for name, dn := range modelNames {
			switch {
			case dn == "":
			case strings.Contains(filter, "(uid="+name+")"):
				found.Entries = []*ldap.Entry{entryOf(dn, map[string][]string{"uid": {strings.ToLower(name)}})}
			case strings.Contains(filter, dn) && d.accounts[dn].member:
				found.Entries = []*ldap.Entry{entryOf(groupDN("staff"), map[string][]string{"cn": {"staff"}})}
				d.members[dn] = append(d.members[dn], time.Now())
			}
		}
	})
}

func (d *truth) Bind(_ context.Context, dn, password string, _ ...ldappool.Control) (*ldappool.BindResult, error) {
	answer := &ldappool.BindResult{}
	return answer, d.operate(func() {
		switch a := d.accounts[dn]; {
		case a.disabled:
			answer.Code, answer.Diagnostic = ldap.LDAPResultUnwillingToPerform, "Account inactivated. Contact system administrator."
		case a.password != password:
			answer.Code = ldap.LDAPResultInvalidCredentials
		}
		d.binds = append(d.binds, bind{time.Now(), dn, password, answer.Code})
	})
}

// counted is a throttle that keeps the failures that it counts.
type counted struct {
	throttle.Throttle
	mu       sync.Mutex
	failures map[throttle.Account]map[string]int // by account and client
	guesses  int
}

func (c *counted) count(account throttle.Account, client string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failures[account] == nil {
		c.failures[account] = map[string]int{}
	}
	c.failures[account][client]++
}

func (c *counted) Count(ctx context.Context, account throttle.Account, client string) {
	if account != throttle.AnyAccount {
		c.count(account, client)
		c.mu.Lock()
		c.guesses++
		c.mu.Unlock()
	}
	c.Throttle.Count(ctx, account, client)
}

func (c *counted) Reserve(ctx context.Context, account throttle.Account, client string) (throttle.Reservation, error) {
	r, err := c.Throttle.Reserve(ctx, account, client)
	if err != nil {
		return nil, err
	}
	return countedReservation{r, func() { c.count(account, client) }}, nil
}

type countedReservation struct {
	throttle.Reservation
	failed func()
}

func (r countedReservation) Settle(ctx context.Context, v throttle.Verdict) {
	if v == throttle.Failed {
		r.failed()
	}
	r.Reservation.Settle(ctx, v)
}

// asked is a request and what came of it.
type asked struct {
	auth.Credentials
	began, ended time.Time
	exhausted    bool // the client was, before and after
	result       auth.Result
	source       auth.Source
}

// outcome is what a reverse proxy sees of a result.
func (q *asked) outcome() auth.Outcome {
	switch o := q.result.Outcome; o {
	case auth.AccountDisabled, auth.InvalidUser:
		return auth.InvalidPassword
	default:
		return o
	}
}

// decided is a login that the observer got, with the time in which it was made.
type decided struct{ asked }

// verifyModel drives an Authenticator against a truth.
type verifyModel struct {
	cfg      credcache.Config
	dir      *truth
	throttle *counted
	a        *auth.Authenticator
	uniform  bool
	start    time.Time

	mu     sync.Mutex // guards what follows
	logins []*decided
	done   []*asked
	all    sync.WaitGroup
	forgot []time.Time
}

// LoginDone keeps a login.
func (m *verifyModel) LoginDone(_ context.Context, c auth.Credentials, r auth.Result) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.logins = append(m.logins, &decided{asked{Credentials: c, began: now.Add(-r.Phases.Total), ended: now, result: r}})
}

const modelFailures = 4 // of one account from one client, if the throttle is strict

func newVerifyModel(t *rapid.T) *verifyModel {
	seconds := func(of ...int) *rapid.Generator[time.Duration] {
		return rapid.Map(rapid.SampledFrom(of), func(n int) time.Duration { return time.Duration(n) * time.Second })
	}
	failures := rapid.SampledFrom([]int{10_000, modelFailures}).Draw(t, "failures")
	memory, err := throttle.New(throttle.Config{Failures: failures, Window: 1000 * time.Hour, MaxWait: 5 * time.Second})
	require.NoError(t, err)
	m := &verifyModel{
		start: time.Now(),
		cfg: credcache.Config{
			TTL: seconds(60, 5).Draw(t, "TTL"), FailureTTL: seconds(10, 30, 0).Draw(t, "failure TTL"), Stale: seconds(0, 60).Draw(t, "stale"),
			Size: rapid.SampledFrom([]int{1000, 2}).Draw(t, "size"),
		},
		dir:      &truth{accounts: map[string]*account{ldaptest.UserDN(0): {password: "one"}, ldaptest.UserDN(1): {password: "two"}}, members: map[string][]time.Time{}},
		throttle: &counted{Throttle: memory, failures: map[throttle.Account]map[string]int{}},
	}
	cfg := inGroups()
	cfg.Dialect, cfg.Throttle, cfg.ThrottleWait, cfg.Remember = named("389ds"), m.throttle, 5*time.Second, m.cfg
	cfg.UniformDelay = seconds(0, 1).Draw(t, "uniform delay")
	m.uniform = cfg.UniformDelay > 0
	m.a, err = auth.New(cfg, m.dir, m)
	require.NoError(t, err)
	return m
}

// change changes the directory while it decides nothing.
func (m *verifyModel) change(t *rapid.T) {
	m.dir.mu.Lock()
	defer m.dir.mu.Unlock()
	a := m.dir.accounts[ldaptest.UserDN(rapid.IntRange(0, 1).Draw(t, "user"))]
	switch rapid.IntRange(0, 5).Draw(t, "change") {
	case 0:
		a.disabled = !a.disabled
	case 1:
		a.member = !a.member
	case 2:
		m.dir.away = !m.dir.away
	case 3:
		m.dir.latency = time.Duration(rapid.IntRange(0, 700).Draw(t, "ms")) * time.Millisecond
	default:
		a.password = rapid.SampledFrom([]string{"one", "two", "three"}).Draw(t, "new password")
	}
}

// ask sends a request, which ends in its own time.
func (m *verifyModel) ask(t *rapid.T) {
	c := auth.Credentials{
		Username: rapid.SampledFrom([]string{"alice", "alice", "Alice", "bob", "nobody"}).Draw(t, "name"),
		Password: rapid.SampledFrom([]string{"one", "two", "three"}).Draw(t, "password"),
		Client:   rapid.SampledFrom([]string{device, device, "192.0.2.2"}).Draw(t, "client"),
	}
	if rapid.IntRange(0, 9).Draw(t, "path") > 0 {
		c.Forward = &auth.Forward{}
		if rapid.Bool().Draw(t, "for staff") {
			c.Forward.Required = []auth.Requirement{{"staff"}}
		}
	}
	q := &asked{Credentials: c, began: time.Now()}
	m.all.Go(func() {
		before := m.isExhausted(c)
		if c.Forward == nil {
			q.result = m.a.Authenticate(context.Background(), c)
		} else {
			q.result, q.source = m.a.Verify(context.Background(), c)
		}
		q.ended, q.exhausted = time.Now(), before && m.isExhausted(c)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.done = append(m.done, q)
	})
	synctest.Wait() // it asks the directory, or waits for another request
}

// isExhausted reports whether a client has no attempt left for an account.
func (m *verifyModel) isExhausted(c auth.Credentials) bool {
	dn := modelNames[c.Username]
	return dn != "" && m.throttle.Check(context.Background(), throttle.ByEntry(dn), c.Client) != nil
}

// forget drops everything, as SIGHUP does.
func (m *verifyModel) forget() {
	m.a.Forget("")
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgot = append(m.forgot, time.Now())
}

// said returns the last answer of the directory to a password in a span of time, with one of the
// codes.
func (m *verifyModel) said(dn, password string, from, to time.Time, codes ...uint16) (at time.Time) {
	for _, b := range m.dir.binds {
		if b.dn == dn && (b.password == password || b.code == ldap.LDAPResultUnwillingToPerform) && slices.Contains(codes, b.code) && within(b.at, from, to) {
			at = b.at
		}
	}
	return at
}

func within(at, from, to time.Time) bool { return !at.Before(from) && !at.After(to) }

// check compares all that was answered with all that the directory has said.
func (m *verifyModel) check(t *rapid.T) {
	defer func() {
		if t.Failed() {
			m.tell(t)
		}
	}()
	slices.SortStableFunc(m.done, func(a, b *asked) int { return a.began.Compare(b.began) })
	for _, q := range m.done {
		dn := modelNames[q.Username]
		switch q.outcome() {
		case auth.OK, auth.NotPermitted:
			m.checkAccepted(t, q, dn)
		case auth.InvalidPassword:
			m.checkRejected(t, q, dn)
		case auth.DirectoryUnavailable:
			require.True(t, slices.ContainsFunc(m.dir.aways, func(at time.Time) bool { return within(at, q.began.Add(-patience), q.ended) }), "a fault without one: %v", q.result.Cause)
		case auth.TooManyAttempts, auth.Overloaded:
		default:
			require.Fail(t, "unexpected", "%v: %v", q.result.Outcome, q.result.Cause)
		}
		if q.exhausted && !m.joined(q) {
			require.True(t, q.outcome() == auth.TooManyAttempts || q.outcome().IsFault(), "exhausted, and answered %v", q.outcome())
		}
		if q.Forward != nil && m.cfg.Size > 2 {
			m.checkRepeated(t, q, dn)
		}
	}
	m.checkCounts(t)
}

// tell logs what happened.
func (m *verifyModel) tell(t *rapid.T) {
	since := func(at time.Time) time.Duration { return at.Sub(m.start) }
	for _, b := range m.dir.binds {
		t.Logf("%v: bind %s %s: %d", since(b.at), b.dn, b.password, b.code)
	}
	for _, at := range m.forgot {
		t.Logf("%v: all is forgotten", since(at))
	}
	for _, l := range m.logins {
		t.Logf("%v-%v: login %s %s %s, forward %v: %v", since(l.began), since(l.ended), l.Client, l.Username, l.Password, l.Forward != nil, l.result.Outcome)
	}
	for _, q := range m.done {
		t.Logf("%v-%v: request %s %s %s, forward %v: %v %v %v", since(q.began), since(q.ended), q.Client, q.Username, q.Password, q.Forward, q.result.Outcome, q.source, q.result.Cause)
	}
}

// joined reports whether another request with the same credentials was under way when one began:
// its attempt was taken from the budget before, and they may share an answer.
func (m *verifyModel) joined(q *asked) bool {
	return slices.ContainsFunc(m.done, func(o *asked) bool {
		return o != q && same(o.Credentials, q.Credentials) && within(q.began, o.began, o.ended)
	})
}

func same(a, b auth.Credentials) bool {
	return a.Username == b.Username && a.Client == b.Client && a.Password == b.Password && (a.Forward == nil) == (b.Forward == nil)
}

// checkAccepted: the directory accepted the password within the TTL, or longer ago while it is
// away. It has not said since, in an answer that was given before the request, that the password is
// wrong or the account disabled, and nothing was forgotten. It said within the same time that the
// user is in the group.
func (m *verifyModel) checkAccepted(t *rapid.T, q *asked, dn string) {
	from := q.began
	switch q.source {
	case auth.FromCache:
		from = from.Add(-m.cfg.TTL)
	case auth.FromStale:
		from = from.Add(-m.cfg.TTL - m.cfg.Stale)
		require.True(t, slices.ContainsFunc(m.dir.aways, func(at time.Time) bool { return within(at, q.began.Add(-patience), q.ended) }), "stale, and the directory is not away")
	case auth.FromDirectory:
		from = from.Add(-10 * time.Second) // a login that was under way
	}
	at := m.said(dn, q.Password, from, q.ended, ldap.LDAPResultSuccess)
	require.False(t, at.IsZero(), "accepted (%v), and the directory did not", q.source)
	for _, l := range m.logins {
		if same(l.Credentials, q.Credentials) && l.failed() && l.ended.Before(q.began) {
			require.False(t, at.Before(l.began), "accepted (%v), and rejected since", q.source)
		}
		if l.result.Outcome == auth.AccountDisabled && modelNames[l.Username] == dn && l.ended.Before(q.began) {
			require.False(t, at.Before(l.began), "accepted (%v), and known to be disabled", q.source)
		}
	}
	if q.source != auth.FromDirectory {
		for _, f := range m.forgot {
			require.False(t, f.Before(q.began) && at.Before(f) && !m.joined(q), "accepted (%v), and forgotten", q.source)
		}
	}
	if q.result.Outcome == auth.OK && q.Forward != nil && len(q.Forward.Required) > 0 {
		require.True(t, slices.ContainsFunc(m.dir.members[dn], func(at time.Time) bool { return within(at, from, q.ended) }), "not a member of staff")
	}
}

// checkRejected: the directory rejected the password within the failure TTL, or has no such user.
func (m *verifyModel) checkRejected(t *rapid.T, q *asked, dn string) {
	from := q.began.Add(-10 * time.Second)
	if q.source == auth.FromCache {
		from = q.began.Add(-m.cfg.FailureTTL)
	}
	if dn != "" {
		at := m.said(dn, q.Password, from, q.ended, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultUnwillingToPerform)
		require.False(t, at.IsZero(), "rejected (%v), and the directory did not", q.source)
	}
	for _, l := range m.logins { // one that was counted
		if same(l.Credentials, q.Credentials) && l.failed() && within(l.ended, from, q.ended) {
			return
		}
	}
	require.Fail(t, "rejected, and not counted", "%v", q.source)
}

// failed reports whether a login counts as a failure.
func (l *decided) failed() bool {
	switch l.result.Outcome {
	case auth.InvalidUser, auth.InvalidPassword, auth.AccountDisabled:
		return true
	}
	return false
}

// checkRepeated: what the directory has said to the same client is not asked again while it counts.
func (m *verifyModel) checkRepeated(t *rapid.T, q *asked, dn string) {
	var last *decided
	for _, l := range m.logins {
		if !l.ended.Before(q.began) {
			continue
		}
		if same(l.Credentials, q.Credentials) && l.result.Outcome.IsVerdict() {
			last = l
		} else if last != nil && (modelNames[l.Username] == dn && (l.result.Outcome == auth.AccountDisabled || l.result.PasswordSeen != last.result.PasswordSeen)) {
			last = nil // it may be forgotten
		}
	}
	if last == nil || last.result.Outcome == auth.AccountDisabled || slices.ContainsFunc(m.forgot, func(at time.Time) bool { return within(at, last.began, q.ended) }) {
		return
	}
	ttl := m.cfg.TTL
	if !last.result.PasswordSeen {
		ttl = m.cfg.FailureTTL
	}
	if !q.ended.Before(last.began.Add(ttl)) || slices.ContainsFunc(m.logins, func(l *decided) bool { return modelNames[l.Username] == dn && within(l.ended, q.began, q.ended) }) {
		return
	}
	require.Contains(t, []auth.Source{auth.FromCache, auth.FromNothing}, q.source, "asked again: %v", q.result)
}

// checkCounts: each failed login is one count for its client and account, and each password that
// got no verdict at most one. Nothing else counts.
func (m *verifyModel) checkCounts(t *rapid.T) {
	for name, dn := range modelNames {
		if dn == "" || name != strings.ToLower(name) {
			continue
		}
		for _, client := range []string{device, "192.0.2.2"} {
			failed, undecided := 0, 0
			for _, l := range m.logins {
				if modelNames[l.Username] == dn && l.Client == client {
					if m.counts(l) {
						failed++
					}
					if !l.result.Outcome.IsVerdict() {
						undecided++
					}
				}
			}
			got := m.throttle.failures[throttle.ByEntry(dn)][client]
			require.GreaterOrEqual(t, got, failed, name)
			require.LessOrEqual(t, got, failed+min(undecided, m.throttle.guesses), name)
		}
	}
}

// counts reports whether a login is counted: a disabled account is where it looks like a wrong
// password.
func (m *verifyModel) counts(l *decided) bool {
	return l.failed() && (l.result.Outcome != auth.AccountDisabled || m.uniform || l.Forward != nil)
}

// TestVerify_AgreesWithTheDirectory lets requests, changes of the directory, outages and time pass
// in any order, and then compares every answer with what the directory had said by then.
func TestVerify_AgreesWithTheDirectory(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			m := newVerifyModel(t)
			t.Repeat(map[string]func(*rapid.T){
				"ask":     m.ask,
				"and ask": m.ask,
				"again":   m.ask,
				"change":  m.change,
				"forget": func(t *rapid.T) {
					if rapid.IntRange(0, 4).Draw(t, "really") == 0 {
						m.forget()
					}
				},
				"time passes": func(t *rapid.T) {
					time.Sleep(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
				},
			})
			m.all.Wait()
			m.check(t)
		})
	})
}
