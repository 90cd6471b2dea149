package core

import (
	"time"

	"authsvc/ldappool/internal/health"
)

// probeLane is the lane of probes: that of a login's first step.
func (c *Core) probeLane() Lane {
	if c.cfg.BindOnly {
		return Bind
	}
	return Search
}

// mayDial reports whether one more connection of a lane may be dialed now.
func (c *Core) mayDial(l Lane, now time.Time) bool {
	to := c.best(l)
	if c.counts.dialing() >= MaxDials || to == nil {
		return false
	}
	return !c.bindsAsService(l, to) || c.mayBindAsService(now)
}

// dial begins a dial in a slot that was reserved.
func (c *Core) dial(l Lane, to *Server, why Purpose, timeout time.Duration, now time.Time) *Conn {
	conn := &Conn{Server: to, Lane: l, Purpose: why, Link: to.Link, Identity: c.cfg.Identity, dialed: now, shortTimeout: timeout > 0}
	conn.AsService = c.bindsAsService(l, to)
	conn.ReadsRootDSE = !to.hangsUp[conn.dialReader()]
	c.add(conn)
	c.stats.Dials++
	c.wakeBy(now.Add(DialHedgeAfter))
	c.emit(Dial{conn, timeout})
	return conn
}

// cancelDial cancels a dial. Its end is still reported.
func (c *Core) cancelDial(conn *Conn) {
	if conn.IsDialing() && !conn.canceled {
		conn.canceled = true
		c.emit(CancelDial{conn})
	}
}

// hedgeDials marks slow dials, and cancels those whose own limit has passed.
func (c *Core) hedgeDials(now time.Time) {
	for _, conn := range c.conns {
		if !conn.IsDialing() {
			continue
		}
		slowAt := conn.dialed.Add(DialHedgeAfter)
		switch {
		case conn.Phase == DialingSlow:
		case now.Before(slowAt):
			c.wakeBy(slowAt)
		default:
			c.setPhase(conn, DialingSlow)
		}
		switch {
		case conn.cancelAt.IsZero(), conn.canceled:
		case now.Before(conn.cancelAt):
			c.wakeBy(conn.cancelAt)
		default:
			c.lanes[conn.Lane].rollout.notBefore = now.Add(c.cfg.HealthCheckInterval)
			c.cancelDial(conn)
		}
		switch at := conn.dialed.Add(RedialAfter); {
		case conn.overdue || conn.shortTimeout:
		case now.Before(at):
			c.wakeBy(at)
		default:
			conn.overdue = true
			if conn.Purpose == ForProbe {
				c.startSecondProbe(conn.Server, now)
			}
		}
	}
}

// startSecondProbe begins a second probe of a server whose probe is slow, if no server is usable.
func (c *Core) startSecondProbe(s *Server, now time.Time) {
	if c.firstUsable() == nil && !s.removed && c.mayProbe(s) && c.counts.total() < c.cfg.MaxConns {
		c.startProbe(s, 0, now)
	}
}

// isProbing reports whether a probe of a server is under way.
func (c *Core) isProbing(s *Server) bool {
	for _, conn := range c.conns {
		if conn.Server == s && conn.Purpose == ForProbe && conn.IsDialing() && !conn.canceled {
			return true
		}
	}
	return false
}

// abandonSlowDials cancels slow dials that take the slots of requests which another server can
// serve, because they may hang for longer than callers wait. It does so by making their servers
// suspect.
func (c *Core) abandonSlowDials(l Lane, now time.Time) {
	best := c.best(l)
	if best == nil || best.counts[l][DialingSlow] > 0 ||
		c.counts.dialing() < MaxDials && c.counts.total()-c.counts.all(Closing) < c.cfg.MaxConns {
		return
	}
	for _, s := range c.servers {
		if s != best && s.isUsable() && s.counts.all(DialingSlow) > 0 {
			c.fault(s, OpDial, ErrDialHangs, false, now)
		}
	}
}

// Dialed records that a dial has succeeded. rtt is how long its answers took.
func (c *Core) Dialed(now time.Time, conn *Conn, took, rtt time.Duration) {
	s := conn.Server
	conn.CreatedAt, conn.LastUsed, conn.LastReceived, conn.Fresh = now, now, now, true
	conn.expires = now.Add(c.jitter(c.cfg.MaxLifetime))
	s.idle[conn.Lane].Adopt(conn)
	s.Answered, s.MinRTT, s.Ready, c.ready = now, rtt, true, true
	if s.Limits.Pending() {
		c.maintenance.requested = true // earlier disconnects can be judged now
	}
	s.cutSince[conn.dialReader()] = time.Time{}
	outdated := c.isOutdated(conn)
	if outdated {
		c.rollout.active = true
	}
	if !outdated && conn.AsService && !c.hasOtherIdentity(conn) {
		c.lastServiceBind = now
	}
	switch conn.Purpose {
	case ForProbe:
		c.probeSucceeded(conn, outdated, took, now)
	case ForReplacement:
		c.replacementDialed(conn, outdated)
	}
	if c.closed {
		c.close(conn, ReasonClosed)
	} else if c.offer(conn, true, now); (conn.Purpose == ForProbe || conn.Purpose == ForStandby) && conn.Phase == Available && c.isRedundant(conn) {
		c.closeIdle(conn, ReasonReplaced)
	}
	c.settle(now)
}

// Failure is how a dial failed.
type Failure struct {
	Err      error
	Canceled bool // it was canceled, which is no evidence about the server
	Refused  bool // the server rejected the service's credentials (49)
	Busy     bool // the server answered that it does not serve now
	Answered bool // it answered
	TimedOut bool // the server did not answer a check in time
	HungUp   bool // it answered a read of the root DSE with an error, and ended the connection
	Cut      bool // it ended the connection without an answer to the first read of the root DSE
}

// DialFailed records that a dial has failed.
func (c *Core) DialFailed(now time.Time, conn *Conn, f Failure) {
	s := conn.Server
	outdated := c.isOutdated(conn) || c.hasOtherIdentity(conn)
	c.setPhase(conn, Closed)
	c.stats.DialErrors++
	if f.Answered {
		s.Answered = now
	}
	again := c.detectHangUp(conn, f, now) // it is dialed again immediately, in another way
	if !f.Canceled && !outdated && !again && !c.closed {
		c.fault(s, OpDial, f.Err, f.Refused, now)
	}
	switch {
	case conn.Purpose == ForProbe && again:
		c.probeAgain(s)
	case conn.Purpose == ForProbe:
		c.probeFailed(conn, f, outdated, now)
	case conn.Purpose == ForReplacement:
		c.lanes[conn.Lane].rollout.dialing = false
	}
	c.settle(now)
}

// startProbes starts the probes that are due and have a slot.
func (c *Core) startProbes(now time.Time) {
	for _, s := range c.servers {
		if s.Health.Probe == health.ProbeDue && c.mayProbe(s) && c.reserveProbe(s, now) {
			c.startProbe(s, 0, now)
		}
	}
}

// mayProbe limits concurrent probes, in all and to servers of one tier: these are likely to be one
// directory, and each probe is a service bind.
func (c *Core) mayProbe(s *Server) bool {
	running := 0
	for _, conn := range c.conns {
		if conn.Purpose == ForProbe && conn.Phase == Dialing && conn.Server.Tier == s.Tier {
			running++
		}
	}
	return running < MaxServiceBinds && c.counts.dialing() < MaxDials
}

func (c *Core) startProbe(s *Server, timeout time.Duration, now time.Time) {
	s.Health.ProbeStarted()
	s.slotFreedAt, s.probedAt = now, now
	c.dial(c.probeLane(), s, ForProbe, timeout, now)
}

// reserveProbe is reserveSlot for a probe of a server. While another server is usable, it closes an
// idle connection for a probe only rarely, and gives the slot to a request as soon as one needs it.
func (c *Core) reserveProbe(s *Server, now time.Time) bool {
	if c.counts.total() < c.cfg.MaxConns || c.firstUsable() == nil {
		return c.reserveSlot(c.probeLane(), true, now)
	}
	if c.counts.all(Closing) > 0 {
		return false // one of them may be for this probe
	}
	if wait := c.cfg.HealthCheckInterval - now.Sub(s.slotFreedAt); wait > 0 {
		s.Health.Postponed = true
		s.Health.ProbeIn(now, wait)
		c.wakeBy(s.Health.ProbeAt)
		return false
	}
	for _, l := range [2]Lane{c.probeLane().other(), c.probeLane()} {
		if conn := c.findIdle(l, func(o *Conn) bool { return !c.mustKeep(o) }); conn != nil {
			s.slotFreedAt = now
			c.closeIdle(conn, ReasonRebalanced)
			break
		}
	}
	return false
}

// yieldsToProbe reports whether a released connection is closed for a probe, although another
// server is usable and requests wait. Under constant load no connection is ever idle, so without
// this rule a recovered server would never be noticed.
func (c *Core) yieldsToProbe(l Lane, now time.Time) bool {
	for _, s := range c.servers {
		if s.Health.Probe != health.ProbeDue {
			continue
		}
		if c.firstUsable() == nil {
			return true
		}
		if c.queue.waiting[l][forConn] > 0 && now.Sub(s.slotFreedAt) >= c.cfg.HealthCheckInterval {
			s.slotReserved, s.slotFreedAt = true, now
		}
		if s.slotReserved {
			return true
		}
	}
	return false
}

// startReservedProbes starts the probes for which a connection was closed while requests waited.
// They have a short timeout.
func (c *Core) startReservedProbes(now time.Time) {
	for _, s := range c.servers {
		if s.slotReserved && s.Health.Probe == health.ProbeDue && c.counts.total() < c.cfg.MaxConns && c.counts.dialing() < MaxDials {
			s.slotReserved = false
			c.startProbe(s, c.checkTimeout(s), now)
		}
	}
}

// cancelProbes gives the slots of running probes to requests, if a usable server can serve them.
// Otherwise a probe of a server that does not answer would hold its slot for the whole dial
// timeout.
func (c *Core) cancelProbes() {
	if c.firstUsable() == nil {
		return
	}
	for _, conn := range c.conns {
		if conn.Purpose == ForProbe && conn.IsDialing() && !conn.shortTimeout {
			c.cancelDial(conn)
		}
	}
}
