package core

import (
	"time"
)

// checkFor checks a connection for a request before its use. If the check is slow, the request
// accepts another connection as well, and gets what is ready first.
func (c *Core) checkFor(r *Request, conn *Conn, now time.Time) {
	r.checking, conn.request = conn, r
	r.hedgeAt = now.Add(max(HedgeAfter, HedgeFactor*conn.MinRTT))
	if least := now.Add(MinCheck); r.until.Before(least) {
		r.until = least
	}
	c.queue.mark(r, forCheck)
	c.wakeBy(r.hedgeAt)
	c.check(conn, now)
}

func (c *Core) check(conn *Conn, now time.Time) {
	conn.acquired = now
	conn.byBind = c.proof(conn) == byBind
	c.move(conn, Checking)
	c.do(Check{conn, conn.byBind})
}

// hedge lets a request whose check is slow accept any other connection that has just been seen to
// work: one that is idle, or else the next that comes back or is dialed.
func (c *Core) hedge(r *Request, now time.Time) {
	c.queue.mark(r, forCheckOrConn)
	conn := c.findIdle(r.Lane, func(o *Conn) bool {
		if !r.accepts(o) {
			return false
		}
		how, _ := c.examine(r, o, now)
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
	idle := conn.acquired.Sub(conn.Quiet)
	if background {
		conn.background = false
		c.maintenance.checks[conn.Lane]--
		c.maintenance.wanted = true // for the next one
		s.asked = false
	}
	if conn.byBind && f.Err == nil {
		c.lastServiceBind = now
	}
	conn.byBind = false
	if f.Err == nil {
		s.Limits.Survived(now, idle)
		c.answered(conn, took, now)
		c.passed(conn, r, now)
	} else {
		c.failed(conn, r, f, now)
	}
	if conn.verifying {
		conn.verifying = false
		c.verified(s, f.Err == nil || f.HungUp, f.TimedOut, now)
	}
	c.settle(now)
}

// passed puts a connection to use whose check succeeded.
func (c *Core) passed(conn *Conn, r *Request, now time.Time) {
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

// failed closes a connection whose check failed. The request that it was for waits for another one.
func (c *Core) failed(conn *Conn, r *Request, f Failure, now time.Time) {
	if c.closed {
		c.close(conn, ReasonClosed)
		return
	}
	hungUp := c.learnsToHangUp(conn, f, now) // which says nothing about idle connections
	if !hungUp && (f.TimedOut || f.Refused) {
		c.fault(conn.Server, OpCheck, f.Err, f.Refused, now)
	}
	if !hungUp && !f.Answered && !conn.endedIdle { // otherwise its end was seen, and is recorded
		c.disconnected(conn, conn.acquired, true)
	}
	c.close(conn, ReasonCheck)
	if r != nil && !now.Before(r.Deadline) {
		c.reject(r, &Rejection{Kind: KindUnavailable, Server: conn.Server.URL, Err: f.Err})
	}
}
