package core

import "time"

// ServiceBindRule says when connections of the bind lane begin with a service bind.
type ServiceBindRule uint8

// The rules.
const (
	WhereNeeded ServiceBindRule = iota // to servers that end a connection on which the root DSE is read
	Always
	Never
)

// CutsProve is for how long every connection must end without an answer to the first read of the
// root DSE before that read is taken for the cause. For a while they may end for any reason.
const CutsProve = 15 * time.Second

// proof is how a check shows that a connection works.
type proof uint8

const (
	byRead  proof = iota // of the root DSE; any answer will do
	byBind               // a service bind, which must succeed
	byTrust              // not at all
)

// The readers of a root DSE, as indexes.
const (
	nobody  = iota // or a user
	service        // the service identity
)

// firstReader is who reads the root DSE in the connection's dial.
func (conn *Conn) firstReader() int {
	if conn.AsService {
		return service
	}
	return nobody
}

// reader is who reads the root DSE when the connection is checked.
func (conn *Conn) reader() int {
	if conn.Lane == Bind {
		return nobody
	}
	return conn.firstReader()
}

// bindsAsService reports whether a dial of a lane to a server binds as the service identity.
func (c *Core) bindsAsService(l Lane, s *Server) bool {
	switch {
	case !c.cfg.ServiceBind:
		return false
	case l == Search || c.cfg.BindLane == Always:
		return true
	}
	return c.cfg.BindLane == WhereNeeded && s.hangsUp[nobody]
}

// mayBindAsService reports whether one more service bind may be done now. They are done one at a
// time until one is accepted: a directory counts each that it refuses, and locks the account after
// some.
func (c *Core) mayBindAsService(now time.Time) bool {
	running, all := c.coming(Search), 0
	for _, conn := range c.conns {
		if conn.Phase == Checking && conn.byBind || conn.Phase == Dialing && conn.Lane == Bind && conn.AsService {
			running++
		}
		if conn.IsDialing() && conn.AsService {
			all++
		}
	}
	if now.Sub(c.lastServiceBind) < ServiceBindTrust {
		return running < MaxServiceBinds
	}
	return running == 0 && all < MaxServiceBinds
}

// proof is how a connection can be checked. A server that ends connections on which its root DSE is
// read is asked by a service bind, unless it refuses that; without a service identity, a connection
// is trusted since its dial.
func (c *Core) proof(conn *Conn) proof {
	s := conn.Server
	switch {
	case !s.hangsUp[conn.reader()]:
		return byRead
	case !c.cfg.ServiceBind, conn.Lane == Bind && c.cfg.BindLane == Never, s.Health.Refusals() > 0, c.isOutdated(conn):
		return byTrust
	}
	return byBind
}

// mayCheck reports whether a connection can be checked now.
func (c *Core) mayCheck(conn *Conn, now time.Time) bool {
	switch c.proof(conn) {
	case byTrust:
		return false
	case byBind:
		return c.mayBindAsService(now)
	}
	return true
}

// learnsToHangUp reports whether a dial or check failed because the server ends connections on
// which its root DSE is read, and remembers that. If the server answered nothing, that is believed
// after a while, and only where a service bind can show that the server is well apart from that.
func (c *Core) learnsToHangUp(conn *Conn, f Failure, now time.Time) bool {
	s, reader := conn.Server, conn.reader()
	if conn.Phase == Closed { // it was a dial
		reader = conn.firstReader()
	}
	switch {
	case f.HungUp:
	case !f.Cut, !c.cfg.ServiceBind, conn.Lane == Bind && c.cfg.BindLane == Never:
		return false
	case s.cutSince[reader].IsZero():
		s.cutSince[reader] = now
		return false
	case now.Sub(s.cutSince[reader]) < CutsProve:
		return false
	}
	if !s.hangsUp[reader] {
		s.hangsUp[reader] = true
		c.do(HangsUp{s, f.Err})
	}
	return true
}
