package ldappool

import (
	"sync/atomic"
	"time"
)

// The pace of scouts: connections that idle past a learnt limit, one at a time, to find out whether it still holds. Each
// that is cut doubles the time to the next.
const (
	scoutSoonest = 10 * time.Minute
	scoutLatest  = 6 * time.Hour
	// scoutConns is the least MaxConns at which one connection can be spared.
	scoutConns = 4
)

// limits are what was learnt of a server's limits on its connections.
type limits struct {
	idle, age atomic.Int64 // nanoseconds; 0: none known. Written under Pool.mu

	// Guarded by Pool.mu.
	watch idleWatch
	next  time.Time     // when the limit is to be tried next
	pause time.Duration // from then to the time after

	scout scout // upkeep's alone
}

// scout is a connection that nobody gets, because it idles.
type scout struct {
	lease
	due time.Time // when it has idled for longer than the limit allows
}

// maxIdle is how long a connection to s may idle, as far as is known, and 0 where nothing is.
func (l *limits) maxIdle() time.Duration { return time.Duration(l.idle.Load()) }

// maxAge is how old a connection to s may get, as far as is known, and 0 where nothing is.
func (l *limits) maxAge() time.Duration { return time.Duration(l.age.Load()) }

// safely is the part of a limit that is made use of.
func safely(limit time.Duration) time.Duration { return limit * 4 / 5 }

// exceeds tells whether a connection is past a limit of its server.
func (c *conn) exceeds(now time.Time) (RetireReason, bool) {
	if limit := c.server.limits.maxIdle(); limit > 0 && now.Sub(c.quiet) > limit {
		return RetiredIdleLimit, true
	}
	if limit := c.server.limits.maxAge(); limit > 0 && now.Sub(c.born) > limit {
		return RetiredAgeLimit, true
	}
	return "", false
}

// aging tells whether a connection is so near its server's limit on age that it needs a successor.
func (c *conn) aging(now time.Time) bool {
	limit := c.server.limits.maxAge()
	return limit > 0 && now.Sub(c.born) > safely(safely(limit))
}

// sawCut notes that a connection to s ended after so long idle. p.mu is held.
func (p *Pool) sawCut(s *server, at time.Time, idle, age time.Duration, silent bool) {
	if s.is() == ServerDown || !silent && at.Before(s.since) {
		return // it went, and took its connections along
	}
	s.limits.watch.saw(at, idle, age, silent)
	p.kick()
}

// outlived notes that a connection answered after so long idle.
func (p *Pool) outlived(c *conn, idle time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.server.limits.watch.answered(c.quiet, idle)
}

// silent notes that a connection gave no sign of life when it was asked for one, at a time and after so long idle.
func (p *Pool) silent(c *conn, asked time.Time, idle time.Duration) {
	if e := c.wire.over(); e != nil && e.idle {
		return // its end was seen, and is noted when it is buried
	}
	p.mu.Lock()
	defer p.unlock()
	p.sawCut(c.server, asked, idle, asked.Sub(c.born), true)
}

// learn draws conclusions from what was cut at servers that are well.
func (p *Pool) learn() {
	p.mu.Lock()
	defer p.unlock()
	for _, s := range p.servers {
		l := &s.limits
		if !l.watch.news || s.is() != ServerUsable {
			continue
		}
		well := time.Unix(0, s.answered.Load())
		quiet, old := p.quietest(s)
		idle, age := l.watch.verdict(well, quiet, old)
		n := len(l.watch.cuts)
		l.watch.news = n > 0 && !l.watch.cuts[n-1].at.Before(well)
		switch known, aged := l.maxIdle(), l.maxAge(); {
		case age > 0 && aged == 0:
			p.setLimits(s, 0, age) // what looked like idling was age
		case idle > 0 && aged == 0 && (known == 0 || idle < known*9/10): // what is a little less is taken care of
			p.setLimits(s, idle, 0)
		}
	}
}

// quietest is the longest that a connection to s has been quiet, and the longest that one has lived, of those that are idle
// and open. p.mu is held.
func (p *Pool) quietest(s *server) (quiet, old time.Duration) {
	now := time.Now()
	for _, l := range p.lanes {
		l.eachIdle(func(c *conn) {
			if c.server == s && c.wire.over() == nil {
				quiet, old = max(quiet, now.Sub(c.quiet)), max(old, now.Sub(c.born))
			}
		})
	}
	return quiet, old
}

// setLimits takes over what was learnt, or forgets it. p.mu is held.
func (p *Pool) setLimits(s *server, idle, age time.Duration) {
	l := &s.limits
	was := LimitEvent{Server: s.url, Idle: idle, Age: age, WasIdle: l.maxIdle(), WasAge: l.maxAge()}
	l.idle.Store(int64(idle))
	l.age.Store(int64(age))
	l.pause = max(l.pause, scoutSoonest, 5*idle)
	l.next = time.Now().Add(l.pause)
	if idle == 0 && age == 0 {
		l.watch.cuts = nil
	}
	if hook := p.config().Trace.LimitLearned; hook != nil {
		p.later(func() { hook(was) })
	}
}

// limitPace is how often upkeep has to look so that no connection idles past what is made use of a limit: a quarter of
// that, or most where there is none.
func (p *Pool) limitPace(most time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.servers {
		if limit := s.limits.maxIdle(); limit > 0 {
			most = min(most, safely(limit)/4)
		}
		if limit := s.limits.maxAge(); limit > 0 {
			most = min(most, safely(limit)/8)
		}
	}
	return max(most, leastIdle/4)
}

// keepWithin refreshes the connections that come near their server's idle limit, by a ping that starts the server's clock
// anew, and retires those beyond MinIdleConns instead.
func (p *Pool) keepWithin() {
	for _, l := range p.lanes {
		for p.ctx.Err() == nil {
			b, surplus, ok := l.nearLimit(time.Now())
			switch {
			case !ok:
			case surplus:
				b.retire(RetiredIdleLimit)
			default:
				_ = p.tend(b) // the hooks tell
			}
			if !ok {
				break
			}
		}
		l.replaceAging()
	}
}

// replaceAging retires the idle connections that have reached the part of their server's age limit that is made use of,
// once their successors are there.
func (l *lane) replaceAging() {
	p := l.pool
	p.mu.Lock()
	defer p.unlock()
	now := time.Now()
	aging := l.aging(now)
	if aging == 0 || l.idle-aging < p.config().MinIdleConns || p.heirless.Load() {
		return
	}
	for _, b := range l.takeIdle(aging, func(c *conn) bool { return now.Sub(c.born) > safely(c.server.limits.maxAge()) && c.aging(now) }) {
		p.retire(b, RetiredAgeLimit)
	}
}

// nearLimit takes the connection that was used least recently of those near their server's idle limit, and tells whether
// the lane has enough idle ones without it.
func (l *lane) nearLimit(now time.Time) (b lease, surplus, ok bool) {
	p := l.pool
	p.mu.Lock()
	defer p.unlock()
	taken := l.takeIdle(1, func(c *conn) bool {
		limit := c.server.limits.maxIdle()
		return limit > 0 && now.Sub(c.quiet) > safely(limit)*3/4
	})
	if len(taken) == 0 {
		return lease{}, false, false
	}
	if surplus = l.idle >= p.config().MinIdleConns && !p.ageless(taken[0].conn); !surplus {
		p.tended++
	}
	return taken[0], surplus, true
}

// scouts sends out, watches and calls back the connections that try whether a learnt limit still holds.
func (p *Pool) scouts(now time.Time) {
	p.mu.Lock()
	servers := p.known()
	p.mu.Unlock()
	for _, s := range servers {
		if s.limits.scout.conn == nil {
			p.sendScout(s, now)
			continue
		}
		p.watchScout(s, now)
	}
}

// sendScout begins a try of a limit on idling that is due, where a connection can be spared for it. A limit on age is
// forgotten instead: what is learnt anew costs as little as a try.
func (p *Pool) sendScout(s *server, now time.Time) {
	p.mu.Lock()
	defer p.unlock()
	l := &s.limits
	idle, age := l.maxIdle(), l.maxAge()
	if idle == 0 && age == 0 || now.Before(l.next) || s.is() != ServerUsable || s.gone || p.config().MaxConns < scoutConns {
		return
	}
	if age > 0 {
		p.setLimits(s, 0, 0)
		l.pause = min(l.pause*2, scoutLatest)
		return
	}
	for _, lane := range p.lanes {
		if lane.idle < 2 || lane.waiting.Len() > 0 {
			continue
		}
		for _, b := range lane.takeIdle(1, func(c *conn) bool { return c.server == s }) {
			l.scout = scout{b, b.quiet.Add(2 * (idle + late(idle)))}
			return
		}
	}
}

// watchScout ends a try: the scout was cut, so the limit holds; it outlived the limit, so that holds no more; or it is
// wanted for other things.
func (p *Pool) watchScout(s *server, now time.Time) {
	b := s.limits.scout.lease
	e := b.wire.over()
	p.mu.Lock()
	wanted := b.lane.waiting.Len() > 0 || s.is() != ServerUsable || p.closed || b.outdated() || p.config().MaxConns < scoutConns
	p.mu.Unlock()
	if e == nil && !wanted && now.Before(s.limits.scout.due) {
		return
	}
	s.limits.scout = scout{}
	outlived := e == nil && !now.Before(b.quiet.Add(s.limits.maxIdle()*2))
	if e != nil {
		b.retire(e.reason)
	} else if err := b.check(); err != nil {
		outlived = false
	} else {
		b.release(false)
	}
	p.mu.Lock()
	defer p.unlock()
	if outlived {
		p.setLimits(s, 0, 0)
		return
	}
	s.limits.pause = min(s.limits.pause*2, scoutLatest)
	s.limits.next = now.Add(s.limits.pause)
}

// recallScouts gives back what is out when upkeep ends.
func (p *Pool) recallScouts() {
	p.mu.Lock()
	servers := p.known()
	p.mu.Unlock()
	for _, s := range servers {
		if b := s.limits.scout.lease; b.conn != nil {
			s.limits.scout = scout{}
			b.retire(RetiredClosed)
		}
	}
}
