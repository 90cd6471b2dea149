package ldappool

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// The pace of probes to a server that fails. A probe is one connection and one bind: a second is a pace that no
// directory notices, and an outage's end is noticed soon. A refused service bind is another matter: each try counts
// against the account.
const (
	probeSoonest  = 100 * time.Millisecond
	probeLatest   = time.Second
	refusalPause  = 30 * time.Second
	refusalLatest = 15 * time.Minute
)

// server is one of the directory's servers and what is known of it.
type server struct {
	url      string
	answered atomic.Int64  // when it last answered anything, in Unix nanoseconds; 0: never
	state    atomic.Uint32 // a ServerState; written under Pool.mu

	// Guarded by Pool.mu.
	rank     int // place in Config.Servers
	endpoint endpoint
	gone     bool // not in the configuration any more

	since   time.Time // of the state
	lastErr error
	lastOp  string // what failed with lastErr
	conns   [2]int // open connections, by lane
	dialing [2]int // connections being dialled, by lane
	overdue [2]int // of them, those that take longer than dialHedgeAfter
	probe   probe
	turn    [2]int64    // when operations were last given to it, by lane, in lane.acquired
	timer   *time.Timer // of the next probe, where one is due later
	ready   bool        // a connection was made, and the service identity let in, since the start

	dials    context.Context // of the dials under way, but probes; ends when the server falls in doubt
	giveUp   context.CancelFunc
	putOff   context.CancelFunc // ends the probe under way
	anew     bool               // it was for another configuration, and the next begins when it is over
	deferred bool               // its probe was put off for the sake of callers
	owed     bool               // a caller's connection was closed for a probe
	tried    time.Time          // when a connection was last closed for a probe, or a probe began
	hurried  time.Time          // when a probe was last wanted at once
	refusals int                // refused service binds in a row
	faulty   bool               // something else failed since the last of them
	asked    bool               // for a sign of life, by the watchdog
	deserted bool               // it ended the last connection to it, and was not looked at since

	limits  limits
	breaker breaker
}

// What can fail at a server, beside the operations of logins.
const (
	opProbe  = "probe"
	opDial   = "dial"
	opPing   = "ping"
	opLookup = "lookup"
)

// probe is where the check of a server stands.
type probe uint8

const (
	probeNone    probe = iota // not due, or due when the timer says
	probeDue                  // waits for a place among the connections
	probeRunning              // dials
)

func (s *server) is() ServerState { return ServerState(s.state.Load()) } //nolint:gosec // nothing else is stored

// answeredSince tells whether the server answered anything after t.
func (s *server) answeredSince(t time.Time) bool { return s.answered.Load() > t.UnixNano() }

// refused is a service bind that the directory turned down. It is a fault of the configuration, not of the network.
type refused struct{ result Result }

func (r *refused) Error() string {
	msg := "the service identity was refused: " + ldap.LDAPResultCodeMap[r.result.Code]
	if r.result.Diagnostic != "" {
		msg += " (" + r.result.Diagnostic + ")"
	}
	return msg
}

// Is has a refusal be ErrServiceRefused, but for what a server says that is too busy to look at anybody.
func (r *refused) Is(target error) bool {
	return target == ErrServiceRefused && r.result.Code != ldap.LDAPResultBusy && r.result.Code != ldap.LDAPResultUnavailable
}

// countsAgainstAccount tells whether err is a refusal that the directory may count (invalidCredentials, 49).
func countsAgainstAccount(err error) bool {
	var r *refused
	return errors.As(err, &r) && r.result.Code == ldap.LDAPResultInvalidCredentials
}

// setState changes the state and tells the hook, with what failed and how where it is for the worse. Pool.mu is held.
func (p *Pool) setState(s *server, to ServerState, op string, err error) {
	from := s.is()
	if err != nil {
		s.lastOp, s.lastErr = op, err
	}
	if from == to {
		return
	}
	s.state.Store(uint32(to))
	s.since = time.Now()
	if s.giveUp != nil && from == ServerUsable {
		s.giveUp() // who waits for these dials is served sooner by another server, or told sooner that there is none
	}
	if from == ServerUsable {
		p.hurry()
	}
	if to == ServerDown {
		p.retireIdle(func(c *conn) (RetireReason, bool) { return RetiredServerDown, c.server == s })
		p.cutSearches(s)
		s.limits.watch.wentDown()
		s.limits.pause, s.limits.next = scoutSoonest, s.since.Add(scoutSoonest) // it may come back as another
	}
	if hook := p.config().Trace.ServerChanged; hook != nil {
		p.later(func() { hook(ServerEvent{Server: s.url, From: from, To: to, Op: op, Err: err}) })
	}
}

// suspect notes that something failed which may be the server's doing. One probe settles it: at once, but not so soon
// after the last such one, since a server may let in the service and cut whoever comes after. Pool.mu is held.
func (p *Pool) suspect(s *server, op string, err error) {
	s.lastOp, s.lastErr = op, err
	switch {
	case p.closed:
	case s.is() != ServerUsable:
		s.faulty = true
	case countsAgainstAccount(err):
		p.setState(s, ServerSuspect, op, err)
		p.refuse(s)
	case time.Since(s.hurried) < probeSoonest:
		p.setState(s, ServerSuspect, op, err)
		p.probeIn(s, probeSoonest)
	default:
		p.setState(s, ServerSuspect, op, err)
		s.probe, s.hurried = probeDue, time.Now()
	}
}

// probed notes how a probe that began at began went, and whether the server serves the connections that it has. Pool.mu
// is held.
func (p *Pool) probed(s *server, began time.Time, alive bool, err error) {
	s.probe = probeNone
	switch {
	case p.closed:
	case errors.Is(err, context.Canceled): // put off, and no wiser
		s.deferred = true
		p.probeIn(s, pause(time.Since(s.since)))
	case err == nil:
		s.refusals = 0
		s.mend()
		if time.Since(began) > pingTimeout/2 {
			s.limits.watch.stoodStill(time.Now()) // it was the server that was silent, and nothing on the way to it
		}
		p.setState(s, ServerUsable, "", nil)
		p.kick()
	case countsAgainstAccount(err):
		p.setState(s, p.worse(s, began, alive, err), opProbe, err)
		p.refuse(s)
	default:
		p.setState(s, p.worse(s, began, alive, err), opProbe, err)
		p.probeIn(s, pause(time.Since(s.since)))
	}
}

// worse is the state of a server whose probe failed. While connections that it has still work, it is not down: one that
// takes no more connections, or no longer takes the service password, still serves those it has.
func (p *Pool) worse(s *server, began time.Time, alive bool, err error) ServerState {
	switch {
	case isDeclined(err) && p.instead(s) != nil:
		return ServerDown // it answers, which is not what it is there for
	case countsAgainstAccount(err):
		alive = s.conns[p.probeLane().index] > 0 // the refusal is an answer, and no sign that it serves
	default:
		alive = alive || s.answeredSince(began)
	}
	if alive {
		return ServerSuspect
	}
	return ServerDown
}

// serves asks the idle connections of a server whose probe failed, until one answers or takes too long. Where all are in
// use, those who use them will find out; until then it is taken to serve them.
func (p *Pool) serves(s *server) bool {
	for {
		b, ok := p.idleAt(s)
		if !ok {
			p.mu.Lock()
			defer p.unlock()
			return s.conns != [2]int{}
		}
		err := p.tend(b)
		if err == nil {
			return true
		}
		var f *fault
		if errors.As(err, &f) && errors.Is(f.kind, ErrTimeout) {
			return false
		}
	}
}

// idleAt takes an idle connection to s.
func (p *Pool) idleAt(s *server) (lease, bool) {
	p.mu.Lock()
	defer p.unlock()
	for _, l := range p.lanes {
		for _, b := range l.takeIdle(1, func(c *conn) bool { return c.server == s }) {
			p.tended++
			return b, true
		}
	}
	return lease{}, false
}

// abandoned takes down servers that cannot serve a login any more: in doubt, without a connection of the lane that logins
// begin in, and without a probe about to tell. Pool.mu is held.
func (p *Pool) abandoned() {
	for _, s := range p.servers {
		if s.is() == ServerSuspect && s.probe == probeNone && s.conns[p.probeLane().index] == 0 {
			p.setState(s, ServerDown, s.lastOp, s.lastErr)
		}
	}
}

// refuse schedules the next try after a refused service bind: ever more rarely.
func (p *Pool) refuse(s *server) {
	s.refusals++
	s.faulty = false
	p.probeIn(s, min(refusalPause<<min(s.refusals-1, 8), refusalLatest))
}

// probeIn has the server probed after d. Pool.mu is held.
func (p *Pool) probeIn(s *server, d time.Duration) {
	s.stop()
	s.timer = time.AfterFunc(d, func() {
		p.mu.Lock()
		defer p.unlock()
		if !p.closed && s.probe == probeNone && s.is() != ServerUsable {
			s.probe = probeDue
		}
	})
}

// pause is the time to the next probe of a server that has been failing for so long: a tenth of that, so that
// waiting adds little to any outage, within bounds, and less up to a tenth so that instances do not probe in step.
func pause(failing time.Duration) time.Duration {
	d := min(max(failing/10, probeSoonest), probeLatest)
	return d - rand.N(d/10) //nolint:gosec // nobody gains by guessing it
}

// dialContext is the context of a dial to s that is no probe. Pool.mu is held.
func (s *server) dialContext(parent context.Context) context.Context {
	if s.dials == nil || s.dials.Err() != nil {
		s.dials, s.giveUp = context.WithCancel(parent)
	}
	return s.dials
}

// usable is the first server that nothing is wrong with, or nil.
func (p *Pool) usable() *server {
	for _, s := range p.servers {
		if s.is() == ServerUsable {
			return s
		}
	}
	return nil
}

// best is the server that may be dialled for lane l next, or nil: one that keeps no dial waiting before one that does. One
// that refused the service identity can still be for users' binds, as long as searches go on on the connections that it let
// in before. Pool.mu is held.
func (p *Pool) best(l *lane) *server {
	if s := p.choose(l, func(s *server) bool { return s.is() == ServerUsable && s.overdue[l.index] == 0 }); s != nil {
		return s
	}
	if s := p.choose(l, func(s *server) bool { return s.is() == ServerUsable }); s != nil || l.name == SearchLane {
		return s
	}
	return p.choose(l, (*server).serving)
}

// serving tells whether a server that refused the service identity can be dialled for users' binds. Pool.mu is held.
func (s *server) serving() bool {
	return s.is() == ServerSuspect && s.refusals > 0 && !s.faulty
}

// promising tells whether a caller in lane l can hope for a connection: one may be dialled, one is there that may come
// back, or a probe is about to tell. Pool.mu is held.
func (p *Pool) promising(l *lane) bool {
	if p.best(l) != nil || p.lookingUp() {
		return true
	}
	for _, s := range p.servers {
		if s.is() == ServerSuspect && (s.probe != probeNone || s.conns[l.index] > 0) {
			return true
		}
	}
	for _, s := range p.leaving {
		if s.is() != ServerDown && s.conns[l.index] > 0 {
			return true
		}
	}
	return false
}

// whyNot is the error of a caller that no server can serve: what each was seen to do. Pool.mu is held.
func (p *Pool) whyNot(op string) *OpError {
	e := &OpError{Op: op, Kind: ErrUnavailable}
	errs := p.lookupErrors()
	if len(p.servers) == 1 && len(errs) == 0 {
		e.Server, e.Err = p.servers[0].url, p.servers[0].lastErr
		return e
	}
	for _, s := range p.servers {
		if s.lastErr != nil {
			errs = append(errs, &serverError{s.url, s.lastErr})
		}
	}
	e.Err = errors.Join(errs...)
	return e
}

// serverError puts a server's name to its error.
type serverError struct {
	url string
	err error
}

func (e *serverError) Error() string { return e.url + ": " + e.err.Error() }
func (e *serverError) Unwrap() error { return e.err }
