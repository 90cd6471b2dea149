package core

import (
	"time"

	"authsvc/ldappool/internal/health"
)

// best is the server that is dialed next for a lane, or nil: one without slow dials before one that
// has some. A server that refuses the service identity can still serve users' binds, while searches
// go on over the connections that it accepted before.
func (c *Core) best(l Lane) *Server {
	if s := c.choose(l, func(s *Server) bool { return s.isUsable() && s.counts[l][DialingSlow] == 0 }); s != nil {
		return s
	}
	if s := c.choose(l, func(s *Server) bool { return s.isUsable() }); s != nil || l == Search {
		return s
	}
	return c.choose(l, c.servesRefused)
}

// servesRefused reports whether a server that refuses the service identity still serves users'
// binds.
func (c *Core) servesRefused(s *Server) bool { return s.Health.Refused() && !c.bindsAsService(Bind, s) }

// choose returns the server to which the next connection of a lane goes, of those that match: one
// of the first tier, or with round robin of any, and among equals the one that has fewest
// connections; nil if none matches.
func (c *Core) choose(l Lane, match func(*Server) bool) (best *Server) {
	for _, s := range c.servers {
		if match(s) && (best == nil || (c.cfg.RoundRobin || s.Tier == best.Tier) && s.load(l) < best.load(l)) {
			best = s
		}
	}
	return best
}

// pick returns the server whose idle connection a request gets, or nil: usable before suspect, and
// then by the policy.
func (c *Core) pick(r *Request) (best *Server) {
	for _, servers := range [2][]*Server{c.servers, c.leaving} {
		for _, s := range servers {
			if s.counts[r.Lane][Available] == 0 || r.Exclude != nil && (s == r.Exclude || !s.isUsable()) {
				continue
			}
			if best == nil || c.serves(s, best, r.Lane) {
				best = s
			}
		}
	}
	return best
}

// serves reports whether a request is served by s rather than by o. With round robin it is the one
// that served longest ago; otherwise the one of the lower tier, and among equals the one that
// served last.
func (c *Core) serves(s, o *Server, l Lane) bool {
	switch {
	case s.isUsable() != o.isUsable():
		return s.isUsable()
	case s.removed != o.removed:
		return o.removed
	case c.cfg.RoundRobin:
		return s.turn[l] < o.turn[l]
	case s.Tier != o.Tier:
		return s.Tier < o.Tier
	}
	return s.turn[l] > o.turn[l]
}

// rebalance moves connections towards where the policy wants them.
func (c *Core) rebalance(now time.Time) {
	if c.cfg.RoundRobin {
		c.spread(now.Add(-health.Settled), now)
	} else {
		c.failBack(now)
	}
}

// failBack closes one idle connection of each lane to a server of a later tier than the first
// usable one, when that has been usable for a while: what replaces the connection goes there.
func (c *Core) failBack(now time.Time) {
	home := c.firstUsable()
	if home == nil || now.Sub(home.Health.Since) < health.Settled {
		return
	}
	for _, l := range bothLanes {
		conn := c.findIdle(l, func(o *Conn) bool { return o.Server.Tier > home.Tier && !c.isOutdated(o) })
		if conn != nil {
			c.closeIdle(conn, ReasonReplaced)
		}
	}
}

// spread moves one idle connection of each lane from the server that has most to the one that has
// fewest and has been usable since before a moment.
func (c *Core) spread(before, now time.Time) {
	for _, l := range bothLanes {
		var most, least *Server
		for _, s := range c.servers {
			if !s.isUsable() {
				continue
			}
			if most == nil || s.load(l) > most.load(l) {
				most = s
			}
			if !s.Health.Since.After(before) && (least == nil || s.load(l) < least.load(l)) {
				least = s
			}
		}
		if least == nil || most.load(l)-least.load(l) < 2 {
			continue
		}
		conn := c.findIdle(l, func(o *Conn) bool { return o.Server == most })
		if conn == nil {
			continue
		}
		if c.mayDial(l, now) && c.counts.total() < c.cfg.MaxConns {
			c.dial(l, least, ForCallers, 0, now)
		}
		c.closeIdle(conn, ReasonReplaced)
	}
}

// isRedundant reports whether a connection that a check of its server left behind is of no use,
// because callers have a better server.
func (c *Core) isRedundant(conn *Conn) bool {
	best := c.firstUsable()
	return !c.cfg.RoundRobin && best != nil && best.Tier < conn.Server.Tier
}
