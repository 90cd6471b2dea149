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

// HangUpConfirmAfter is how long every connection must have ended without an answer to the first
// read of the root DSE before that read is assumed to be the cause. For a shorter time there may be
// another cause.
const HangUpConfirmAfter = 15 * time.Second

// checkMethod is how a check shows that a connection works.
type checkMethod uint8

const (
	byRead    checkMethod = iota // of the root DSE; any answer will do
	byBind                       // a service bind, which must succeed
	unchecked                    // not at all
)

// The readers of a root DSE, as indexes.
const (
	anonymousReader = iota // or a user
	serviceReader          // the service identity
)

// dialReader returns the identity that reads the root DSE in the connection's dial.
func (conn *Conn) dialReader() int {
	if conn.AsService {
		return serviceReader
	}
	return anonymousReader
}

// checkReader returns the identity that reads the root DSE when the connection is checked.
func (conn *Conn) checkReader() int {
	if conn.Lane == Bind {
		return anonymousReader
	}
	return conn.dialReader()
}

// bindsAsService reports whether a dial of a lane to a server binds as the service identity.
func (c *Core) bindsAsService(l Lane, s *Server) bool {
	switch {
	case !c.cfg.ServiceBind:
		return false
	case l == Search || c.cfg.BindLane == Always:
		return true
	}
	return c.cfg.BindLane == WhereNeeded && s.hangsUp[anonymousReader]
}

// mayBindAsService reports whether one more service bind may be done now. Until one is accepted,
// one runs at a time: a directory counts each refused bind, and may lock the account.
func (c *Core) mayBindAsService(now time.Time) bool {
	running, all := c.expectedDials(Search), 0
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

// checkMethodOf returns how a connection can be checked. If the server ends connections on which
// its root DSE is read, the check is a service bind, unless the server refuses it. Without a
// service identity, such a connection is not checked.
func (c *Core) checkMethodOf(conn *Conn) checkMethod {
	s := conn.Server
	switch {
	case !s.hangsUp[conn.checkReader()]:
		return byRead
	case !c.cfg.ServiceBind, conn.Lane == Bind && c.cfg.BindLane == Never, s.Health.Refusals() > 0, c.isOutdated(conn):
		return unchecked
	}
	return byBind
}

// mayCheck reports whether a connection can be checked now.
func (c *Core) mayCheck(conn *Conn, now time.Time) bool {
	switch c.checkMethodOf(conn) {
	case unchecked:
		return false
	case byBind:
		return c.mayBindAsService(now)
	}
	return true
}

// detectHangUp reports whether a dial or check failed because the server ends connections on which
// its root DSE is read, and remembers that. If the server sent no answer, it takes
// HangUpConfirmAfter to conclude that, and a service bind must be possible as another check.
func (c *Core) detectHangUp(conn *Conn, f Failure, now time.Time) bool {
	s, reader := conn.Server, conn.checkReader()
	if conn.Phase == Closed { // a failed dial
		reader = conn.dialReader()
	}
	switch {
	case f.HungUp:
	case !f.Cut, !c.cfg.ServiceBind, conn.Lane == Bind && c.cfg.BindLane == Never:
		return false
	case s.cutSince[reader].IsZero():
		s.cutSince[reader] = now
		return false
	case now.Sub(s.cutSince[reader]) < HangUpConfirmAfter:
		return false
	}
	if !s.hangsUp[reader] {
		s.hangsUp[reader] = true
		c.emit(HangsUp{s, f.Err})
	}
	return true
}
