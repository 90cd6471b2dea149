package core

import (
	"time"

	"authsvc/ldappool/internal/health"
)

// settle does what follows from an event: it starts probes that are due, serves requests, dials for
// requests that it cannot serve, and rejects requests that no server can serve.
func (c *Core) settle(now time.Time) {
	if c.closed {
		c.drain()
		return
	}
	c.startReservedProbes(now)
	urgent := c.firstUsable() == nil
	if urgent {
		c.startProbes(now)
	}
	c.markOrphansDown(now)
	c.serve(now)
	c.roll(now)
	first, second := c.laneOrder()
	for _, l := range [2]Lane{first, second} {
		c.dialFor(l, now)
		c.rejectUnservable(l)
	}
	if !urgent && !c.needsDial(first) && !c.needsDial(second) {
		c.startProbes(now)
	}
	c.forgetServers()
	c.maintain(now)
}

// drain closes the idle connections of a closed pool, and reports when no connection is in use.
func (c *Core) drain() {
	c.eachIdle(func(conn *Conn) { c.closeIdle(conn, ReasonClosed) })
	if !c.drained && c.counts.all(InUse)+c.counts.all(Checking) == 0 {
		c.drained = true
		c.emit(Drained{})
	}
}

// serve matches requests with idle connections.
func (c *Core) serve(now time.Time) {
	if c.queue.isEmpty() || c.counts.all(Available) == 0 {
		return
	}
	c.queue.each(func(r *Request) {
		switch {
		case c.counts[r.Lane][Available] == 0:
		case r.wait == forConn:
			c.match(r, now)
		case r.wait == forCheckOrConn:
			c.hedge(r, now)
		}
	})
}

// laneOrder returns the lanes, first the one that gets the next slot: the smaller lane, or the one
// whose request has waited longer.
func (c *Core) laneOrder() (first, second Lane) {
	if c.hasPriority(Bind, c.counts.size(Search)) {
		return Bind, Search
	}
	return Search, Bind
}

// hasPriority reports whether a lane gets the next slot before the other lane, which has that many
// connections.
func (c *Core) hasPriority(l Lane, others int) bool {
	size := c.counts.size(l)
	if size != others || c.queue.waiting[l][forConn] == 0 || c.queue.waiting[l.other()][forConn] == 0 {
		return size < others
	}
	return c.queue.find(func(r *Request) bool { return r.wait == forConn }).Lane == l
}

// needsDial reports whether more requests wait than the dials under way will serve.
func (c *Core) needsDial(l Lane) bool {
	waiting := c.queue.unserved(l)
	return waiting > 0 && waiting > c.expectedDials(l)
}

// expectedDials counts the dials that are likely to succeed: those to usable servers, without slow
// ones if another server can be dialed instead.
func (c *Core) expectedDials(l Lane) (n int) {
	if c.counts[l][Dialing]+c.counts[l][DialingSlow] == 0 {
		return 0
	}
	best := c.best(l)
	alternative := best != nil && best.counts[l][DialingSlow] == 0
	for _, conn := range c.conns {
		s := conn.Server
		if !conn.IsDialing() || conn.Lane != l || s.removed || !s.isUsable() && (l != Bind || !c.servesRefused(s)) {
			continue
		}
		if conn.Phase == Dialing || !alternative && !conn.overdue {
			n++
		}
	}
	return n
}

// dialFor dials for the waiting requests of a lane.
func (c *Core) dialFor(l Lane, now time.Time) {
	if c.queue.unserved(l) == 0 {
		return
	}
	c.dialExcluding(l, now)
	for c.needsDial(l) && c.mayDial(l, now) {
		if !c.reserveSlot(l, false, now) {
			c.cancelProbes()
			c.wakeForSlot(l.other(), now)
			break
		}
		c.dial(l, c.best(l), ForCallers, 0, now)
	}
	if c.needsDial(l) {
		c.abandonSlowDials(l, now)
	}
}

// dialExcluding dials for requests that exclude a server, which could not serve them.
func (c *Core) dialExcluding(l Lane, now time.Time) {
	wanted := map[*Server]int{}
	c.queue.each(func(r *Request) {
		if r.Lane != l || r.Exclude == nil || r.wait != forConn {
			return
		}
		to := c.alternative(r.Exclude)
		if to == nil {
			c.reject(r, c.unavailable())
			return
		}
		wanted[to]++
	})
	for _, to := range c.servers {
		for wanted[to] > to.dialing(l) && c.mayDial(l, now) && c.reserveSlot(l, false, now) {
			c.dial(l, to, ForCallers, 0, now)
		}
	}
}

// rejectUnservable rejects the requests of a lane if no server can serve them.
func (c *Core) rejectUnservable(l Lane) {
	if c.queue.waiting[l][forConn] == 0 || c.mayServe(l) {
		return
	}
	c.queue.each(func(r *Request) {
		if r.Lane == l && r.wait == forConn {
			c.reject(r, c.unavailable())
		}
	})
}

// mayServe reports whether a request of a lane can hope for a connection: a server can be dialed,
// an open connection may be released, or a probe is running or due.
func (c *Core) mayServe(l Lane) bool {
	if c.best(l) != nil || c.lookups.Pending {
		return true
	}
	for _, s := range c.servers {
		if s.Health.State == health.Suspect && (s.Health.Probe != health.ProbeWaiting || s.open(l) > 0) {
			return true
		}
	}
	for _, s := range c.leaving {
		if s.Health.State != health.Down && s.open(l) > 0 {
			return true
		}
	}
	return false
}

// share is the part of MaxConns that each lane is entitled to.
func (c *Core) share() int { return max(c.cfg.MaxConns/2, 1) }

// reserveSlot reports whether there is room for one more connection of a lane. If there is none it
// may close an idle connection, whose slot is free once it is closed. It takes a connection of the
// other lane if this lane has less than its share, or if the other lane has not used the connection
// for a while. For a probe it takes any, if no server is usable.
func (c *Core) reserveSlot(l Lane, probe bool, now time.Time) bool {
	if c.counts.total() < c.cfg.MaxConns {
		return true
	}
	if c.counts.all(Closing) > 0 || probe && c.firstUsable() != nil {
		return false
	}
	entitled := c.counts.size(l) < c.share()
	conn := c.findIdle(l.other(), func(o *Conn) bool {
		return (probe || entitled || now.Sub(o.LastUsed) > CheckAfter) && !c.mustKeep(o)
	})
	if conn == nil {
		conn = c.findIdle(l, func(o *Conn) bool {
			// Of its own lane, only a connection that has been quiet as long as one whose check is
			// slow.
			doubtful := c.queue.waiting[l][forCheckOrConn] > 0 && now.Sub(o.LastReceived) > CheckAfter
			return doubtful || probe && !c.mustKeep(o)
		})
	}
	if conn != nil {
		c.closeIdle(conn, ReasonRebalanced)
	}
	return false
}

// wakeForSlot schedules a tick for when an idle connection of a lane has been unused for so long
// that the other lane may take its slot. No other event may occur at that time.
func (c *Core) wakeForSlot(from Lane, now time.Time) {
	if c.counts.all(Closing) > 0 || c.counts[from][Available] == 0 {
		return
	}
	wait := CheckAfter
	for _, conn := range c.conns {
		if conn.Phase == Available && conn.Lane == from && !c.mustKeep(conn) {
			wait = min(wait, CheckAfter-now.Sub(conn.LastUsed))
		}
	}
	c.wakeBy(now.Add(max(wait, 0) + time.Millisecond))
}

// yieldsSlot reports whether a released connection is closed to free its slot: for a probe, or for
// the other lane if that has less than its share and waiting requests.
func (c *Core) yieldsSlot(conn *Conn, now time.Time) bool {
	if c.counts.total() < c.cfg.MaxConns || c.counts.all(Closing) > 0 || c.mustKeep(conn) {
		return false
	}
	if c.yieldsToProbe(conn.Lane, now) {
		return true
	}
	o := conn.Lane.other()
	return c.needsDial(o) && c.counts.size(o) < c.share() && c.hasPriority(o, c.counts.size(conn.Lane)-1) && c.best(o) != nil
}
