package core

import (
	"time"
)

// checkFor checks a connection for a request before its use. If the check is slow, the request also
// accepts another connection, and gets the one that is ready first.
func (c *Core) checkFor(r *Request, conn *Conn, now time.Time) {
	r.checking, conn.request = conn, r
	r.hedgeAt = now.Add(max(HedgeAfter, HedgeFactor*conn.Server.MinRTT))
	if least := now.Add(MinCheck); r.expiresAt.Before(least) {
		r.expiresAt = least
	}
	c.queue.setWait(r, forCheck)
	c.wakeBy(r.hedgeAt)
	c.check(conn, now)
}

func (c *Core) check(conn *Conn, now time.Time) {
	conn.acquired = now
	conn.byBind = c.checkMethodOf(conn) == byBind
	c.setPhase(conn, Checking)
	c.emit(Check{conn, conn.byBind, c.checkTimeout(conn.Server)})
}

// checkTimeout bounds a check of a server. A server that takes long for every answer is slow, not
// silent.
func (c *Core) checkTimeout(s *Server) time.Duration {
	return max(CheckTimeout, min(CheckFactor*s.MinRTT, c.cfg.RequestTimeout))
}

// hedge lets a request whose check is slow accept any other connection that recently answered: an
// idle one, or else the next that is released or dialed.
func (c *Core) hedge(r *Request, now time.Time) {
	c.queue.setWait(r, forCheckOrConn)
	conn := c.findIdle(r.Lane, func(o *Conn) bool {
		if !r.accepts(o) {
			return false
		}
		how, _ := c.suitabilityOf(r, o, now)
		return how == suits
	})
	if conn != nil {
		c.take(conn)
		c.grant(r, conn, now)
	}
}

// checkInBackground checks an idle connection that no request is waiting for.
func (c *Core) checkInBackground(conn *Conn, now time.Time) {
	c.take(conn)
	c.maintenance.checks[conn.Lane]++
	conn.background = true
	c.check(conn, now)
}

// Checked records the end of a check. The failure's Err is nil if the server answered.
func (c *Core) Checked(now time.Time, conn *Conn, took time.Duration, f Failure) {
	s, r, background := conn.Server, conn.request, conn.background
	idle := conn.acquired.Sub(conn.LastReceived)
	if background {
		conn.background = false
		c.maintenance.checks[conn.Lane]--
		c.maintenance.requested = true // for the next one
		s.checkPending = false
	}
	if conn.byBind && f.Err == nil {
		c.lastServiceBind = now
	}
	conn.byBind = false
	if f.Err == nil {
		s.Limits.Survived(now, idle)
		c.answered(conn, took, now)
		c.checkPassed(conn, r, now)
	} else {
		c.checkFailed(conn, r, f, now)
	}
	if conn.verifying {
		conn.verifying = false
		c.verifyDone(s, f.Err == nil || f.HungUp, f.TimedOut, now)
	}
	c.settle(now)
}

// checkPassed uses a connection whose check succeeded.
func (c *Core) checkPassed(conn *Conn, r *Request, now time.Time) {
	if r != nil {
		if reason, bad := c.closeReason(conn, now); bad {
			c.close(conn, reason)
			return
		}
		c.grant(r, conn, now)
		return
	}
	conn.acquired = time.Time{}
	if reason := c.retireReason(conn, now); reason != "" {
		c.close(conn, reason)
		return
	}
	c.offer(conn, false, now)
}

// checkFailed closes a connection whose check failed. The request that it was for waits for another
// one.
func (c *Core) checkFailed(conn *Conn, r *Request, f Failure, now time.Time) {
	if c.closed {
		c.close(conn, ReasonClosed)
		return
	}
	hungUp := c.detectHangUp(conn, f, now) // which is no evidence about idle connections
	if !hungUp && (f.TimedOut || f.Refused) {
		c.fault(conn.Server, OpCheck, f.Err, f.Refused, now)
	}
	if !hungUp && !f.Answered && !conn.endedIdle { // otherwise its end has been recorded
		c.disconnected(conn, conn.acquired, true)
	}
	c.close(conn, ReasonCheck)
	if r != nil && !now.Before(r.Deadline) {
		c.reject(r, &Rejection{Kind: KindUnavailable, Server: conn.Server.URL, Err: f.Err})
	}
}
