package ldappool

import (
	"fmt"
	"time"
)

const (
	// paceOf is how many of the last uses of a connection the pace is taken from.
	paceOf = 16
	// paceLeast is how many uses tell anything: before them every caller is let in.
	paceLeast = 4
	// paceAge is how long the last use tells anything.
	paceAge = 10 * time.Second
)

// pace is how long the callers of a lane have kept a connection of late, while others waited for it. It is forgotten as
// soon as nobody waits: the next queue may have another reason.
type pace struct {
	held [paceOf]time.Duration
	next int // where the next goes in held
	n    int // how many held has
	last time.Time
}

// note takes one more use, which ended now.
func (p *pace) note(held time.Duration, now time.Time) {
	if now.Sub(p.last) > paceAge {
		p.forget()
	}
	p.held[p.next] = held
	p.next = (p.next + 1) % paceOf
	p.n = min(p.n+1, paceOf)
	p.last = now
}

func (p *pace) forget() { p.next, p.n = 0, 0 }

// mean is the average use without the longest, since one request that hangs holds up one connection and not the queue;
// 0 where too little is known.
func (p *pace) mean(now time.Time) time.Duration {
	if p.n < paceLeast || now.Sub(p.last) > paceAge {
		return 0
	}
	var sum, longest time.Duration
	for _, held := range p.held[:p.n] {
		sum += held
		longest = max(longest, held)
	}
	return (sum - longest) / time.Duration(p.n-1)
}

// inTime refuses a caller whose turn would come after until, at the pace of those before it. The estimate errs to the
// caller's good: it leaves out the rest of the uses under way, so that the first in the queue is always let in, and
// counts the connections that the lane is entitled to as if it had them. Pool.mu is held.
func (l *lane) inTime(now, until time.Time) *OpError {
	ahead := l.waiting.Len() - l.growth()
	needs := l.pace.mean(now) * time.Duration(max(ahead, 0)) / time.Duration(max(l.size(), l.pool.share()))
	left := until.Sub(now)
	if needs <= left {
		return nil
	}
	err := fmt.Errorf("the queue needs about %v, the caller has %v", needs.Round(100*time.Millisecond), left.Round(100*time.Millisecond))
	return &OpError{Op: string(l.name), Kind: ErrOverloaded, Err: err, Queue: needs}
}

// measure notes how long a caller had b, until now. Pool.mu is held.
func (l *lane) measure(b lease, now time.Time) {
	switch {
	case l.waiting.Len() == 0:
		l.pace.forget()
	case !b.taken.IsZero(): // upkeep takes connections too, and its pings say nothing
		l.pace.note(now.Sub(b.taken), now)
	}
	b.taken = time.Time{}
}
