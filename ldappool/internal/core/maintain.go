package core

import (
	"time"

	"authsvc/ldappool/internal/health"
	"authsvc/ldappool/internal/limits"
)

// maintenance is what is done without requests: idle connections are closed before they grow old
// and as soon as their time is over, the others are kept alive, and what is missing is dialed.
type maintenance struct {
	next    time.Time // of maintain
	wanted  bool      // it is wanted now: something happened
	round   time.Time // of the next round, in which quiet connections are checked and the load is spread
	started time.Time
	warmed  time.Time // when dials that no request waits for were last made
	quiet   time.Time // connections that have been quiet since before this moment are checked, one at a time
	checks  [2]int    // background checks running, by lane
}

func (m *maintenance) isChecking() bool { return m.checks[Search]+m.checks[Bind] > 0 }

// maintain does what is due. It is called after every event.
func (c *Core) maintain(now time.Time) {
	m := &c.maintenance
	if m.round.IsZero() {
		m.started, m.round = now, now.Add(c.pace())
		m.next = m.round
	}
	if !m.wanted && now.Before(m.next) {
		return
	}
	m.wanted = false
	if pace := c.pace(); m.round.Sub(now) > pace { // the configuration has changed
		m.round = now.Add(pace)
	}
	c.learnLimits(now)
	c.closeExpired(now)
	if !now.Before(m.round) {
		m.round = now.Add(c.pace())
		m.quiet = now.Add(-c.cfg.HealthCheckInterval)
		c.rebalance(now)
	} else if c.cfg.RoundRobin && now.Sub(m.started) < health.Settled {
		c.spread(now, now) // all went to the first server that was found
	}
	c.keepAlive(now)
	m.next = m.round
	if soonest := m.warmed.Add(WarmPace); now.Before(soonest) {
		m.next = soonest
	} else {
		m.warmed = now
		all := c.checkStandbys(now)
		if !c.fillMinIdle(now) || !all {
			m.next = now.Add(WarmPace)
		}
	}
	for _, t := range []time.Time{m.round, c.nextNearLimit(now)} {
		if !t.IsZero() && t.Before(m.next) {
			m.next = t
		}
	}
	c.wakeBy(m.next)
}

// pace is how often everything is looked at.
func (c *Core) pace() time.Duration {
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

// keepAlive checks one connection that has been quiet, so that requests find all others in their
// place: a check restarts the clock of the server and of every firewall. What comes near its
// server's idle limit and is not needed is closed.
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
			if conn := c.findIdle(l, func(o *Conn) bool { return !o.Quiet.After(c.maintenance.quiet) && c.mayCheck(o, now) }); conn != nil {
				c.checkInBackground(conn, now)
			}
		}
	}
}

func nearLimit(limit time.Duration) time.Duration { return limits.Usable(limit) * 3 / 4 }

func (c *Core) isNearLimit(conn *Conn, now time.Time) bool {
	limit := conn.Server.IdleLimit
	return limit > 0 && now.Sub(conn.Quiet) > nearLimit(limit)
}

// nextNearLimit is when maintain is needed so that no connection stays quiet for longer than the
// used part of a limit: in a quarter of the shortest one.
func (c *Core) nextNearLimit(now time.Time) (at time.Time) {
	for _, s := range c.servers {
		if s.IdleLimit == 0 {
			continue
		}
		if t := now.Add(max(limits.Usable(s.IdleLimit)/4, 5*time.Millisecond)); at.IsZero() || t.Before(at) {
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
		return // the server went, and took its connections along
	}
	s.Limits.Disconnected(at, at.Sub(conn.Quiet), silent)
	c.maintenance.wanted = true
}

// learnLimits judges the disconnects at usable servers, and forgets limits that are old: what still
// holds is learned again.
func (c *Core) learnLimits(now time.Time) {
	for _, s := range c.servers {
		if s.IdleLimit > 0 && now.Sub(s.LearnedAt) > IdleLimitExpires {
			c.setIdleLimit(s, 0, now)
			s.Limits.Reset()
		}
		if !s.Limits.News() || !s.isUsable() {
			continue
		}
		limit := s.Limits.Limit(s.Answered, c.quietest(s, now))
		if limit > 0 && (s.IdleLimit == 0 || limit < s.IdleLimit*9/10) { // a little less is within the margin
			c.setIdleLimit(s, limit, now)
		}
	}
}

func (c *Core) setIdleLimit(s *Server, limit time.Duration, now time.Time) {
	was := s.IdleLimit
	s.IdleLimit, s.LearnedAt = limit, now
	c.do(LimitLearned{s, limit, was})
}

// quietest is the longest that an idle connection to a server has been quiet.
func (c *Core) quietest(s *Server, now time.Time) (longest time.Duration) {
	for _, conn := range c.conns {
		if conn.Server == s && conn.Phase == Available {
			longest = max(longest, now.Sub(conn.Quiet))
		}
	}
	return longest
}

// checkStandbys dials the usable servers that have no connection, if there is room: otherwise it
// would not be noticed that one is gone before it is needed. It does so when a server has answered
// nothing for a while, and immediately when the server closed its last connection. It reports
// whether it could dial all of them.
func (c *Core) checkStandbys(now time.Time) (all bool) {
	all = true
	l := c.probeLane()
	for _, s := range c.servers {
		due := s.deserted || !s.Answered.After(now.Add(-c.cfg.HealthCheckInterval))
		switch {
		case !due || !s.isUsable() || s.load(Search)+s.load(Bind) > 0 || c.counts.total() >= c.cfg.MaxConns:
		case !c.mayDial(l, now):
			all = false
		default:
			s.deserted = false
			c.dial(l, s, ForStandby, 0, now)
		}
	}
	return all
}

// fillMinIdle dials what is missing of MinIdleConns, within each lane's share, and reports whether
// it could dial all of it.
func (c *Core) fillMinIdle(now time.Time) (all bool) {
	all = true
	for _, l := range bothLanes {
		if c.cfg.BindOnly && l == Search {
			continue
		}
		// A connection that is being checked in the background is about to be idle again, and one
		// that checks a standby is not meant to stay.
		others := c.maintenance.checks[l] - c.redundantDials(l)
		for c.best(l) != nil && c.counts[l][Available]+others+c.coming(l)-c.queue.waiting[l][forConn] < c.cfg.MinIdleConns &&
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
