package ldappool

import "time"

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

// eachIdle shows every idle connection. p.mu is held.
func (l *lane) eachIdle(see func(*conn)) {
	if l.idle == 0 {
		return
	}
	all := l.store.AcquireAllIdle()
	for i := len(all) - 1; i >= 0; i-- { // so that the order stays
		see(all[i].Value())
		all[i].ReleaseUnused()
	}
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
	case c.server.is() == ServerDown:
		return RetiredServerDown, true
	case p.ageless(c):
		return "", false
	case now.After(c.expires):
		return RetiredMaxLifetime, true
	case now.Sub(c.used) > p.config().MaxIdleTime:
		return RetiredMaxIdle, true
	}
	return c.exceeds(now)
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
	if hook := p.config().Trace.Retired; hook != nil {
		hook(e)
	}
	p.mu.Lock()
	defer p.unlock()
	if seen != nil && seen.idle && (seen.reason == RetiredPeerClosed || seen.reason == RetiredNotice) {
		p.sawCut(c.server, seen.at, seen.at.Sub(c.quiet), seen.at.Sub(c.born), false)
	}
	delete(p.live, c)
	if c.outdated() {
		p.outdated--
		p.adopted()
	}
	c.server.conns[c.lane.index]--
	if seen != nil && seen.reason == RetiredPeerClosed && c.server.conns == [2]int{} {
		c.server.deserted = true
		p.kick()
	}
	p.retired[c.retired]++
	p.conns--
	p.closing--
}

// yield ends what a look at s left behind where logins have a better server. p.mu is held.
func (p *Pool) yield(l *lane, s *server) {
	if best := p.usable(); p.roundRobin() || best == nil || best.rank >= s.rank {
		return
	}
	for _, b := range l.takeIdle(1, func(c *conn) bool { return c.server == s }) {
		p.retire(b, RetiredReplaced)
	}
}
