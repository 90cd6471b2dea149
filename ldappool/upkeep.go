package ldappool

import (
	"time"
)

// warmPace is the least time between two rounds of dials that no caller waits for: a server that takes connections
// and closes them is not dialled in a loop.
const warmPace = time.Second

// kick wants upkeep now: a connection ended, or a server came back.
func (p *Pool) kick() {
	select {
	case p.kicked <- struct{}{}:
	default:
	}
}

// upkeep retires idle connections before they grow old and as soon as they die, keeps the rest alive, and replaces what
// is missing. It is one goroutine, for the pool's life.
func (p *Pool) upkeep() {
	defer p.work.Done()
	defer p.recallScouts()
	pace := p.config().pace()
	round, due := time.NewTimer(pace), time.Now().Add(pace)
	defer round.Stop()
	var warmed time.Time
	young := time.Now().Add(settled)
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.kicked:
		case <-round.C:
		}
		if pace = p.config().pace(); time.Until(due) > pace { // the configuration is another
			due = time.Now().Add(pace)
		}
		p.learn()
		p.sweep()
		p.keepWithin()
		p.scouts(time.Now())
		if now := time.Now(); !now.Before(due) {
			due = now.Add(pace)
			p.pingQuiet(now.Add(-p.config().HealthCheckInterval))
			p.resettle(now)
		} else if now.Before(young) && p.roundRobin() {
			p.spread(now) // all went to the first that was found
		}
		next := due
		if soonest := warmed.Add(warmPace); time.Now().Before(soonest) {
			next = soonest
		} else {
			warmed = time.Now()
			p.lookAtUnused(warmed)
			if !p.warm() {
				next = warmed.Add(warmPace)
			}
		}
		if due.Before(next) {
			next = due
		}
		if soon := time.Now().Add(p.limitPace(pace)); soon.Before(next) {
			next = soon
		}
		round.Reset(time.Until(next))
	}
}

// pace is how often upkeep looks at everything.
func (c *Config) pace() time.Duration {
	return min(c.HealthCheckInterval, c.MaxIdleTime/4, c.MaxLifetime/10)
}

// sweep retires the idle connections that are of no more use.
func (p *Pool) sweep() {
	now := time.Now()
	p.mu.Lock()
	defer p.unlock()
	p.retireIdle(func(c *conn) (RetireReason, bool) { return p.unfit(c, now) })
}

// pingQuiet pings the connections that have been quiet since before a moment, one at a time, so that callers find all
// others at their place. A ping starts the server's and every firewall's clock anew.
func (p *Pool) pingQuiet(before time.Time) {
	for _, l := range p.lanes {
		for p.ctx.Err() == nil {
			b, ok := l.quietSince(before)
			if !ok {
				break
			}
			_ = p.tend(b) // the hooks tell
		}
	}
}

// tend pings a connection that the pool took for that, and gives it back where it answers.
func (p *Pool) tend(b lease) error {
	err := b.check()
	if err == nil {
		b.release(false)
	}
	p.mu.Lock()
	defer p.unlock()
	p.tended--
	return err
}

// quietSince takes the connection that was used least recently of those that have been quiet since before a moment.
func (l *lane) quietSince(before time.Time) (lease, bool) {
	l.pool.mu.Lock()
	defer l.pool.unlock()
	for _, b := range l.takeIdle(1, func(c *conn) bool { return !c.quiet.After(before) }) {
		l.pool.tended++
		return b, true
	}
	return lease{}, false
}

// settled is how long a server must have been usable before connections to lesser ones are given up for it.
const settled = 30 * time.Second

// resettle moves connections on to where the policy wants them.
func (p *Pool) resettle(now time.Time) {
	if p.roundRobin() {
		p.spread(now.Add(-settled))
	} else {
		p.goHome(now)
	}
}

// goHome gives up one idle connection of each lane that goes to a server of later choice than the first that works, once
// that has been well for a while: what replaces it goes there.
func (p *Pool) goHome(now time.Time) {
	p.mu.Lock()
	defer p.unlock()
	home := p.usable()
	if home == nil || now.Sub(home.since) < settled {
		return
	}
	for _, l := range p.lanes {
		for _, b := range l.takeIdle(1, func(c *conn) bool { return c.server.rank > home.rank && !c.outdated() }) {
			p.retire(b, RetiredReplaced)
		}
	}
}

// lookAtUnused dials the usable servers that nothing is asked of, as the later ones are with Failover, where there is room: nobody
// else would notice that one is gone before it is needed. It is done when a server has answered nothing for a while, and at once
// when it ended the last connection to it.
func (p *Pool) lookAtUnused(now time.Time) {
	p.mu.Lock()
	defer p.unlock()
	l := p.probeLane()
	for _, s := range p.servers {
		if s.is() != ServerUsable || s.load(p.lanes[0])+s.load(p.lanes[1]) > 0 || p.conns >= p.config().MaxConns || !p.mayDial(l) {
			continue
		}
		if s.deserted || !s.answeredSince(now.Add(-p.config().HealthCheckInterval)) {
			s.deserted = false
			p.dial(l, &dial{to: s, look: true})
		}
	}
}

// warm dials what is missing of MinIdleConns, within each lane's share, and tells whether that is all of it.
func (p *Pool) warm() (all bool) {
	all = true
	p.mu.Lock()
	defer p.unlock()
	for _, l := range p.lanes {
		if p.config().BindOnly && l.name == SearchLane {
			continue
		}
		aging := l.aging(time.Now())
		for !p.closed && p.best(l) != nil && l.idle-aging+l.coming()-l.waiting.Len() < p.config().MinIdleConns &&
			l.size() < p.share() && p.conns < p.config().MaxConns {
			if !p.mayDial(l) {
				all = false
				break
			}
			p.dial(l, &dial{to: p.best(l)})
		}
	}
	return all
}

// aging counts the idle connections that need a successor before they go. Pool.mu is held.
func (l *lane) aging(now time.Time) (n int) {
	l.eachIdle(func(c *conn) {
		if c.aging(now) {
			n++
		}
	})
	return n
}
