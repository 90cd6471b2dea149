package ldappool

import (
	"errors"
	"time"
)

var errDialHangs = errors.New("a dial that hangs, with callers that another server can serve")

// dispatch brings the pool to rest after a change: it probes servers that are due, serves callers that wait, dials for
// those it cannot serve, and turns away those that nothing will. p.mu is held.
func (p *Pool) dispatch() {
	if p.closed {
		p.retireIdle(func(*conn) (RetireReason, bool) { return RetiredClosed, true })
		p.returned()
		return
	}
	p.dialOwed()
	urgent := p.usable() == nil
	if urgent {
		p.dialProbes()
	}
	p.abandoned()
	p.noteHeirs()
	for _, l := range p.lanes {
		if l.detours.Len() > 0 {
			p.detour(l)
		}
		l.serve() // before the other lane looks for idle connections to have closed
	}
	p.adopt()
	first, second := p.lanes[0], p.lanes[1]
	if second.before(first, 0) {
		first, second = second, first
	}
	for _, l := range []*lane{first, second} {
		for l.hungry() && p.mayDial(l) {
			if !p.place(l, false) {
				p.putOffProbes()
				p.lookAgain(l.other())
				break
			}
			p.dial(l, &dial{to: p.best(l)})
		}
		if l.hungry() {
			p.makeWay(l)
		}
		if l.waiting.Len() > 0 && !p.promising(l) {
			for l.waiting.Len() > 0 {
				p.refused++
				l.grant(grant{err: p.whyNot(string(l.name))})
			}
		}
	}
	if !urgent && !first.hungry() && !second.hungry() {
		p.dialProbes()
	}
}

// dialProbes begins the probes that are due and have a place. p.mu is held.
func (p *Pool) dialProbes() {
	for _, s := range p.servers {
		if s.probe == probeDue && p.placeProbe(s) {
			s.probe, s.tried = probeRunning, time.Now()
			p.dial(p.probeLane(), &dial{to: s, probe: true})
		}
	}
}

// placeProbe is place for a probe of s. While another server is usable, it may have an idle connection closed, but
// rarely, and the place is a caller's as soon as one wants it. p.mu is held.
func (p *Pool) placeProbe(s *server) bool {
	if p.conns < p.config().MaxConns || p.usable() == nil {
		return p.place(p.probeLane(), true)
	}
	if p.closing > 0 {
		return false // perhaps for this probe
	}
	if wait := p.config().HealthCheckInterval - time.Since(s.tried); wait > 0 {
		s.probe, s.deferred = probeNone, true
		p.probeIn(s, wait)
		return false
	}
	for _, from := range []*lane{p.probeLane().other(), p.probeLane()} {
		for _, b := range from.takeIdle(1, func(c *conn) bool { return !p.dear(c) }) {
			s.tried = time.Now()
			p.retire(b, RetiredRebalanced)
			return false
		}
	}
	return false
}

// putOffProbes gives the places of probes under way to callers who wait for one, where a server is there that can serve
// them: a probe of a server that does not answer would hold its place for DialTimeout. p.mu is held.
func (p *Pool) putOffProbes() {
	for _, s := range p.servers {
		if s.probe == probeRunning && p.usable() != nil {
			s.putOff()
		}
	}
}

// makeWay puts servers in doubt whose dials are overdue, and so gives those up, where they take the places of callers of
// lane l whom another server can serve: they may hang for DialTimeout, which is longer than callers wait. p.mu is held.
func (p *Pool) makeWay(l *lane) {
	best := p.best(l)
	if best == nil || best.overdue[l.index] > 0 || p.dialing < maxDials && p.conns-p.closing < p.config().MaxConns {
		return
	}
	for _, s := range p.servers {
		if s != best && s.is() == ServerUsable && s.overdue != [2]int{} {
			p.suspect(s, opDial, errDialHangs)
		}
	}
}

// lookAgain has dispatch called as soon as an idle connection of lane from has not been used for so long that the other lane
// may have it: nothing else need happen at that moment. p.mu is held.
func (p *Pool) lookAgain(from *lane) {
	if p.closing > 0 || from.idle == 0 {
		return // what is closed calls it too
	}
	wait := pingAfter
	from.eachIdle(func(c *conn) {
		if !p.dear(c) {
			wait = min(wait, pingAfter-time.Since(c.used))
		}
	})
	wait = max(wait, 0) + time.Millisecond
	if p.again == nil {
		p.again = time.AfterFunc(wait, func() {
			p.mu.Lock()
			p.unlock()
		})
		return
	}
	p.again.Reset(wait)
}

// dialOwed begins the probes that a caller's connection was closed for. p.mu is held.
func (p *Pool) dialOwed() {
	for _, s := range p.servers {
		if s.owed && s.probe == probeDue && p.conns < p.config().MaxConns {
			s.owed, s.probe, s.tried = false, probeRunning, time.Now()
			p.dial(p.probeLane(), &dial{to: s, probe: true, brief: true})
		}
	}
}

// owes notes that the connection of lane l which comes back is closed for a probe, though callers wait for it and another
// server is usable. As long as they do none is ever idle, and the first server would not be found to be back. p.mu is held.
func (p *Pool) owes(l *lane, s *server) bool {
	if l.waiting.Len() > 0 && time.Since(s.tried) >= p.config().HealthCheckInterval {
		s.owed, s.tried = true, time.Now()
	}
	return s.owed
}

// mayDial tells whether one more connection of lane l may be dialled at this moment. Of service binds there is one at a
// time until it is seen to be let in, and a few then: a directory counts each that it refuses, and locks the account
// after some. p.mu is held.
func (p *Pool) mayDial(l *lane) bool {
	switch {
	case p.dialing >= maxDials || p.best(l) == nil:
		return false
	case l.name == BindLane || p.config().BindDN == "":
		return true
	case time.Since(p.admitted) < admittedFor:
		return l.coming() < maxBinds
	}
	return l.coming() == 0
}

// probeLane is where probes belong: what they dial does what a login's first step does.
func (p *Pool) probeLane() *lane {
	if p.config().BindOnly {
		return p.lanes[1]
	}
	return p.lanes[0]
}

// share is what each lane may always have of MaxConns.
func (p *Pool) share() int { return max(p.config().MaxConns/2, 1) }

// place finds room for one more connection of lane l. Where there is none it may have an idle connection closed, whose
// room is there when that is done: of the other lane what l's share entitles it to, or what the other has not used for
// a while; for a probe, any, unless another server makes good use of them. p.mu is held.
func (p *Pool) place(l *lane, probe bool) bool {
	if p.conns < p.config().MaxConns {
		return true
	}
	if p.closing > 0 || probe && p.usable() != nil {
		return false
	}
	claim := l.size() < p.share()
	now := time.Now()
	for _, from := range []*lane{l.other(), l} {
		want := func(c *conn) bool { return (probe || claim || now.Sub(c.used) > pingAfter) && !p.dear(c) }
		if from == l && !probe {
			// Of its own, only what is as doubtful as the one whose ping is slow.
			want = func(c *conn) bool { return l.hedging.Len() > 0 && now.Sub(c.quiet) > pingAfter }
		}
		taken := from.takeIdle(1, want)
		for _, b := range taken {
			p.retire(b, RetiredRebalanced)
			return false
		}
	}
	return false
}

// cedes tells whether c, which comes back, should be closed to make room: for a probe, or for the
// other lane where that has less than its share and callers that wait. p.mu is held.
func (p *Pool) cedes(c *conn) bool {
	l := c.lane
	if p.conns < p.config().MaxConns || p.closing > 0 || p.dear(c) {
		return false
	}
	for _, s := range p.servers {
		if s.probe == probeDue && (p.usable() == nil || p.owes(l, s)) {
			return true
		}
	}
	o := l.other()
	return o.hungry() && o.size() < p.share() && o.before(l, 1) && p.best(o) != nil
}
