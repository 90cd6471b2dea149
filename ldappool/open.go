package ldappool

import (
	"context"
	"errors"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// dialOf is the context key of the dial that a connection is made by.
type dialOf struct{}

// dial is an attempt at a connection.
type dial struct {
	to    *server
	probe bool // it checks the server; callers are served by the way
}

// dispatch brings the pool to rest after a change: it probes servers that are due, serves callers that wait, dials for
// those it cannot serve, and turns away those that nothing will. p.mu is held.
func (p *Pool) dispatch() {
	if p.closed {
		p.retireIdle(func(*conn) (RetireReason, bool) { return RetiredClosed, true })
		p.returned()
		return
	}
	for _, s := range p.servers {
		if s.probe == probeDue && p.place(p.probeLane(), true) {
			s.probe = probeRunning
			p.dial(p.probeLane(), dial{s, true})
		}
	}
	p.abandoned()
	for _, l := range p.lanes {
		l.serve() // before the other lane looks for idle connections to have closed
	}
	first, second := p.lanes[0], p.lanes[1]
	if second.before(first, 0) {
		first, second = second, first
	}
	for _, l := range []*lane{first, second} {
		for l.hungry() && p.mayDial(l) {
			if !p.place(l, false) {
				p.putOffProbes()
				break
			}
			p.dial(l, dial{to: p.best(l)})
		}
		if l.waiting.Len() > 0 && !p.promising(l) {
			for l.waiting.Len() > 0 {
				p.refused++
				l.grant(grant{err: p.whyNot(string(l.name))})
			}
		}
	}
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

// mayDial tells whether one more connection of lane l may be dialled at this moment. Of service binds there is one at a
// time until it is seen to be let in, and a few then: a directory counts each that it refuses, and locks the account
// after some. p.mu is held.
func (p *Pool) mayDial(l *lane) bool {
	switch {
	case p.dialing >= maxDials || p.best(l) == nil:
		return false
	case l.name == BindLane || p.cfg.BindDN == "":
		return true
	case time.Since(p.admitted) < admittedFor:
		return l.coming() < maxBinds
	}
	return l.coming() == 0
}

// probeLane is where probes belong: what they dial does what a login's first step does.
func (p *Pool) probeLane() *lane {
	if p.cfg.BindOnly {
		return p.lanes[1]
	}
	return p.lanes[0]
}

// share is what each lane may always have of MaxConns.
func (p *Pool) share() int { return max(p.cfg.MaxConns/2, 1) }

// place finds room for one more connection of lane l. Where there is none it may have an idle connection closed, whose
// room is there when that is done: of the other lane what l's share entitles it to, or what the other has not used for
// a while; for a probe, any, unless another server makes good use of them. p.mu is held.
func (p *Pool) place(l *lane, probe bool) bool {
	if p.conns < p.cfg.MaxConns {
		return true
	}
	if p.closing > 0 || probe && p.usable() != nil {
		return false
	}
	claim := l.size() < p.share()
	now := time.Now()
	for _, from := range []*lane{l.other(), l} {
		if from == l && !probe {
			break
		}
		taken := from.takeIdle(1, func(c *conn) bool { return probe || claim || now.Sub(c.used) > pingAfter })
		for _, b := range taken {
			p.retire(b, RetiredRebalanced)
			return false
		}
	}
	return false
}

// cedes tells whether a connection that comes back to lane l should be closed to make room: for a probe, or for the
// other lane where that has less than its share and callers that wait. p.mu is held.
func (p *Pool) cedes(l *lane) bool {
	if p.conns < p.cfg.MaxConns || p.closing > 0 {
		return false
	}
	for _, s := range p.servers {
		if s.probe == probeDue && p.usable() == nil {
			return true
		}
	}
	o := l.other()
	return o.hungry() && o.size() < p.share() && o.before(l, 1) && p.best(o) != nil
}

// dial opens a connection in the background, in room that place found. p.mu is held.
func (p *Pool) dial(l *lane, d dial) {
	p.conns++
	p.dialing++
	p.dials++
	l.dialing++
	d.to.dialing[l.index]++
	var ctx context.Context
	if d.probe {
		ctx, d.to.putOff = context.WithCancel(p.ctx)
	} else {
		ctx = d.to.dialContext(p.ctx)
	}
	p.work.Go(func() {
		began := time.Now()
		err := l.store.CreateResource(context.WithValue(ctx, dialOf{}, d))
		alive := err != nil && d.probe && p.serves(d.to)
		p.mu.Lock()
		defer p.unlock()
		p.dialing--
		l.dialing--
		d.to.dialing[l.index]--
		if err != nil {
			p.conns--
			p.dialErrors++
		} else {
			l.idle++
			if l.name == SearchLane {
				p.admitted = time.Now()
			}
		}
		if d.probe {
			d.to.putOff()
			p.probed(d.to, began, alive, err)
			p.yield(l, d.to)
		}
	})
}

// yield ends what a probe of s left behind where logins have a better server. p.mu is held.
func (p *Pool) yield(l *lane, s *server) {
	if best := p.usable(); best == nil || best.rank >= s.rank {
		return
	}
	for _, b := range l.takeIdle(1, func(c *conn) bool { return c.server == s }) {
		p.retire(b, RetiredReplaced)
	}
}

// connect is puddle's constructor: a connection of lane l that has spoken LDAP with its server, and in the search lane
// is bound as the service identity. puddle's context has no deadline; the one here is DialTimeout.
func (p *Pool) connect(ctx context.Context, l *lane) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.DialTimeout)
	defer cancel()
	d := ctx.Value(dialOf{}).(dial)
	began := time.Now()
	c, err := p.handshake(ctx, l, d.to)
	if hook := p.cfg.Trace.Dialed; hook != nil {
		hook(DialEvent{Lane: l.name, Server: d.to.url, Took: time.Since(began), Err: err, Probe: d.probe})
	}
	p.mu.Lock()
	defer p.unlock()
	if err != nil {
		if !errors.Is(ctx.Err(), context.Canceled) { // then it was given up, and says nothing
			p.suspect(d.to, err)
		}
		return nil, err
	}
	p.live[c] = struct{}{}
	d.to.conns[l.index]++
	d.to.ready = true
	return c, nil
}

// handshake dials s and proves that it answers.
func (p *Pool) handshake(ctx context.Context, l *lane, s *server) (*conn, error) {
	generation := p.generation.Load() // before the dial: what it is dialled with
	w, err := s.endpoint.dial(ctx, p.dialNet)
	if err != nil {
		return nil, err
	}
	c := newConn(l, s, w, generation)
	if err := p.introduce(ctx, c); err != nil {
		c.close(RetiredProtocol)
		return nil, err
	}
	return c, nil
}

// introduce does the first exchange on a connection: the service bind, or where there is none a ping. A server that
// takes connections and does not answer is found out here and not by a login; and one that closes connections which
// never asked anything (Active Directory does after 120 s) has been asked.
func (p *Pool) introduce(ctx context.Context, c *conn) error {
	if c.lane.name == BindLane || p.cfg.BindDN == "" {
		if _, err := c.search(ctx, p.cfg.DialTimeout, rootDSE()); err != nil {
			return &stepError{"ping", err}
		}
		return nil
	}
	r, err := c.bind(ctx, p.cfg.DialTimeout, p.cfg.BindDN, p.cfg.BindPassword, nil)
	if err != nil {
		return &stepError{"service bind", err}
	}
	if r.Code != ldap.LDAPResultSuccess {
		return &stepError{"service bind", &refused{r.Result}}
	}
	return nil
}

// takeIdle takes up to n idle connections that want says, the least recently used first. p.mu is held.
func (l *lane) takeIdle(n int, want func(*conn) bool) []lease {
	if l.idle == 0 {
		return nil
	}
	var taken []lease
	all := l.store.AcquireAllIdle() // most recently used first
	for i := len(all) - 1; i >= 0; i-- {
		res := all[i]
		if len(taken) < n && want(res.Value()) {
			l.idle--
			l.inUse++
			taken = append(taken, lease{res.Value(), res})
			continue
		}
		res.ReleaseUnused()
	}
	return taken
}

// retireIdle ends the idle connections that bad says. p.mu is held.
func (p *Pool) retireIdle(bad func(*conn) (RetireReason, bool)) {
	for _, l := range p.lanes {
		for _, b := range l.takeIdle(l.idle, func(c *conn) bool { _, is := bad(c); return is }) {
			reason, _ := bad(b.conn)
			p.retire(b, reason)
		}
	}
}

// unfit tells whether a connection must not be used any more, and why.
func (p *Pool) unfit(c *conn, now time.Time) (RetireReason, bool) {
	if e := c.wire.over(); e != nil {
		return e.reason, true
	}
	switch {
	case c.generation != p.generation.Load():
		return RetiredReplaced, true
	case c.server.is() == ServerDown:
		return RetiredServerDown, true
	case now.After(c.expires):
		return RetiredMaxLifetime, true
	case now.Sub(c.used) > p.cfg.MaxIdleTime:
		return RetiredMaxIdle, true
	}
	return "", false
}

// retire ends a connection that somebody has. Its room is free when it is closed. p.mu is held.
func (p *Pool) retire(b lease, reason RetireReason) {
	b.lane.inUse--
	p.closing++
	b.retired = reason
	b.res.Destroy()
	p.returned()
}

// bury is puddle's destructor: it closes a connection in bounded time and gives its room back.
func (p *Pool) bury(c *conn) {
	seen := c.wire.over()
	now := time.Now()
	e := RetireEvent{Lane: c.lane.name, Server: c.server.url, Reason: c.retired, Age: now.Sub(c.born), Idle: now.Sub(c.quiet)}
	if seen != nil {
		e.Err = seen.err
	}
	c.close(c.retired)
	if hook := p.cfg.Trace.Retired; hook != nil {
		hook(e)
	}
	p.mu.Lock()
	defer p.unlock()
	delete(p.live, c)
	c.server.conns[c.lane.index]--
	p.retired[c.retired]++
	p.conns--
	p.closing--
}
