package core

import (
	"fmt"
	"time"

	"authsvc/ldappool/internal/health"
)

// Acquire requests a connection. Afterwards the request has a connection, has an error, or waits.
// If it waits, a Grant or Reject follows, at its deadline or shortly after.
func (c *Core) Acquire(now time.Time, r *Request) {
	r.expiresAt = r.Deadline
	if err := c.admit(r, now); err != nil {
		c.stats.Refused++
		r.Err = err
		return
	}
	c.queue.push(r)
	if c.queue.waiting[r.Lane][forConn] == 1 || r.Exclude != nil {
		c.match(r, now)
	}
	c.wakeBy(r.expiresAt)
	c.settle(now)
	c.answerNow(r)
}

// answerNow removes the answer to a new request from the actions, because its caller is not waiting
// yet.
func (c *Core) answerNow(r *Request) {
	for i := len(c.actions) - 1; i >= 0 && r.wait == notQueued; i-- {
		if c.actions[i] == (Grant{r}) || c.actions[i] == (Reject{r}) {
			c.actions = append(c.actions[:i], c.actions[i+1:]...)
			return
		}
	}
}

// admit rejects a request that cannot be served, or not in time.
func (c *Core) admit(r *Request, now time.Time) *Rejection {
	l := r.Lane
	switch {
	case c.closed:
		return &Rejection{Kind: KindClosed}
	case !c.mayServe(l):
		return c.unavailable()
	case r.Exclude != nil, c.counts[l][Available] > 0 && c.queue.waiting[l][forConn] == 0:
		return nil
	}
	waiting := c.queue.waiting[Search][forConn] + c.queue.waiting[Bind][forConn]
	if waiting >= c.cfg.MaxWaiters+c.spareCapacity(l) {
		return &Rejection{Kind: KindOverloaded, Err: ErrTooManyWaiters}
	}
	return c.admitInTime(r, now)
}

// Refuse rejects a request whose caller has already stopped waiting, as Cancel does.
func (c *Core) Refuse(r *Request, canceled bool, err error) {
	c.stats.Refused++
	switch {
	case c.closed:
		r.Err = &Rejection{Kind: KindClosed}
	case canceled:
		r.Err = &Rejection{Kind: KindCanceled}
	default:
		r.Err = c.waitedTooLong(r, err)
	}
}

// Cancel rejects a request whose caller has stopped waiting. canceled means that the caller's
// context was canceled; err, if not nil, is why it stopped waiting. Cancel returns false if the
// request was already granted or rejected.
func (c *Core) Cancel(now time.Time, r *Request, canceled bool, err error) bool {
	if r.wait == notQueued {
		return false
	}
	rejection := &Rejection{Kind: KindCanceled}
	if !canceled {
		rejection = c.waitedTooLong(r, err)
	}
	c.reject(r, rejection)
	c.settle(now)
	c.answerNow(r)
	return true
}

// expireRequests rejects the requests whose deadline has passed, and lets requests whose check is
// slow accept another connection.
func (c *Core) expireRequests(now time.Time) {
	c.queue.each(func(r *Request) {
		switch {
		case !now.Before(r.expiresAt):
			c.reject(r, c.waitedTooLong(r, nil))
			return
		case r.wait == forCheck && !now.Before(r.hedgeAt):
			c.hedge(r, now)
		}
		if r.wait == forCheck {
			c.wakeBy(r.hedgeAt)
		}
		if r.wait != notQueued {
			c.wakeBy(r.expiresAt)
		}
	})
}

// waitedTooLong is the rejection of a request that was not served in time. If the pool was full,
// the reason is that no connection was free. Otherwise the reason is the server, which could not be
// dialed or whose dials hang.
func (c *Core) waitedTooLong(r *Request, err error) *Rejection {
	n := &c.counts[r.Lane]
	switch {
	case r.checking != nil && err == nil:
		return &Rejection{Kind: KindUnavailable, Server: r.checking.Server.URL, Err: fmt.Errorf("ping: %w", ErrNoAnswer)}
	case c.best(r.Lane) == nil || n[Available]+n[InUse]+n[Checking] == 0 && c.expectedDials(r.Lane) > 0:
		rejection := c.unavailable()
		if slow := c.slowDial(r.Lane); rejection.Err == nil && slow != nil {
			rejection = slow
		}
		return rejection.withCause(err)
	case n[DialingSlow] > 0:
		return c.slowDial(r.Lane).withCause(err)
	case err != nil:
		err = fmt.Errorf("%w: %w", ErrWaitedTooLong, err)
	default:
		err = ErrWaitedTooLong
	}
	return &Rejection{Kind: KindOverloaded, Err: err}
}

// slowDial is the rejection of a request that waited for a slow dial; nil if no dial of its lane is
// slow.
func (c *Core) slowDial(l Lane) *Rejection {
	for _, conn := range c.conns {
		if conn.Lane == l && conn.Phase == DialingSlow {
			return &Rejection{Kind: KindUnavailable, Server: conn.Server.URL, Err: fmt.Errorf("%s: %w", OpDial, ErrNoAnswer)}
		}
	}
	return nil
}

func (c *Core) reject(r *Request, err *Rejection) {
	c.stats.Refused++
	c.queue.remove(r)
	r.Err = err
	c.emit(Reject{r})
}

// grant gives a connection to a request.
func (c *Core) grant(r *Request, conn *Conn, now time.Time) {
	c.queue.remove(r)
	l := &c.lanes[r.Lane]
	l.acquired++
	conn.Server.lastServed[r.Lane] = l.acquired
	conn.acquired = now
	c.setPhase(conn, InUse)
	r.Conn, r.Fresh = conn, conn.Fresh
	c.emit(Grant{r})
	c.startWatch(now)
}

// suitability is whether a request can get a connection, and what has to be done before.
type suitability uint8

const (
	suits      suitability = iota
	needsCheck             // it may have died unnoticed
	unusable               // it must be closed
)

// suitabilityOf returns whether a request can get a connection that it accepts, and why not.
func (c *Core) suitabilityOf(r *Request, conn *Conn, now time.Time) (suitability, Reason) {
	if reason, bad := c.closeReason(conn, now); bad {
		return unusable, reason
	}
	suspect := conn.Server.Health.State == health.Suspect
	quiet := now.Sub(conn.LastReceived)
	switch {
	case conn.Fresh && conn.dialed.After(r.Since):
		return suits, ""
	case suspect && c.isSurplus(conn):
		return unusable, ReasonServerDown // a usable server serves the request sooner than a check ends
	case (suspect || quiet > CheckAfter || !r.Since.IsZero()) && c.mayCheck(conn, now):
		return needsCheck, ""
	}
	return suits, ""
}

// match finds an idle connection for a request.
func (c *Core) match(r *Request, now time.Time) {
	for r.wait == forConn {
		s := c.pick(r)
		if s == nil {
			return
		}
		conn := s.idle[r.Lane].Pop()
		switch how, reason := c.suitabilityOf(r, conn, now); how {
		case suits:
			c.grant(r, conn, now)
		case needsCheck:
			c.checkFor(r, conn, now)
		case unusable:
			c.close(conn, reason)
		}
	}
}

// offer gives a connection that has become available to the oldest request that it serves, or makes
// it idle. With used, a caller has used it; the pool's own checks do not reset MaxIdleTime.
func (c *Core) offer(conn *Conn, used bool, now time.Time) {
	var r *Request
	var how suitability
	var reason Reason
	if c.queue.unserved(conn.Lane) > 0 {
		r = c.queue.find(func(r *Request) bool {
			if !r.accepts(conn) {
				return false
			}
			how, reason = c.suitabilityOf(r, conn, now)
			return how != needsCheck || r.wait == forConn // a request has one check at a time
		})
	}
	switch {
	case r == nil:
		c.makeIdle(conn, used)
	case how == suits:
		c.grant(r, conn, now)
	case how == needsCheck:
		c.checkFor(r, conn, now)
	default:
		c.close(conn, reason)
	}
}

// makeIdle adds a connection to the idle ones.
func (c *Core) makeIdle(conn *Conn, used bool) {
	place := conn.Server.idle[conn.Lane]
	if used {
		place.Push(conn)
	} else {
		place.PutBack(conn)
	}
	conn.Fresh = false
	c.setPhase(conn, Available)
}

// Outcome is what came of the use of a connection.
type Outcome struct {
	Op       string // what was asked; empty if nothing was
	Took     time.Duration
	Answered bool   // a whole answer came
	Close    Reason // if not empty, the connection must be closed for it
	TimedOut bool   // the server did not answer in the time that it was given
	Err      error  // with TimedOut
	Failed   error  // the fault of the server; nil if there is none
	Counts   bool   // it counts for the server's circuit breaker
}

// Released records that a caller has finished with a connection.
func (c *Core) Released(now time.Time, conn *Conn, o Outcome) {
	s := conn.Server
	if o.Answered || o.TimedOut {
		c.recordHoldTime(conn, now)
	}
	conn.acquired = time.Time{} // nothing is under way on it any more
	if o.Answered {
		c.answered(conn, o.Took, now)
		conn.LastUsed = now
	}
	// A caller whose deadline is shorter than a check's is no evidence about the server.
	cutShort := o.TimedOut && o.Took < c.checkTimeout(s)
	if o.Counts && !cutShort {
		c.recordOperation(s, o, now)
	}
	if o.TimedOut && !cutShort {
		c.fault(s, o.Op, o.Err, false, now)
	}
	reason := o.Close
	if reason == "" {
		reason = c.retireReason(conn, now)
	}
	conn.Fresh = false
	if reason != "" {
		c.close(conn, reason)
	} else {
		c.offer(conn, o.Answered, now)
	}
	c.settle(now)
}

// retireReason returns why a released connection is closed; empty if it is not.
func (c *Core) retireReason(conn *Conn, now time.Time) Reason {
	if reason, bad := c.closeReason(conn, now); bad {
		return reason
	}
	switch {
	case c.closed:
		return ReasonClosed
	case c.yieldsSlot(conn, now):
		return ReasonRebalanced
	}
	return c.rolloutReason(conn)
}

// answered records an answer on a connection.
func (c *Core) answered(conn *Conn, took time.Duration, now time.Time) {
	conn.LastReceived, conn.Server.Answered = now, now
	conn.Server.MinRTT = min(conn.Server.MinRTT, took)
}
