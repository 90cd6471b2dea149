package core

import (
	"time"

	"authsvc/ldappool/internal/health"
	"authsvc/ldappool/internal/limits"
)

// maintenance is the work that no request triggers: it closes expired idle connections, keeps the
// others alive, and dials up to MinIdleConns.
type maintenance struct {
	next        time.Time // of maintain
	requested   bool      // it is due now, because of an event
	round       time.Time // of the next round, which checks quiet connections and rebalances
	started     time.Time
	lastWarmed  time.Time // when idle connections were last filled up
	checkBefore time.Time // connections that have been quiet since before this moment are checked, one at a time
	checks      [2]int    // background checks running, by lane
}

func (m *maintenance) isChecking() bool { return m.checks[Search]+m.checks[Bind] > 0 }

// maintain does what is due. It is called after every event.
func (c *Core) maintain(now time.Time) {
	m := &c.maintenance
	if m.round.IsZero() {
		m.started, m.round = now, now.Add(c.maintenanceInterval())
		m.next = m.round
	}
	if !m.requested && now.Before(m.next) {
		return
	}
	m.requested = false
	if pace := c.maintenanceInterval(); m.round.Sub(now) > pace { // the configuration has changed
		m.round = now.Add(pace)
	}
	c.learnLimits(now)
	c.closeExpired(now)
	if !now.Before(m.round) {
		m.round = now.Add(c.maintenanceInterval())
		m.checkBefore = now.Add(-c.cfg.HealthCheckInterval)
		c.rebalance(now)
	} else if c.cfg.RoundRobin && now.Sub(m.started) < health.StableAfter {
		c.rebalanceRoundRobin(now, now) // all connections were dialed to the server that was resolved first
	}
	c.keepAlive(now)
	m.next = m.round
	if soonest := m.lastWarmed.Add(WarmInterval); now.Before(soonest) {
		m.next = soonest
	} else {
		m.lastWarmed = now
		all := c.checkStandbys(now)
		if !c.fillMinIdle(now) || !all {
			m.next = now.Add(WarmInterval)
		}
	}
	for _, t := range []time.Time{m.round, c.nextNearLimit(now)} {
		if !t.IsZero() && t.Before(m.next) {
			m.next = t
		}
	}
	c.wakeBy(m.next)
}

// maintenanceInterval is the time between two rounds.
func (c *Core) maintenanceInterval() time.Duration {
	return min(c.cfg.HealthCheckInterval, c.cfg.MaxIdleTime/4, c.cfg.MaxLifetime/10)
}

// closeExpired closes the idle connections that must not be used any more.
func (c *Core) closeExpired(now time.Time) {
	c.eachIdle(func(conn *Conn) {
		if reason, bad := c.closeReason(conn, now); bad {
			c.closeIdle(conn, reason)
		}
	})
}

// keepAlive checks one connection that has been quiet, and leaves all others to requests: a check
// restarts the idle timer of the server and of every firewall. It closes connections that come near
// their server's idle limit and are not needed.
func (c *Core) keepAlive(now time.Time) {
	for _, l := range bothLanes {
		for !c.maintenance.isChecking() {
			conn := c.findIdle(l, func(o *Conn) bool { return c.isNearLimit(o, now) })
			if conn == nil {
				break
			}
			if c.counts[l][Available] > c.cfg.MinIdleConns && !c.exemptFromAge(conn) || !c.mayCheck(conn, now) {
				c.closeIdle(conn, ReasonIdleLimit)
			} else {
				c.checkInBackground(conn, now)
			}
		}
		if !c.maintenance.isChecking() {
			if conn := c.findIdle(l, func(o *Conn) bool { return !o.LastReceived.After(c.maintenance.checkBefore) && c.mayCheck(o, now) }); conn != nil {
				c.checkInBackground(conn, now)
			}
		}
	}
}

func nearLimit(limit time.Duration) time.Duration { return limits.WithMargin(limit) * 3 / 4 }

func (c *Core) isNearLimit(conn *Conn, now time.Time) bool {
	limit := conn.Server.IdleLimit
	return limit > 0 && now.Sub(conn.LastReceived) > nearLimit(limit)
}

// nextNearLimit returns when maintain must run so that no connection stays quiet for longer than
// the used part of a limit: after a quarter of the shortest one.
func (c *Core) nextNearLimit(now time.Time) (at time.Time) {
	for _, s := range c.servers {
		if s.IdleLimit == 0 {
			continue
		}
		if t := now.Add(max(limits.WithMargin(s.IdleLimit)/4, 5*time.Millisecond)); at.IsZero() || t.Before(at) {
			at = t
		}
	}
	return at
}

// disconnected records that an idle connection ended, or with silent that it did not answer a
// check.
func (c *Core) disconnected(conn *Conn, at time.Time, silent bool) {
	s := conn.Server
	if s.Health.State == health.Down || !silent && at.Before(s.Health.Since) {
		return // the server went down, which ended its connections
	}
	s.Limits.Disconnected(at, at.Sub(conn.LastReceived), silent)
	c.maintenance.requested = true
}

// learnLimits evaluates the disconnects at usable servers, and drops old limits, which are learned
// again if they still hold.
func (c *Core) learnLimits(now time.Time) {
	for _, s := range c.servers {
		if s.IdleLimit > 0 && now.Sub(s.LearnedAt) > IdleLimitExpires {
			c.setIdleLimit(s, 0, now)
			s.Limits.Reset()
		}
		if !s.Limits.Pending() || !s.isUsable() {
			continue
		}
		limit := s.Limits.Limit(s.Answered, c.longestIdle(s, now))
		if limit > 0 && (s.IdleLimit == 0 || limit < s.IdleLimit*9/10) { // a little less is within the margin
			c.setIdleLimit(s, limit, now)
		}
	}
}

func (c *Core) setIdleLimit(s *Server, limit time.Duration, now time.Time) {
	was := s.IdleLimit
	s.IdleLimit, s.LearnedAt = limit, now
	c.emit(LimitLearned{s, limit, was})
}

// longestIdle returns the longest time that an idle connection to a server has been quiet.
func (c *Core) longestIdle(s *Server, now time.Time) (longest time.Duration) {
	for _, conn := range c.conns {
		if conn.Server == s && conn.Phase == Available {
			longest = max(longest, now.Sub(conn.LastReceived))
		}
	}
	return longest
}

// checkStandbys dials the usable servers that have no connection, if there is room, so that a
// failed standby is noticed before it is needed. A server is due when it has answered nothing for a
// while, or when it closed its last connection. It reports whether it could dial all of them.
func (c *Core) checkStandbys(now time.Time) (all bool) {
	all = true
	l := c.probeLane()
	for _, s := range c.servers {
		due := s.lastConnClosed || !s.Answered.After(now.Add(-c.cfg.HealthCheckInterval))
		switch {
		case !due || !s.isUsable() || s.load(Search)+s.load(Bind) > 0 || c.counts.total() >= c.cfg.MaxConns:
		case !c.mayDial(l, now):
			all = false
		default:
			s.lastConnClosed = false
			c.dial(l, s, ForStandby, 0, now)
		}
	}
	return all
}

// fillMinIdle dials up to MinIdleConns, within each lane's share, and reports whether it could dial
// all of them.
func (c *Core) fillMinIdle(now time.Time) (all bool) {
	all = true
	for _, l := range bothLanes {
		if c.cfg.BindOnly && l == Search {
			continue
		}
		// A connection that is being checked in the background is about to be idle again, and one
		// that checks a standby is not meant to stay.
		others := c.maintenance.checks[l] - c.redundantDials(l)
		for c.best(l) != nil && c.counts[l][Available]+others+c.expectedDials(l)-c.queue.waiting[l][forConn] < c.cfg.MinIdleConns &&
			c.counts.size(l) < c.share() && c.counts.total() < c.cfg.MaxConns {
			if !c.mayDial(l, now) {
				all = false
				break
			}
			c.dial(l, c.best(l), ForCallers, 0, now)
		}
	}
	return all
}

// redundantDials counts the dials of a lane that check standbys, and whose connections will not be
// kept.
func (c *Core) redundantDials(l Lane) (n int) {
	for _, conn := range c.conns {
		if conn.Purpose == ForStandby && conn.Lane == l && conn.IsDialing() && c.isRedundant(conn) {
			n++
		}
	}
	return n
}
