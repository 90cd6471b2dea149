package core

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	sequences = flag.Int("core.sequences", 2_000, "random sequences of TestCore_KeepsItsInvariants")
	firstSeed = flag.Uint64("core.seed", 1, "seed of the first of them")
)

// TestCore_KeepsItsInvariants plays random sequences of events against the core and checks after
// each of them what must always hold, and at the end of each sequence that a healthy directory is
// served again. A failure names the seed: run it alone with -core.sequences 1 -core.seed N -v.
func TestCore_KeepsItsInvariants(t *testing.T) {
	t.Parallel()
	began := time.Now()
	events := 0
	for seed := *firstSeed; seed < *firstSeed+uint64(*sequences); seed++ {
		w := newWorld(seed, false)
		w.play()
		events += w.events
		if w.err != nil {
			w = newWorld(seed, true)
			w.play()
			for _, line := range w.log[max(len(w.log)-60, 0):] {
				t.Log(line)
			}
			require.FailNow(t, "an invariant is broken", "seed %d: %v", seed, w.err)
		}
	}
	t.Logf("%d sequences, %d events, %.0f sequences a second", *sequences, events, float64(*sequences)/time.Since(began).Seconds())
}

// world is what surrounds the core: callers, dials, checks, and a clock.
type world struct {
	core       *Core
	random     *rand.Rand
	now        time.Time
	idle       []*stack
	conf       Config
	urls       []Endpoint
	noFailures bool // everything succeeds

	waiting  []*Request // neither granted nor rejected
	dials    map[*Conn]bool
	checks   map[*Conn]bool
	closing  map[*Conn]bool
	granted  map[*Conn]*Request
	canceled map[*Conn]bool
	answered map[*Request]int
	drained  int

	events int
	logs   bool
	log    []string
	err    error
}

var errModel = errors.New("model")

func newWorld(seed uint64, logs bool) *world {
	w := &world{
		logs:   logs,
		random: rand.New(rand.NewPCG(seed, 7)), //nolint:gosec // to be the same again
		now:    time.Unix(1e9, 0), dials: map[*Conn]bool{}, checks: map[*Conn]bool{}, closing: map[*Conn]bool{},
		granted: map[*Conn]*Request{}, canceled: map[*Conn]bool{}, answered: map[*Request]int{},
	}
	w.conf = w.drawConfig()
	jitter := func(d time.Duration) time.Duration { return d - time.Duration(w.random.Int64N(int64(d)/10+1)) }
	w.core = New(w.conf, jitter, func(*Server, Lane) Idle {
		s := &stack{w: w}
		w.idle = append(w.idle, s)
		return s
	})
	for i := range 1 + w.random.IntN(4) {
		w.urls = append(w.urls, Endpoint{URL: fmt.Sprint("ldap://", i), Tier: i / (1 + w.random.IntN(2)), Link: 0})
	}
	w.do("servers", func() { w.core.SetServers(w.now, w.urls, Lookups{}) })
	return w
}

func pick[T any](w *world, of ...T) T { return of[w.random.IntN(len(of))] }

// any returns one of the keys, always the same for the same seed: the connections have an order.
func (w *world) any(of map[*Conn]bool) *Conn {
	var all []*Conn
	for _, c := range w.core.conns {
		if of[c] {
			all = append(all, c)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return pick(w, all...)
}

func (w *world) drawConfig() Config {
	return Config{
		MaxConns: 1 + w.random.IntN(pick(w, 6, 6, 30)), MinIdleConns: w.random.IntN(pick(w, 4, 4, 16)), MaxWaiters: pick(w, 1000, 2, 0), MaxWait: 2 * time.Second,
		MaxIdleTime: pick(w, 2*time.Second, 5*time.Minute), MaxLifetime: pick(w, 5*time.Second, 30*time.Minute),
		HealthCheckInterval: pick(w, time.Second, 15*time.Second), RoundRobin: w.random.IntN(2) == 0, BindOnly: w.random.IntN(6) == 0,
		ServiceBind: w.random.IntN(4) > 0, BindLane: pick(w, WhereNeeded, WhereNeeded, Always, Never),
	}
}

func (w *world) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("%w: %s", errModel, fmt.Sprintf(format, args...))
	}
}

// do is one event: it executes the actions and checks the invariants.
func (w *world) do(what string, event func()) {
	if w.err != nil {
		return
	}
	w.events++
	event()
	actions := w.core.Actions()
	if w.logs {
		w.log = append(w.log, fmt.Sprintf("%v %s: %s", w.now.Sub(time.Unix(1e9, 0)), what, describe(actions)))
	}
	for _, a := range actions {
		w.execute(a)
	}
	w.check()
}

func describe(actions []Action) string {
	var all []string
	for _, a := range actions {
		name := strings.TrimPrefix(fmt.Sprintf("%T", a), "core.")
		switch a := a.(type) {
		case Dial:
			name += fmt.Sprintf("(%s lane %d purpose %d)", a.Conn.Server.URL, a.Conn.Lane, a.Conn.Purpose)
		case Close:
			name += fmt.Sprintf("(%s lane %d %s)", a.Conn.Server.URL, a.Conn.Lane, a.Conn.Reason)
		case ServerChanged:
			name += fmt.Sprintf("(%s %d to %d)", a.Server.URL, a.From, a.To)
		}
		all = append(all, name)
	}
	return strings.Join(all, " ")
}

func (w *world) execute(a Action) {
	switch a := a.(type) {
	case Grant:
		w.grant(a.Request)
	case Reject:
		w.settled(a.Request)
	case Dial:
		w.dials[a.Conn] = true
		if n := w.core.counts.total(); n > w.core.cfg.MaxConns {
			w.fail("a dial makes %d connections of %d", n, w.core.cfg.MaxConns)
		}
		if len(w.dials) > MaxDials {
			w.fail("%d dials at one time", len(w.dials))
		}
		if a.Conn.Lane == Bind && a.Conn.AsService && a.Conn.Purpose == ForCallers && a.Conn.Server.Health.Refused() {
			w.fail("a connection for users binds as the service at a server that refuses it")
		}
		if a.Conn.AsService != (w.core.cfg.ServiceBind && (a.Conn.Lane == Search || w.core.bindsAsService(Bind, a.Conn.Server))) {
			w.fail("a dial of lane %d binds as the service: %v", a.Conn.Lane, a.Conn.AsService)
		}
	case CancelDial:
		w.canceled[a.Conn] = true
	case Check:
		w.checks[a.Conn] = true
		if a.ByBind && (!w.core.cfg.ServiceBind || a.Conn.Server.Health.Refusals() > 0 || a.Conn.Server.hangsUp == [2]bool{}) {
			w.fail("a check is a service bind, and must not be")
		}
	case Close:
		if w.granted[a.Conn] != nil || w.closing[a.Conn] || w.dials[a.Conn] || w.checks[a.Conn] {
			w.fail("a connection is closed that is in use, being closed, dialed or checked")
		}
		w.closing[a.Conn] = true
	case Abort:
		if w.granted[a.Conn] == nil {
			w.fail("a connection is cut that is not in use")
		}
	case Drained:
		w.drained++
	}
}

func (w *world) grant(r *Request) {
	c := r.Conn
	w.settled(r)
	switch {
	case r.Err != nil || c == nil:
		w.fail("a grant without a connection, or with an error")
		return
	case w.granted[c] != nil || w.closing[c] || w.dials[c] || w.checks[c]:
		w.fail("a connection is granted that is in use, being closed, dialed or checked")
	case c.Lane != r.Lane:
		w.fail("a connection of the wrong lane is granted")
	case c.Phase != InUse:
		w.fail("a connection is granted in phase %d", c.Phase)
	case r.Exclude == c.Server:
		w.fail("a connection to the excluded server is granted")
	case c.ended != "":
		w.fail("a connection is granted that is known to have ended")
	case w.core.closed:
		w.fail("a closed pool grants a connection")
	}
	w.granted[c] = r
}

// settled checks that a request is answered once.
func (w *world) settled(r *Request) {
	w.waiting = slices.DeleteFunc(w.waiting, func(o *Request) bool { return o == r })
	if w.answered[r]++; w.answered[r] > 1 {
		w.fail("a request is answered twice")
	}
	if late := w.now.Sub(r.Deadline); late > MinCheck {
		w.fail("a request is answered %v late", late)
	}
}

// check is what must hold after every event.
func (w *world) check() {
	c := w.core
	var recount counts
	byServer := map[*Server]*counts{}
	for _, conn := range c.conns {
		recount[conn.Lane][conn.Phase]++
		if byServer[conn.Server] == nil {
			byServer[conn.Server] = &counts{}
		}
		byServer[conn.Server][conn.Lane][conn.Phase]++
		if conn.Phase == Available && (conn.request != nil || conn.Reason != "") {
			w.fail("an idle connection is being checked or closed")
		}
		if conn.Phase == Available && conn.ended != "" {
			w.fail("a connection that has ended is still idle")
		}
	}
	if recount != c.counts {
		w.fail("counts are %v, and there are %v", c.counts, recount)
	}
	for s, n := range byServer {
		if s.counts != *n {
			w.fail("counts of %s are %v, and there are %v", s.URL, s.counts, *n)
		}
	}
	idle := 0
	for _, s := range w.idle {
		idle += len(s.conns)
	}
	if idle != c.counts.all(Available) {
		w.fail("%d connections are in their place, and %d idle", idle, c.counts.all(Available))
	}
	if len(w.granted) != c.counts.all(InUse) || len(w.checks) != c.counts.all(Checking) || len(w.dials) != c.counts.dialing() || len(w.closing) != c.counts.all(Closing) {
		w.fail("granted %d, checks %d, dials %d, closing %d: %v", len(w.granted), len(w.checks), len(w.dials), len(w.closing), c.counts)
	}
	w.checkQueue()
	if c.closed && (c.counts.all(Available) > 0 || !c.queue.isEmpty() || w.drained != 1 && c.counts.all(InUse)+c.counts.all(Checking) == 0) {
		w.fail("closed, with idle connections or requests, or not drained")
	}
}

// checkQueue checks that no request waits for a connection that is available.
func (w *world) checkQueue() {
	c := w.core
	queued := 0
	c.queue.each(func(r *Request) {
		queued++
		if !w.now.Before(r.expiresAt) && c.wake.After(r.expiresAt) {
			w.fail("a request is waiting beyond its time, and nobody will look")
		}
		if c.wake.IsZero() || c.wake.After(r.expiresAt) {
			w.fail("a request waits until %v, and the core wakes at %v", r.expiresAt, c.wake)
		}
		if r.wait == forConn && !c.mayServe(r.Lane) {
			w.fail("a request waits for nothing")
		}
		for _, conn := range c.conns {
			if conn.Phase != Available || !r.accepts(conn) {
				continue
			}
			// One that suits only because no check may begin now is given at the next tick.
			if how, _ := c.suitabilityOf(r, conn, w.now); r.wait == forConn || r.wait == forCheckOrConn && how == suits && c.mayCheck(conn, w.now) {
				w.fail("a request waits (%d, since %v) beside an idle connection that it accepts (%d), lane %d, quiet %v", r.wait, r.Since, how, r.Lane, w.now.Sub(conn.LastReceived))
			}
		}
	})
	if queued != len(w.waiting) {
		w.fail("%d requests are queued, and %d wait", queued, len(w.waiting))
	}
	for _, l := range bothLanes {
		if !c.closed && c.counts.total() < c.cfg.MaxConns && c.needsDial(l) && c.mayDial(l, w.now) {
			w.fail("there is room, and nobody dials for lane %d", l)
		}
	}
}

// pass advances the time, with ticks when the core needs them.
func (w *world) pass(d time.Duration) {
	end := w.now.Add(d)
	for w.err == nil {
		at := w.core.WakeAt()
		if at.IsZero() || at.After(end) {
			break
		}
		if at.After(w.now) {
			w.now = at
		}
		w.do("tick", func() { w.core.Tick(w.now) })
		if next := w.core.WakeAt(); !next.IsZero() && !next.After(w.now) {
			w.fail("the core wants to wake at once again, at %v: maintenance %+v, watchdog %+v", next, w.core.maintenance, w.core.watchdog)
		}
		if w.noFailures {
			w.finishAll()
		}
	}
	w.now = end
}

func (w *world) play() {
	for range 20 + w.random.IntN(100) {
		w.step()
		if w.err != nil {
			return
		}
	}
	if w.core.closed {
		w.finishAll()
		if n := len(w.core.conns); n > 0 && w.err == nil {
			w.fail("%d connections are left of a closed pool", n)
		}
		return
	}
	w.recover()
}

// recover ends all faults: every request must be answered, and a login must succeed.
func (w *world) recover() {
	w.noFailures = true
	w.do("configuration", func() { // by which a refused service bind is tried again at once
		w.core.SetConfig(w.now, w.core.cfg)
		w.core.SetServers(w.now, w.urls, Lookups{})
	})
	w.finishAll()
	w.pass(10 * time.Second)
	if len(w.waiting) > 0 {
		w.fail("%d requests are still waiting", len(w.waiting))
	}
	for _, l := range bothLanes {
		if l == Search && w.core.cfg.BindOnly {
			continue
		}
		r := w.request(l)
		w.acquire(r)
		for range 100 {
			w.finishAll()
			w.pass(50 * time.Millisecond)
		}
		if r.Conn == nil && w.err == nil {
			w.fail("no connection although all is well: %v", r.Err)
		}
	}
}

// finishAll ends everything that is under way, and well.
func (w *world) finishAll() {
	for w.err == nil {
		switch {
		case len(w.dials) > 0:
			w.finishDial(w.any(w.dials), 0)
		case len(w.checks) > 0:
			w.finishCheck(w.any(w.checks), 0)
		case len(w.closing) > 0:
			w.finishClose(w.any(w.closing))
		case len(w.granted) > 0:
			w.release(w.someGranted(), Outcome{Op: "search", Took: time.Millisecond, Answered: true, Counts: true})
		default:
			return
		}
	}
}

func (w *world) someGranted() *Conn {
	inUse := map[*Conn]bool{}
	for c := range w.granted {
		inUse[c] = true
	}
	return w.any(inUse)
}

// step is one random event.
func (w *world) step() {
	switch w.random.IntN(24) {
	case 0, 1, 2, 3, 4:
		w.acquire(w.request(pick(w, Search, Bind)))
	case 5:
		if len(w.waiting) > 0 {
			r := pick(w, w.waiting...)
			w.do("cancel", func() {
				if w.core.Cancel(w.now, r, w.random.IntN(2) == 0, nil) {
					w.settled(r)
				}
			})
		}
	case 6, 7, 8, 9:
		if c := w.any(w.dials); c != nil {
			w.finishDial(c, w.random.IntN(10))
		}
	case 10, 11:
		if c := w.any(w.checks); c != nil {
			w.finishCheck(c, w.random.IntN(6))
		}
	case 12, 13, 14:
		if c := w.someGranted(); c != nil {
			w.release(c, w.outcome())
		}
	case 15, 16:
		if c := w.any(w.closing); c != nil {
			w.finishClose(c)
		}
	case 17:
		w.end()
	case 18:
		w.change()
	default:
		w.pass(pick(w, 0, time.Millisecond, 10*time.Millisecond, 60*time.Millisecond, 300*time.Millisecond, time.Second, 2*time.Second, 20*time.Second))
	}
}

func (w *world) request(l Lane) *Request {
	r := &Request{Lane: l, Began: w.now, Deadline: w.now.Add(w.core.cfg.MaxWait)}
	if w.random.IntN(5) == 0 {
		r.Since = w.now
	}
	if w.random.IntN(8) == 0 {
		r.CallerDeadline = w.now.Add(100 * time.Millisecond)
	}
	if servers := w.core.servers; !w.noFailures && w.random.IntN(6) == 0 && len(servers) > 0 {
		r.Exclude = pick(w, servers...)
	}
	return r
}

func (w *world) acquire(r *Request) {
	w.do(fmt.Sprintf("acquire lane %d", r.Lane), func() {
		w.waiting = append(w.waiting, r)
		w.core.Acquire(w.now, r)
		switch {
		case r.Err != nil:
			w.settled(r)
		case r.Conn != nil:
			w.grant(r)
		}
	})
}

func (w *world) finishDial(c *Conn, how int) {
	w.do(fmt.Sprintf("dial of %s ends, %d", c.Server.URL, how), func() {
		delete(w.dials, c)
		switch {
		case w.canceled[c] && how < 9:
			w.core.DialFailed(w.now, c, Failure{Err: errModel, Canceled: true})
		case how < 6:
			w.core.Dialed(w.now, c, time.Millisecond, time.Millisecond)
		case how == 9 && c.ReadsRootDSE && w.random.IntN(2) == 0:
			answered := w.random.IntN(2) == 0
			w.core.DialFailed(w.now, c, Failure{Err: errModel, HungUp: answered, Cut: !answered})
		default:
			w.core.DialFailed(w.now, c, Failure{Err: errModel, Refused: how == 7 && c.AsService, Busy: how == 8})
		}
	})
}

func (w *world) finishCheck(c *Conn, how int) {
	w.do(fmt.Sprintf("check ends, %d", how), func() {
		delete(w.checks, c)
		if how < 4 {
			w.core.Checked(w.now, c, time.Millisecond, Failure{})
			return
		}
		f := Failure{Err: errModel, TimedOut: how == 5}
		if how == 4 {
			w.core.Ended(w.now, c, ReasonPeerClosed, w.now, w.random.IntN(2) == 0)
			if w.random.IntN(2) == 0 {
				f.Answered, f.Refused, f.HungUp = true, c.byBind, !c.byBind
			}
		}
		w.core.Checked(w.now, c, time.Millisecond, f)
	})
}

func (w *world) finishClose(c *Conn) {
	w.do("closed", func() {
		delete(w.closing, c)
		w.core.Closed(w.now, c)
	})
}

func (w *world) outcome() Outcome {
	switch w.random.IntN(8) {
	case 0:
		return Outcome{Op: "bind", Took: time.Second, TimedOut: true, Err: errModel, Failed: errModel, Counts: true, Close: "timeout"}
	case 1:
		return Outcome{Op: "search", Took: time.Millisecond, Failed: errModel, Counts: true, Close: ReasonPeerClosed}
	case 2:
		return Outcome{Op: "search", Took: time.Millisecond, Answered: true, Failed: errModel, Counts: true}
	case 3:
		return Outcome{Close: "canceled"}
	case 4:
		return Outcome{} // nothing was sent on it
	}
	return Outcome{Op: "search", Took: time.Millisecond, Answered: true, Counts: true}
}

func (w *world) release(c *Conn, o Outcome) {
	w.do("release", func() {
		delete(w.granted, c)
		w.core.Released(w.now, c, o)
	})
}

// end ends a connection by itself.
func (w *world) end() {
	if len(w.core.conns) == 0 {
		return
	}
	c := pick(w, w.core.conns...)
	w.do("connection ends", func() {
		w.core.Ended(w.now, c, pick(w, ReasonPeerClosed, ReasonNotice), w.now, c.Phase == Available)
	})
}

// change changes the configuration, or closes the pool.
func (w *world) change() {
	switch w.random.IntN(12) {
	case 0:
		w.do("close", func() { w.core.Close(w.now) })
	case 1, 2, 3:
		w.do("configuration", func() {
			identity := w.core.cfg.Identity + w.random.IntN(2)
			w.conf = w.drawConfig()
			w.conf.Identity = identity
			if w.core.closed {
				return
			}
			w.core.SetConfig(w.now, w.conf)
			w.core.SetServers(w.now, w.urls, Lookups{})
		})
	case 4, 5:
		w.do("servers", func() {
			if w.core.closed {
				return
			}
			urls := slices.Clone(w.urls)
			w.random.Shuffle(len(urls), func(i, j int) { urls[i], urls[j] = urls[j], urls[i] })
			for i := range urls {
				urls[i].Tier, urls[i].Link = i, w.random.IntN(2)
			}
			w.core.SetServers(w.now, urls[:1+w.random.IntN(len(urls))], Lookups{})
		})
	}
}
