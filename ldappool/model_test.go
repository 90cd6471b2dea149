package ldappool

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestModel_VerdictsStayRightUnderAnyFaults has several callers and several faults at the
// same time, as rapid makes them up: -rapid.checks says how often. What fails is made smaller and
// written to testdata/rapid, from where every later run tries it first; -rapid.failfile tries
// another file, -rapid.seed a number.
func TestModel_VerdictsStayRightUnderAnyFaults(t *testing.T) {
	t.Parallel()
	kept, err := filepath.Glob(filepath.Join("testdata", "rapid", t.Name(), "*.fail"))
	require.NoError(t, err)
	runs, failed := 0, false
	rapid.Check(t, func(t *rapid.T) {
		plan := drawPlan(t)
		// The goroutines' order is not drawn: what failed once is tried some times before it is
		// said to be well.
		tries, before := 1, failed
		if runs++; failed || runs <= len(kept) {
			tries = 20
		}
		failed = true // and what fails does not come to the end
		for range tries {
			rapid.SyncTest(t, func(t *rapid.T) {
				s := newScene(t, plan)
				s.play()
				s.report(t)
			})
		}
		failed = before
	})
}

// What the model knows of the pool's clocks.
const (
	maxWait        = 2 * time.Second
	requestTimeout = 5 * time.Second
	betweenRefused = 30 * time.Second
)

// modelRun is one run of the model.
type modelRun struct {
	*plan
	net     *fakeNet
	pool    *Pool
	began   time.Time
	changes map[string]int // of the service password, by host; by planned faults

	mostConns int // the highest MaxConns that was in force

	mu         sync.Mutex // guards what follows
	closed     bool       // Close was called
	wrong      []wrong
	hookEvents hookEvents
}

// wrong is a rule of the model that was broken.
type wrong struct {
	rule string
	err  error
}

// hookEvents counts the calls of the hooks.
type hookEvents struct {
	acquired, rejected, operated, repeated, dialed, failedDials, retired int64
}

// newScene makes the network and the pool of a plan.
func newScene(t *rapid.T, plan *plan) *modelRun {
	s := &modelRun{plan: plan, net: newFakeNet(plan.hosts...), began: time.Now(), changes: map[string]int{}, mostConns: plan.conns}
	for _, h := range s.net.hosts {
		for _, steps := range plan.callers {
			for _, st := range steps {
				h.passwords[st.dn()], h.second = st.password(), secondPassword
			}
		}
	}
	s.pool = s.net.start(t, plan.configure, func(c *Config) { c.Trace = s.trace() })
	return s
}

// trace counts.
func (s *modelRun) trace() Trace {
	count := func(err error, good, bad *int64) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err == nil {
			*good++
		} else {
			*bad++
		}
	}
	return Trace{
		Acquired: func(_ context.Context, e AcquireEvent) {
			count(e.Err, &s.hookEvents.acquired, &s.hookEvents.rejected)
			if e.Wait > maxWait+minPing {
				s.fail("a caller waited too long", "%v for a connection: %w", e.Wait, e.Err)
			}
		},
		Operated: func(_ context.Context, e OperationEvent) {
			count(nil, &s.hookEvents.operated, nil)
			if e.Retry {
				count(nil, &s.hookEvents.repeated, nil)
			}
		},
		Dialed:  func(e DialEvent) { count(e.Err, &s.hookEvents.dialed, &s.hookEvents.failedDials) },
		Retired: func(RetireEvent) { count(nil, &s.hookEvents.retired, nil) },
	}
}

// fail notes that a rule was broken.
func (s *modelRun) fail(rule, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrong = append(s.wrong, wrong{rule, fmt.Errorf(format, args...)})
}

// report fails the run where a rule was broken. What it says of one fault is always the same: by
// that rapid knows it again.
func (s *modelRun) report(t *rapid.T) {
	if len(s.wrong) == 0 {
		return
	}
	var rules []string
	for _, w := range s.wrong {
		t.Logf("%s: %v", w.rule, w.err)
		rules = append(rules, w.rule)
	}
	t.Logf("%s", s.plan)
	slices.Sort(rules)
	t.Fatalf("%s", strings.Join(slices.Compact(rules), "; "))
}

// play runs the plan, ends all faults, and checks the results.
func (s *modelRun) play() {
	var all sync.WaitGroup
	for _, steps := range s.callers {
		all.Go(func() {
			for _, st := range steps {
				time.Sleep(st.after)
				s.ask(&st)
			}
		})
	}
	all.Go(func() {
		for _, m := range s.faults {
			time.Sleep(m.after)
			applyFault(s.net.hosts[m.host], m.kind)
			if strings.HasPrefix(m.kind, "change the password") {
				s.changes[m.host]++
			}
		}
	})
	all.Go(func() {
		for _, u := range s.turns {
			time.Sleep(u.after)
			s.reconfigure(&u)
		}
	})
	if s.closeAt > 0 {
		all.Go(func() {
			time.Sleep(s.closeAt)
			s.close()
		})
	}
	all.Wait()
	if s.closeAt == 0 {
		s.recover()
	}
	synctest.Wait()
	s.judge()
	for _, steps := range s.callers {
		for _, st := range steps {
			s.judgeBinds(&st)
		}
	}
}

// reconfigure puts another configuration in force.
func (s *modelRun) reconfigure(u *turn) {
	cfg := *s.pool.config()
	u.apply(&cfg, s.plan)
	s.mostConns = max(s.mostConns, cfg.MaxConns)
	err := s.pool.Reconfigure(cfg)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && (!errors.Is(err, ErrClosed) || !s.closed) {
		s.wrong = append(s.wrong, wrong{"Reconfigure failed", err})
	}
}

// close closes the pool in the midst of it all. It must return by its deadline whatever the network
// does.
func (s *modelRun) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), s.closeWithin)
	defer cancel()
	began := time.Now()
	err := s.pool.Close(ctx)
	if took := time.Since(began); took > s.closeWithin+closeGrace {
		s.fail("Close was late", "it took %v of %v: %w", took, s.closeWithin, err)
	}
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		s.fail("Close failed", "%w", err)
	}
	if st := s.pool.Stat(); st.Search.InUse+st.Bind.InUse > 0 {
		s.fail("Close left callers behind", "%+v", st)
	}
	if _, err := s.pool.Search(context.Background(), people()); !errors.Is(err, ErrClosed) {
		s.fail("a closed pool works", "%v", err)
	}
}

// recover ends all faults, and has logins succeed soon.
func (s *modelRun) recover() {
	// As long as a dial, a probe and its pause may take, with what is already hung.
	bound := 10 * time.Second
	for _, h := range s.net.hosts {
		for _, kind := range []string{"resume", "accept", "be well", "change the password back"} {
			applyFault(h, kind)
		}
		if h.refusedDials() > 0 {
			// Each pause is twice the one before, so the last is as long as all others and the
			// first.
			bound = 10*time.Second + betweenRefused + time.Since(s.began)
		}
	}
	s.reconfigure(&turn{kind: "as at first"})
	time.Sleep(bound)
	for range 2 {
		s.ask(&step{kind: "must search", uid: ldaptest.Username(1)})
		s.ask(&step{kind: "must bind", uid: ldaptest.Username(1)})
	}
}

// judge checks the idle pool.
func (s *modelRun) judge() {
	if err := s.pool.audit(); err != nil {
		s.fail("the books are wrong", "%w", err)
	}
	st := s.pool.Stat()
	if st.Search.Waiting+st.Bind.Waiting+st.Search.InUse+st.Bind.InUse > 0 {
		s.fail("a connection did not come back", "%+v", st)
	}
	if _, most := s.net.used(); most > s.mostConns {
		s.fail("too many connections", "%d of %d", most, s.mostConns)
	}
	var attempts int
	for _, h := range s.net.hosts {
		attempts += len(h.attempts())
		elapsed := int(time.Since(s.began) / betweenRefused)
		if most := (s.changes[h.name]+len(s.turns))*(maxBinds+1) + elapsed; h.refusedDials() > most {
			s.fail("too many refused binds", "%s refused %d service binds of %d", h.name, h.refusedDials(), most)
		}
	}
	s.mu.Lock()
	told := s.hookEvents
	s.mu.Unlock()
	retired, dialing := int64(0), int64(st.Search.Dialing+st.Bind.Dialing)
	for _, n := range st.Retired {
		retired += n
	}
	for what, holds := range map[string]bool{
		"dials":    told.dialed+told.failedDials == st.Dials-dialing && int64(attempts) <= st.Dials,
		"failures": told.failedDials == st.DialErrors || s.closeAt > 0 && told.failedDials <= st.DialErrors,
		"retired":  told.retired == retired,
		"operated": told.operated == told.acquired && told.acquired <= st.Search.Acquired+st.Bind.Acquired,
		"retries":  told.repeated <= st.Retries,
		"refused":  told.rejected >= st.Refused,
	} {
		if !holds {
			s.fail("counters do not add up", "%s: %+v, %d attempts, %+v", what, told, attempts, st)
		}
	}
}

// judgeBinds counts how often a user's bind was sent: what counts tries must not be made to count
// one twice.
func (s *modelRun) judgeBinds(st *step) {
	most, sent := 2, 0
	if s.rule == RetryUnsent {
		most = 1
	}
	for _, h := range s.net.hosts {
		sent += len(h.bindsOf(st.dn()))
	}
	if sent > most {
		s.fail("a bind was sent too often", "%d times: %+v", sent, st)
	}
}

// failureModes are ways to answer every request.
var failureModes = map[string]func(p *peer, r *request) bool{
	"be well":       nil,
	"lose answers":  func(p *peer, _ *request) bool { p.cut(); return true },
	"halve answers": func(p *peer, r *request) bool { halfAnswer(p, r); return true },
	"talk nonsense": func(p *peer, _ *request) bool { p.write(ldaptest.Garbage()); return true },
	"be busy":       beBusy,
	"answer slowly": func(*peer, *request) bool { time.Sleep(200 * time.Millisecond); return false },
}

// beBusy declines what logins ask.
func beBusy(p *peer, r *request) bool {
	return answers("search", ldap.LDAPResultBusy)(p, r) || answers("bind", ldap.LDAPResultUnavailable)(p, r)
}

// ask does one operation and judges what comes of it.
func (s *modelRun) ask(st *step) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if st.limit > 0 && !st.leave {
		ctx, cancel = context.WithTimeout(ctx, st.limit)
		defer cancel()
	}
	if st.limit > 0 && st.leave {
		time.AfterFunc(st.limit, cancel)
	}
	began := time.Now()
	code, want, err := s.operation(ctx, st)
	took := time.Since(began)
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	switch {
	case err == nil && mayServeElsewhere("search", code) && !strings.HasPrefix(st.kind, "must"):
	case err == nil && code != want:
		s.fail("a wrong verdict", "%+v: code %d, want %d", st, code, want)
	case err != nil && st.limit == 0 && s.fair():
		s.fail("no login although nothing happened", "%+v: %w", st, err)
	case err != nil && strings.HasPrefix(st.kind, "must"):
		s.fail("no login although all is well", "%s: %w", st.kind, err)
	case errors.Is(err, context.Canceled) && !st.leave:
		s.fail("an error that is not true", "canceled, and nobody did: %w", err)
	case errors.Is(err, ErrClosed) && !closed:
		s.fail("an error that is not true", "closed, and nobody did: %w", err)
	case err != nil && !isKnown(err):
		s.fail("an error of no kind", "%+v: %w", st, err)
	}
	// The wait, the ping that it may end in, and the request, which may be sent again; or the
	// caller's own deadline.
	most := maxWait + minPing + 2*requestTimeout
	if st.limit > 0 {
		most = min(most, st.limit)
	}
	if took > most {
		s.fail("a caller waited too long", "%v: %+v: %w", took, st, err)
	}
}

// operation does the step's operation, and returns the expected code.
func (s *modelRun) operation(ctx context.Context, st *step) (code, want uint16, err error) {
	if strings.HasSuffix(st.kind, "search") {
		req := people()
		req.Filter = "(uid=" + st.uid + ")"
		r, err := s.pool.Search(ctx, req)
		if err != nil {
			return 0, 0, err
		}
		if !mayServeElsewhere("search", r.Code) && (len(r.Entries) != 1 || r.Entries[0].DN != st.dn()) {
			s.fail("another user's answer", "%+v: %+v", st, r.Entries)
		}
		return r.Code, ldap.LDAPResultSuccess, nil
	}
	password, want := st.password(), uint16(ldap.LDAPResultSuccess)
	switch st.kind {
	case "wrong":
		password, want = "wrong", ldap.LDAPResultInvalidCredentials
	case "must bind":
		password = ldaptest.Password(1)
	}
	r, err := s.pool.Bind(ctx, st.dn(), password)
	if err != nil {
		return 0, 0, err
	}
	return r.Code, want, nil
}

// isKnown reports whether err is of a kind that callers may get.
func isKnown(err error) bool {
	return slices.ContainsFunc([]error{ErrUnavailable, ErrOverloaded, ErrTimeout, ErrConnLost, ErrClosed, context.Canceled},
		func(kind error) bool { return errors.Is(err, kind) })
}
