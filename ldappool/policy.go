package ldappool

import (
	"context"
	"time"
)

// Policy says which of several usable servers the connections go to.
type Policy uint8

// The policies.
const (
	// Failover: to the first that is usable, in the order of Config.Servers. One that comes back is returned to when it
	// has been usable for 30 s.
	Failover Policy = iota
	// RoundRobin: to each as many, and operations to each in turn. One that comes back gets its share again within
	// some rounds of upkeep.
	RoundRobin
)

// turnDepth is how many idle connections are looked at for one to the server whose turn it is.
const turnDepth = 16

// roundRobin tells whether connections are spread.
func (p *Pool) roundRobin() bool { return p.config().Policy == RoundRobin }

// choose is the server of those that fit to which the next connection of lane l should go: the first of them, or with
// RoundRobin the one that has fewest; nil where none fits. Pool.mu is held.
func (p *Pool) choose(l *lane, fits func(*server) bool) (best *server) {
	for _, s := range p.servers {
		switch {
		case !fits(s):
		case best == nil:
			best = s
		case p.roundRobin() && s.load(l) < best.load(l):
			best = s
		}
	}
	return best
}

// load counts the connections of lane l to s, those being dialled included. Pool.mu is held.
func (s *server) load(l *lane) int { return s.conns[l.index] + s.dialing[l.index] }

// inTurn exchanges an idle connection that was taken from the lane's store for one to the server that was asked longest
// ago, most recently used first. Pool.mu is held.
func (l *lane) inTurn(top resource) resource {
	var passed [turnDepth]resource
	best, n := top, 0
	next := l.pool.nextInTurn(l)
	for ; n < turnDepth && n < l.idle-1 && best.Value().server != next; n++ {
		res, err := l.store.TryAcquire(context.Background())
		if err != nil {
			break // there are idle ones, so this cannot be; who has top needs no other
		}
		if s := res.Value().server; s.is() == ServerUsable && s.turn[l.index] < best.Value().server.turn[l.index] {
			best, res = res, best
		}
		passed[n] = res
	}
	for n--; n >= 0; n-- {
		passed[n].ReleaseUnused()
	}
	best.Value().server.turn[l.index] = l.acquired
	return best
}

// nextInTurn is the usable server that was asked longest ago, of those that lane l has connections to; or nil. Pool.mu is
// held.
func (p *Pool) nextInTurn(l *lane) (next *server) {
	for _, s := range p.servers {
		if s.is() == ServerUsable && s.conns[l.index] > 0 && (next == nil || s.turn[l.index] < next.turn[l.index]) {
			next = s
		}
	}
	return next
}

// spread moves one idle connection of each lane from the server that has most to the one that has fewest and has been
// usable since before a moment.
func (p *Pool) spread(before time.Time) {
	p.mu.Lock()
	defer p.unlock()
	for _, l := range p.lanes {
		var most, least *server
		for _, s := range p.servers {
			if s.is() != ServerUsable {
				continue
			}
			if most == nil || s.load(l) > most.load(l) {
				most = s
			}
			if !s.since.After(before) && (least == nil || s.load(l) < least.load(l)) {
				least = s
			}
		}
		if least == nil || most.load(l)-least.load(l) < 2 {
			continue
		}
		for _, b := range l.takeIdle(1, func(c *conn) bool { return c.server == most }) {
			if p.mayDial(l) && p.conns < p.config().MaxConns {
				p.dial(l, &dial{to: least})
			}
			p.retire(b, RetiredReplaced)
		}
	}
}
