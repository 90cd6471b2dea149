package core

import (
	"fmt"
	"time"
)

const (
	// paceWindow is how many of the last uses of a connection the pace is taken from.
	paceWindow = 16
	// paceMin is how many uses are needed: before them every caller is admitted.
	paceMin = 4
	// paceExpires is how long the last use means anything.
	paceExpires = 10 * time.Second
)

// pace is how long the callers of a lane recently kept a connection, while others waited for it. It
// is forgotten as soon as nobody waits: the next queue may have another reason.
type pace struct {
	held [paceWindow]time.Duration
	next int // where the next goes in held
	n    int // how many held has
	last time.Time
}

// record adds a use that ended now.
func (p *pace) record(held time.Duration, now time.Time) {
	if now.Sub(p.last) > paceExpires {
		p.forget()
	}
	p.held[p.next] = held
	p.next = (p.next + 1) % paceWindow
	p.n = min(p.n+1, paceWindow)
	p.last = now
}

func (p *pace) forget() { p.next, p.n = 0, 0 }

// mean is the average use without the longest, since one request that hangs holds up one connection
// and not the queue; 0 if too little is known.
func (p *pace) mean(now time.Time) time.Duration {
	if p.n < paceMin || now.Sub(p.last) > paceExpires {
		return 0
	}
	var sum, longest time.Duration
	for _, held := range p.held[:p.n] {
		sum += held
		longest = max(longest, held)
	}
	return (sum - longest) / time.Duration(p.n-1)
}

// admitInTime rejects a request whose turn would come after its deadline, at the pace of those
// before it. The estimate is optimistic: it ignores the rest of the uses under way, so that the
// first in the queue is always admitted, and counts the connections that the lane is entitled to as
// if it had them.
func (c *Core) admitInTime(r *Request, now time.Time) *Rejection {
	until := r.Deadline
	if !r.Patience.IsZero() && r.Patience.Before(until) {
		until = r.Patience
	}
	ahead := max(c.queue.waiting[r.Lane][forConn]-c.growth(r.Lane), 0)
	needs := c.lanes[r.Lane].pace.mean(now) * time.Duration(ahead) / time.Duration(max(c.counts.size(r.Lane), c.share()))
	left := until.Sub(now)
	if needs <= left {
		return nil
	}
	err := fmt.Errorf("the expected wait is about %v, and the caller has %v", needs.Round(100*time.Millisecond), left.Round(100*time.Millisecond))
	return &Rejection{Kind: KindOverloaded, Err: err, Queue: needs}
}

// growth is how many requests need not wait for one another: for connections being dialed, closed
// or checked by the pool, for which there is room, or which the other lane gives up.
func (c *Core) growth(l Lane) int {
	n := &c.counts
	return n.dialing() + n.all(Closing) + c.maintenance.checks[Search] + c.maintenance.checks[Bind] + max(c.cfg.MaxConns-n.total(), 0) +
		min(max(c.share()-n.size(l), 0), n[l.other()][Available])
}

// measure records how long a caller had a connection.
func (c *Core) measure(conn *Conn, now time.Time) {
	l := &c.lanes[conn.Lane]
	if c.queue.waiting[conn.Lane][forConn] == 0 {
		l.pace.forget()
		return
	}
	l.pace.record(now.Sub(conn.acquired), now)
}
