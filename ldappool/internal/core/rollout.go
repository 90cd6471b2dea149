package core

import (
	"slices"
	"time"

	"authsvc/ldappool/internal/health"
)

// rollout replaces the connections that were made under an earlier configuration: it dials a
// replacement, and then closes the old connection. A connection is outdated if its server was
// removed or is reached in another way, or if it searches as another identity.
type rollout struct {
	pending bool      // SetConfig was called, and SetServers follows
	active  bool      // there may be outdated connections
	began   time.Time // the last SetConfig
	slot    *Lane     // a slot is being freed for a replacement in this lane
}

// laneRollout is a lane's part.
type laneRollout struct {
	replacements int       // dialed minus outdated connections closed for them; negative if a connection was closed first
	dialing      bool      // a replacement is being dialed
	notBefore    time.Time // when the next may be dialed
}

// SetConfig puts another configuration in force. SetServers follows.
func (c *Core) SetConfig(now time.Time, cfg Config) {
	if cfg.Identity != c.cfg.Identity {
		c.lastServiceBind = time.Time{}
		for _, s := range c.servers {
			c.credentialsChanged(s)
		}
	}
	for _, s := range c.servers {
		if s.Health.Refusals() > 0 { // the cause of the refusal may be fixed
			c.credentialsChanged(s)
		}
	}
	c.cfg = cfg
	c.rollout.pending, c.maintenance.requested = true, true
}

// credentialsChanged makes the pool try a server with the new credentials.
func (c *Core) credentialsChanged(s *Server) {
	s.Health.ForgetRefusals()
	c.restartProbe(s)
}

// restartProbe probes a server that is not usable under the current configuration.
func (c *Core) restartProbe(s *Server) {
	switch {
	case s.Health.Probe == health.ProbeRunning:
		s.reprobe = true
		for _, conn := range c.conns {
			if conn.Server == s && conn.Purpose == ForProbe {
				c.cancelDial(conn)
			}
		}
	case !s.isUsable():
		s.Health.Probe, s.Health.ProbeAt = health.ProbeDue, time.Time{}
	}
}

// SetServers replaces the list of servers; lookups has the names without a known server. Servers
// with a known URL keep their state. Removed servers keep their connections until these are
// replaced.
func (c *Core) SetServers(now time.Time, endpoints []Endpoint, lookups Lookups) {
	c.lookups = lookups
	known := c.known()
	c.servers = make([]*Server, 0, len(endpoints))
	for _, e := range endpoints {
		if slices.ContainsFunc(c.servers, func(s *Server) bool { return s.URL == e.URL }) {
			continue
		}
		s := c.keep(known, e)
		if s == nil {
			s = &Server{Endpoint: e, Health: health.NewServer(now, c.jitter)}
			s.idle = [2]Idle{c.idle(s, Search), c.idle(s, Bind)}
		}
		c.servers = append(c.servers, s)
	}
	c.leaving = slices.DeleteFunc(known, func(s *Server) bool { return slices.Contains(c.servers, s) })
	for _, s := range c.leaving {
		s.removed = true
		for _, conn := range c.conns {
			if conn.Server == s {
				c.cancelDial(conn)
			}
		}
	}
	c.probeNow(now)
	if c.rollout.pending || slices.ContainsFunc(c.conns, (*Conn).isOpen) {
		c.startRollout(now)
	}
	c.settle(now)
}

// keep returns the known server with the endpoint's URL, and updates how it is reached.
func (c *Core) keep(known []*Server, e Endpoint) *Server {
	i := slices.IndexFunc(known, func(s *Server) bool { return s.URL == e.URL })
	if i < 0 {
		return nil
	}
	s := known[i]
	same := s.Link == e.Link && !s.removed
	s.Tier, s.Link, s.removed = e.Tier, e.Link, false // not the URL, which is read without the lock
	if same {
		return s
	}
	for _, conn := range c.conns {
		if conn.Server == s && conn.Purpose != ForProbe && conn.Link != e.Link {
			c.cancelDial(conn)
		}
	}
	if s.Health.Probe == health.ProbeRunning || s.Health.Refusals() == 0 {
		c.restartProbe(s)
	}
	return s
}

// known returns the servers of the configuration, and the removed ones that still have connections.
func (c *Core) known() []*Server { return slices.Concat(c.servers, c.leaving) }

// forgetServers drops the servers that left the configuration and have no connection any more.
func (c *Core) forgetServers() {
	if len(c.leaving) == 0 {
		return
	}
	c.leaving = slices.DeleteFunc(c.leaving, func(s *Server) bool {
		gone := s.load(Search)+s.load(Bind) == 0
		if gone {
			c.emit(Forget{s})
		}
		return gone
	})
}

// startRollout starts to replace outdated connections.
func (c *Core) startRollout(now time.Time) {
	c.rollout = rollout{active: true, began: now}
	for _, l := range bothLanes {
		c.lanes[l].rollout.replacements = 0
	}
	c.finishRollout(now)
	c.maintenance.requested = true
}

// finishRollout ends the rollout if no outdated connection is left, unless that is because the pool
// was closed.
func (c *Core) finishRollout(now time.Time) {
	if !c.rollout.active || c.closed || slices.ContainsFunc(c.conns, func(o *Conn) bool { return !o.IsDialing() && c.isOutdated(o) }) {
		return
	}
	c.rollout.active, c.rollout.slot = false, nil
	c.emit(Reconfigured{now.Sub(c.rollout.began)})
}

// isOutdated reports whether a connection does not fit the current configuration.
func (c *Core) isOutdated(conn *Conn) bool {
	if conn.Lane == Search {
		return hasOtherLink(conn) || c.hasOtherIdentity(conn)
	}
	return hasOtherLink(conn) || !conn.AsService && c.cfg.ServiceBind && c.cfg.BindLane == Always
}

func hasOtherLink(conn *Conn) bool { return conn.Server.removed || conn.Link != conn.Server.Link }

// hasOtherIdentity reports whether a connection was dialed as another service identity. In the bind
// lane this does not matter once the connection is open.
func (c *Core) hasOtherIdentity(conn *Conn) bool {
	return (conn.Lane == Search || conn.AsService) && conn.Identity != c.cfg.Identity
}

// outdated counts the open connections of a lane that are outdated.
func (c *Core) outdated(l Lane) (n int) {
	for _, conn := range c.conns {
		if conn.Lane == l && conn.isOpen() && c.isOutdated(conn) {
			n++
		}
	}
	return n
}

// openConns counts the open connections of a lane.
func (c *Core) openConns(l Lane) int {
	return c.counts[l][Available] + c.counts[l][InUse] + c.counts[l][Checking]
}

// roll closes the connections in excess of MaxConns, and outdated connections that have
// replacements, and dials the next replacement.
func (c *Core) roll(now time.Time) {
	for c.excess() > 0 && c.shrink() {
	}
	if !c.rollout.active {
		return
	}
	for _, l := range bothLanes {
		c.closeReplaced(l)
		c.rollNext(l, now)
	}
}

// excess counts the connections in excess of a lowered MaxConns that are not yet being closed.
func (c *Core) excess() int { return c.counts.total() - c.counts.all(Closing) - c.cfg.MaxConns }

// shrink closes an idle connection of the larger lane.
func (c *Core) shrink() bool {
	for _, l := range bothLanes {
		if c.counts.size(l) < c.counts.size(l.other()) {
			continue
		}
		if conn := c.findIdle(l, func(*Conn) bool { return true }); conn != nil {
			c.closeIdle(conn, ReasonReplaced)
			return true
		}
	}
	return false
}

// closeReplaced closes idle outdated connections for which there are replacements. Connections in
// use are closed when they are released.
func (c *Core) closeReplaced(l Lane) {
	r := &c.lanes[l].rollout
	for r.replacements > 0 {
		conn := c.findIdle(l, c.isOutdated)
		if conn == nil {
			break
		}
		r.replacements--
		c.closeIdle(conn, ReasonReplaced)
	}
	if c.outdated(l) == 0 {
		r.replacements = 0
	}
}

// rollNext dials the next replacement of a lane, one at a time. In a full pool it needs the slot of
// another connection.
func (c *Core) rollNext(l Lane, now time.Time) {
	r := &c.lanes[l].rollout
	reserved := c.rollout.slot != nil && *c.rollout.slot == l
	if now.Before(r.notBefore) {
		c.wakeBy(r.notBefore)
	}
	if c.outdated(l) == 0 || r.replacements > 0 || r.dialing || !c.mayDial(l, now) || now.Before(r.notBefore) {
		if reserved && c.counts.all(Closing) == 0 {
			c.rollout.slot = nil
		}
		return
	}
	// Requests that wait in a lane with less than its share come first, unless the slot was freed
	// for the replacement.
	o := l.other()
	full := c.counts.total() >= c.cfg.MaxConns
	if !full && (reserved || !c.needsDial(o) || c.counts.size(o) >= c.share()) {
		r.dialing = true
		c.rollout.slot = nil
		conn := c.dial(l, c.best(l), ForReplacement, 0, now)
		if reserved { // it uses a slot taken from callers, who get it back before they give up
			conn.cancelAt = now.Add(c.cfg.MaxWait / 2)
			c.wakeBy(conn.cancelAt)
		}
		return
	}
	if !full || c.counts.all(Closing) > 0 || c.rollout.slot != nil && !reserved {
		return
	}
	c.rollout.slot = &l
	for _, from := range [2]Lane{o, l} {
		if conn := c.findIdle(from, c.freesSlot); conn != nil {
			c.take(conn)
			c.freeSlot(conn)
			return
		}
	}
}

// replacementDialed records that a replacement was dialed.
func (c *Core) replacementDialed(conn *Conn, outdated bool) {
	r := &c.lanes[conn.Lane].rollout
	r.dialing = false
	if !outdated {
		r.replacements++
	}
}

// freesSlot reports whether a connection is closed to free a slot for a replacement. The last
// outdated connection of a lane is never closed for that. Until the new identity is known to be
// accepted, a connection that can be dialed again is preferred.
func (c *Core) freesSlot(conn *Conn) bool {
	if c.rollout.slot == nil || c.counts.all(Closing) > 0 || c.counts.total() != c.cfg.MaxConns {
		return false
	}
	l, outdated := *c.rollout.slot, c.isOutdated(conn)
	verified := c.isVerified(l)
	if conn.Lane != l {
		return outdated && c.openConns(conn.Lane) > 1 || !outdated && !verified && c.best(conn.Lane) != nil
	}
	return outdated && c.openConns(l) > 1 && (verified || hasOtherLink(conn) || c.openConns(l.other()) == 0)
}

// isVerified reports whether a lane has connections of the current configuration, so that it is
// known to work.
func (c *Core) isVerified(l Lane) bool { return c.openConns(l) > c.outdated(l) }

// freeSlot closes a connection for a replacement.
func (c *Core) freeSlot(conn *Conn) {
	if c.isOutdated(conn) {
		c.lanes[conn.Lane].rollout.replacements-- // its replacement is dialed afterwards
		c.close(conn, ReasonReplaced)
		return
	}
	c.close(conn, ReasonRebalanced)
}

// rolloutReason returns why the configuration requires a released connection to be closed: it
// exceeds MaxConns, it has a replacement, or its slot is needed for one. It is empty if the
// connection stays.
func (c *Core) rolloutReason(conn *Conn) Reason {
	r := &c.lanes[conn.Lane].rollout
	switch {
	case c.excess() > 0 && c.counts.size(conn.Lane) >= c.counts.size(conn.Lane.other()):
		return ReasonReplaced
	case !c.rollout.active:
		return ""
	case c.isOutdated(conn) && r.replacements > 0:
		r.replacements--
		return ReasonReplaced
	case !c.freesSlot(conn):
		return ""
	case c.isOutdated(conn):
		r.replacements--
		return ReasonReplaced
	}
	return ReasonRebalanced
}

// mustKeep reports whether a connection must not be closed to free a slot: its server would refuse
// the service identity of another one, or it is the last one of its lane and no replacement is
// known to work.
func (c *Core) mustKeep(conn *Conn) bool {
	if c.cfg.MaxConns == 1 {
		return false // the lanes have to share one connection
	}
	return conn.Lane == Search && conn.Server.Health.Refused() || c.isOutdated(conn) && c.openConns(conn.Lane) == 1
}

// isSurplus reports whether a connection to a suspect server is not needed, because another server
// serves requests sooner than the connection can be checked.
func (c *Core) isSurplus(conn *Conn) bool {
	irreplaceable := conn.Lane == Search && conn.Server.Health.Refused() // the server would refuse its replacement
	return c.firstUsable() != nil && !irreplaceable && (!c.isOutdated(conn) || c.isVerified(conn.Lane))
}

// exemptFromAge reports whether a connection is used beyond its maximum age, because it cannot be
// replaced, or may not be: no server is usable, and none has yet to be probed for the first time.
func (c *Core) exemptFromAge(conn *Conn) bool {
	if c.hasOtherIdentity(conn) {
		return true
	}
	return c.firstUsable() == nil && !slices.ContainsFunc(c.servers, func(s *Server) bool {
		return s.Health.Probe == health.ProbeDue && s.Health.Refusals() == 0
	})
}
