package core

import (
	"fmt"
	"time"
)

const (
	// holdTimeWindow is the number of uses of connections that the mean is computed from.
	holdTimeWindow = 16
	// minHoldTimes is the number of uses that the mean needs. With fewer, every caller is admitted.
	minHoldTimes = 4
	// holdTimesExpire is the age at which the last use, and all before it, are dropped.
	holdTimesExpire = 10 * time.Second
)

// holdTimes is how long the callers of a lane recently held a connection while others waited. It is
// reset when the queue is empty, because the next queue may have another cause.
type holdTimes struct {
	held [holdTimeWindow]time.Duration
	next int // where the next goes in held
	n    int // how many held has
	last time.Time
}

// record adds a use that ended now.
func (p *holdTimes) record(held time.Duration, now time.Time) {
	if now.Sub(p.last) > holdTimesExpire {
		p.forget()
	}
	p.held[p.next] = held
	p.next = (p.next + 1) % holdTimeWindow
	p.n = min(p.n+1, holdTimeWindow)
	p.last = now
}

func (p *holdTimes) forget() { p.next, p.n = 0, 0 }

// mean is the average hold time without the longest, because one hanging request blocks one
// connection and not the queue; 0 if there are too few.
func (p *holdTimes) mean(now time.Time) time.Duration {
	if p.n < minHoldTimes || now.Sub(p.last) > holdTimesExpire {
		return 0
	}
	var sum, longest time.Duration
	for _, held := range p.held[:p.n] {
		sum += held
		longest = max(longest, held)
	}
	return (sum - longest) / time.Duration(p.n-1)
}

// admitInTime rejects a request that cannot be served before its deadline, by the recent mean hold
// time. The estimate is optimistic: it ignores the operations under way, so that the first in the
// queue is always admitted, and counts all connections that the lane is entitled to.
func (c *Core) admitInTime(r *Request, now time.Time) *Rejection {
	until := r.Deadline
	if !r.CallerDeadline.IsZero() && r.CallerDeadline.Before(until) {
		until = r.CallerDeadline
	}
	ahead := max(c.queue.waiting[r.Lane][forConn]-c.spareCapacity(r.Lane), 0)
	needs := c.lanes[r.Lane].holdTimes.mean(now) * time.Duration(ahead) / time.Duration(max(c.counts.size(r.Lane), c.share()))
	left := until.Sub(now)
	if needs <= left {
		return nil
	}
	err := fmt.Errorf("the expected wait is about %v, and the caller has %v", needs.Round(100*time.Millisecond), left.Round(100*time.Millisecond))
	return &Rejection{Kind: KindOverloaded, Err: err, Queue: needs}
}

// spareCapacity counts the requests that can be served without waiting for another caller: by
// connections being dialed, closed or checked by the pool, by free slots, and by idle connections
// that the other lane must give up.
func (c *Core) spareCapacity(l Lane) int {
	n := &c.counts
	return n.dialing() + n.all(Closing) + c.maintenance.checks[Search] + c.maintenance.checks[Bind] + max(c.cfg.MaxConns-n.total(), 0) +
		min(max(c.share()-n.size(l), 0), n[l.other()][Available])
}

// recordHoldTime records how long a caller held a connection.
func (c *Core) recordHoldTime(conn *Conn, now time.Time) {
	l := &c.lanes[conn.Lane]
	if c.queue.waiting[conn.Lane][forConn] == 0 {
		l.holdTimes.forget()
		return
	}
	l.holdTimes.record(now.Sub(conn.acquired), now)
}
