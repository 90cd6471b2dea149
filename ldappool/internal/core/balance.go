package core

import (
	"time"

	"authsvc/ldappool/internal/health"
)

// best returns the server to dial next for a lane, or nil. It prefers a server without slow dials.
// A server that refuses the service identity can still serve users' binds, while searches use the
// connections that it accepted before.
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

// choose returns the matching server to which the next connection of a lane goes, or nil. With
// failover it is a server of the first tier, with round robin of any tier; among these it is the
// server with the fewest connections.
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
			if best == nil || c.preferred(s, best, r.Lane) {
				best = s
			}
		}
	}
	return best
}

// preferred reports whether s serves a request rather than o. With round robin the server that has
// not served for longest is preferred. With failover the lower tier is preferred, and within a tier
// the server that served last.
func (c *Core) preferred(s, o *Server, l Lane) bool {
	switch {
	case s.isUsable() != o.isUsable():
		return s.isUsable()
	case s.removed != o.removed:
		return o.removed
	case c.cfg.RoundRobin:
		return s.lastServed[l] < o.lastServed[l]
	case s.Tier != o.Tier:
		return s.Tier < o.Tier
	}
	return s.lastServed[l] > o.lastServed[l]
}

// rebalance moves connections to the servers that the policy prefers.
func (c *Core) rebalance(now time.Time) {
	if c.cfg.RoundRobin {
		c.rebalanceRoundRobin(now.Add(-health.StableAfter), now)
	} else {
		c.failBack(now)
	}
}

// failBack closes one idle connection of each lane to a server of a later tier than the first
// usable one, when that server has been usable for a while. The replacement is dialed to that
// server.
func (c *Core) failBack(now time.Time) {
	home := c.firstUsable()
	if home == nil || now.Sub(home.Health.Since) < health.StableAfter {
		return
	}
	for _, l := range bothLanes {
		conn := c.findIdle(l, func(o *Conn) bool { return o.Server.Tier > home.Tier && !c.isOutdated(o) })
		if conn != nil {
			c.closeIdle(conn, ReasonReplaced)
		}
	}
}

// rebalanceRoundRobin moves one idle connection of each lane from the server that has most to the
// one that has fewest and has been usable since before a moment.
func (c *Core) rebalanceRoundRobin(before, now time.Time) {
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

// isRedundant reports whether a connection left over from a probe or standby check is not needed,
// because callers have a preferred server.
func (c *Core) isRedundant(conn *Conn) bool {
	best := c.firstUsable()
	return !c.cfg.RoundRobin && best != nil && best.Tier < conn.Server.Tier
}
