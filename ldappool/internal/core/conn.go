package core

import (
	"slices"
	"time"

	"authsvc/ldappool/internal/health"
	"authsvc/ldappool/internal/limits"
)

// Lane is one of the two kinds of connections.
type Lane uint8

// The lanes.
const (
	Search Lane = iota // bound as the service identity
	Bind               // for users' binds
)

var bothLanes = [2]Lane{Search, Bind}

func (l Lane) other() Lane { return 1 - l }

// Phase is a phase in the life of a connection.
type Phase uint8

// The phases. A connection begins with Dialing and ends with Closed.
const (
	Dialing     Phase = iota
	DialingSlow       // for longer than DialHedgeAfter
	Available         // idle
	InUse             // by a caller
	Checking          // by the pool
	Closing           // until its socket is closed
	Closed
	phases
)

// Reason says why a connection was closed.
type Reason string

// The reasons that the core itself uses; others come with the events.
const (
	ReasonPeerClosed  Reason = "peer_closed"
	ReasonNotice      Reason = "notice"
	ReasonCheck       Reason = "ping_failed"
	ReasonMaxIdle     Reason = "max_idle"
	ReasonMaxLifetime Reason = "max_lifetime"
	ReasonReplaced    Reason = "replaced"
	ReasonIdleLimit   Reason = "idle_limit"
	ReasonServerDown  Reason = "server_down"
	ReasonRebalanced  Reason = "rebalanced"
	ReasonClosed      Reason = "pool_closed"
)

// Purpose is what a connection was dialed for.
type Purpose uint8

// The purposes.
const (
	ForCallers     Purpose = iota // requests, or the least number of idle connections
	ForProbe                      // to check a server that is not usable
	ForReplacement                // to replace an outdated connection
	ForStandby                    // to check a usable server that has no connection
)

// Conn is a connection as the core knows it. Its exported fields are set by the core and may be
// read by the shell under its lock; Server, Lane, Purpose, Link, Identity, AsService and Reads
// never change.
type Conn struct {
	Server   *Server
	Lane     Lane
	Purpose  Purpose
	Link     any // of the server, when it was dialed
	Identity int // of the configuration, when it was dialed
	// AsService: the dial binds as the service identity. Reads: it may read the root DSE.
	AsService, ReadsRootDSE bool

	Phase        Phase
	Reason       Reason // why it was closed; empty before
	CreatedAt    time.Time
	LastUsed     time.Time // when a caller last used it; CreatedAt before the first
	LastReceived time.Time // when something was last received
	Fresh        bool      // it was dialed for the caller that has it

	Shell any // the shell's own

	dialed       time.Time // when the dial began
	cancelAt     time.Time // when the dial is canceled, if it has its own limit
	canceled     bool      // the dial was canceled
	shortTimeout bool      // the dial is short, and is not canceled for callers
	overdue      bool      // the dial takes longer than RedialAfter: another one may begin meanwhile
	expires      time.Time // CreatedAt plus MaxLifetime with its jitter
	acquired     time.Time // when the caller got it, or the check began

	request    *Request // that the check is for
	background bool     // the check is for no request
	byBind     bool     // the check is a service bind
	verifying  bool     // the check finds out whether a server whose probe failed still serves
	ended      Reason   // the connection has ended by itself
	endedIdle  bool     // and no request was under way on it
}

// IsDialing reports whether the connection is being dialed.
func (c *Conn) IsDialing() bool { return c.Phase == Dialing || c.Phase == DialingSlow }

// isOpen reports whether the connection is dialed and not being closed.
func (c *Conn) isOpen() bool {
	return c.Phase == Available || c.Phase == InUse || c.Phase == Checking
}

// Server is a directory server.
type Server struct {
	Endpoint
	Health    health.Server
	Limits    limits.Detector
	IdleLimit time.Duration // learned; 0: none is known
	LearnedAt time.Time     // when IdleLimit was
	Answered  time.Time     // when it last answered anything; zero: never
	MinRTT    time.Duration // its fastest answer since its last dial, with the dial's own
	Ready     bool          // a connection to it was made since the start

	idle           [2]Idle
	counts         counts
	removed        bool         // no longer in the configuration
	lastServed     [2]int64     // when it last served each lane, in lane.acquired
	slotFreedAt    time.Time    // when a connection was last closed for a probe of it, or a probe began
	slotReserved   bool         // that connection's slot is reserved for the probe
	probeErr       error        // of a probe that failed, while its connections are checked
	probedAt       time.Time    // when that probe began
	reprobe        bool         // the running probe is for an earlier configuration
	checkPending   bool         // it is being checked because it is silent
	lastConnClosed bool         // it closed its last connection, and was not checked since
	hangsUp        [2]bool      // by reader: a read of the root DSE ends the connection
	cutSince       [2]time.Time // by reader: since when every first read ended its connection without an answer
}

// Conns counts the server's connections that are open or not yet closed.
func (s *Server) Conns() int {
	return s.open(Search) + s.open(Bind)
}

func (s *Server) open(l Lane) int {
	return s.counts[l][Available] + s.counts[l][InUse] + s.counts[l][Checking] + s.counts[l][Closing]
}

func (s *Server) dialing(l Lane) int { return s.counts[l][Dialing] + s.counts[l][DialingSlow] }

// load counts the connections of a lane, those being dialed included.
func (s *Server) load(l Lane) int { return s.open(l) + s.dialing(l) }

func (s *Server) isUsable() bool { return s.Health.State == health.Usable }

// counts counts connections by lane and phase.
type counts [2][phases]int

// all counts the connections of both lanes in a phase.
func (n *counts) all(p Phase) int { return n[Search][p] + n[Bind][p] }

// size counts a lane's connections without those being closed.
func (n *counts) size(l Lane) int {
	return n[l][Dialing] + n[l][DialingSlow] + n[l][Available] + n[l][InUse] + n[l][Checking]
}

// total counts what MaxConns bounds.
func (n *counts) total() int { return n.size(Search) + n.size(Bind) + n.all(Closing) }

func (n *counts) dialing() int { return n.all(Dialing) + n.all(DialingSlow) }

// setPhase is the only place where the phase of a connection changes, and with it every count.
func (c *Core) setPhase(conn *Conn, to Phase) {
	c.counts[conn.Lane][conn.Phase]--
	conn.Server.counts[conn.Lane][conn.Phase]--
	conn.Phase = to
	c.counts[conn.Lane][to]++
	conn.Server.counts[conn.Lane][to]++
	if to == Closed {
		c.counts[conn.Lane][to]--
		conn.Server.counts[conn.Lane][to]--
		c.conns = slices.DeleteFunc(c.conns, func(o *Conn) bool { return o == conn })
	}
}

// add makes a connection that is being dialed.
func (c *Core) add(conn *Conn) {
	c.conns = append(c.conns, conn)
	c.counts[conn.Lane][Dialing]++
	conn.Server.counts[conn.Lane][Dialing]++
}

// take removes a connection from the idle ones. The caller sets its next phase.
func (c *Core) take(conn *Conn) { conn.Server.idle[conn.Lane].Take(conn) }

// close closes a connection that is not among the idle ones.
func (c *Core) close(conn *Conn, reason Reason) {
	if r := conn.request; r != nil {
		conn.request, r.checking = nil, nil
		c.queue.setWait(r, forConn)
	}
	conn.Reason = reason
	c.setPhase(conn, Closing)
	c.emit(Close{conn})
}

// closeIdle closes an idle connection.
func (c *Core) closeIdle(conn *Conn, reason Reason) {
	c.take(conn)
	c.close(conn, reason)
}

// Closed records that a connection is closed: its slot is free.
func (c *Core) Closed(now time.Time, conn *Conn) {
	s := conn.Server
	outdated := c.isOutdated(conn)
	c.setPhase(conn, Closed)
	c.stats.Closed[conn.Reason]++
	if conn.ended == ReasonPeerClosed && s.Conns() == 0 {
		s.lastConnClosed = true
		c.maintenance.requested = true
	}
	if outdated {
		c.finishRollout(now)
	}
	c.settle(now)
}

// findIdle returns the least recently used idle connection of a lane that matches.
func (c *Core) findIdle(l Lane, match func(*Conn) bool) (found *Conn) {
	if c.counts[l][Available] == 0 {
		return nil
	}
	for _, conn := range c.conns {
		if conn.Phase == Available && conn.Lane == l && (found == nil || conn.LastUsed.Before(found.LastUsed)) && match(conn) {
			found = conn
		}
	}
	return found
}

// eachIdle calls f for every idle connection. f may close it.
func (c *Core) eachIdle(f func(*Conn)) {
	if c.counts.all(Available) == 0 {
		return
	}
	for _, conn := range slices.Clone(c.conns) {
		if conn.Phase == Available {
			f(conn)
		}
	}
}

// closeReason reports whether a connection must not be used any more, and why.
func (c *Core) closeReason(conn *Conn, now time.Time) (Reason, bool) {
	limit := conn.Server.IdleLimit
	switch {
	case conn.ended != "":
		return conn.ended, true
	case conn.Server.Health.State == health.Down:
		return ReasonServerDown, true
	case c.exemptFromAge(conn):
		return "", false
	case now.After(conn.expires):
		return ReasonMaxLifetime, true
	case now.Sub(conn.LastUsed) > c.cfg.MaxIdleTime:
		return ReasonMaxIdle, true
	case limit > 0 && now.Sub(conn.LastReceived) > limit:
		return ReasonIdleLimit, true
	}
	return "", false
}

// Ended records that a connection ended: while no request was under way on it (idle), or during a
// request.
func (c *Core) Ended(now time.Time, conn *Conn, reason Reason, at time.Time, idle bool) {
	if !conn.isOpen() || conn.ended != "" {
		return
	}
	conn.ended, conn.endedIdle = reason, idle
	c.maintenance.requested = true
	if idle && (reason == ReasonPeerClosed || reason == ReasonNotice) {
		c.disconnected(conn, at, false)
	}
	if conn.Phase == Available {
		c.closeIdle(conn, reason)
		c.settle(now)
	}
}
