package core

import (
	"maps"
	"time"

	"authsvc/ldappool/internal/health"
)

// LaneStat is a snapshot of a lane.
type LaneStat struct {
	Idle, InUse, Dialing int
	Waiting              int
	Outdated             int
	Acquired             int64
}

// LaneStat returns a snapshot of a lane. Connections that the pool checks are in use.
func (c *Core) LaneStat(l Lane) LaneStat {
	n := &c.counts[l]
	return LaneStat{
		Idle: n[Available], InUse: n[InUse] + n[Checking], Dialing: n[Dialing] + n[DialingSlow],
		Waiting: c.queue.waiting[l][forConn], Outdated: c.outdated(l), Acquired: c.lanes[l].acquired,
	}
}

// Stats returns the counters.
func (c *Core) Stats() Stats {
	s := c.stats
	s.Closed = maps.Clone(s.Closed)
	return s
}

// Servers returns the servers of the configuration. They are read under the caller's lock.
func (c *Core) Servers() []*Server { return c.servers }

// Conns returns the connections. They are read under the caller's lock.
func (c *Core) Conns() []*Conn { return c.conns }

// IsReady reports whether a connection was made since the start.
func (c *Core) IsReady() bool { return c.ready }

// IsClosed reports whether Close was called.
func (c *Core) IsClosed() bool { return c.closed }

// suspectGrace is how long a suspect server still counts as usable: a probe has ended by then.
const suspectGrace = 2 * time.Second

// IsUsable reports whether a login can succeed now: a server is usable, or became suspect a moment
// ago, or one that is suspect or left the configuration still has connections of every lane that a
// login needs.
func (c *Core) IsUsable(now time.Time) bool {
	for _, s := range c.known() {
		switch {
		case s.isUsable() && !s.removed:
			return true
		case s.Health.State == health.Down || !s.Ready:
		case s.open(Bind) > 0 && (s.open(Search) > 0 || c.cfg.BindOnly), !s.removed && now.Sub(s.Health.Since) < suspectGrace:
			return true
		}
	}
	return false
}
