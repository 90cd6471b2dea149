package ldappool

import (
	"context"
	"fmt"
	"time"
)

const (
	// hedgeAfter is how long a ping may take before its caller seeks another connection beside it: some round trips of a
	// directory in the same country, and a tenth of what a ping may take at all. Where the server is further away than
	// that, it is hedgeTimes the fastest answer that the connection has had.
	hedgeAfter = 50 * time.Millisecond
	hedgeTimes = 3
	// dialHedgeAfter is how long a dial may take before another server is dialled beside it: longer than TLS and a bind
	// with a slow hash take, and short of MaxWait.
	dialHedgeAfter = 500 * time.Millisecond
)

// trial is a ping under way, for a caller that may not wait for its end.
type trial struct {
	pinged chan error    // of no capacity: what comes of it is either the caller's or nobody's
	left   chan struct{} // closed when the caller waits no longer
}

// try pings b in the background. Where the caller has left by then, b is idle again or retired.
func (b lease) try() (trial, bool) {
	p := b.lane.pool
	t := trial{make(chan error), make(chan struct{})}
	p.mu.Lock()
	defer p.unlock()
	if p.closed {
		p.retire(b, RetiredClosed)
		return t, false
	}
	p.work.Go(func() {
		err := b.check()
		select {
		case t.pinged <- err:
		case <-t.left:
			if err == nil {
				b.taken = time.Time{}
				b.release(false)
			}
		}
	})
	return t, true
}

// prove pings b before its use. While that is slow, another connection is sought beside it, and the caller gets what is
// ready first. The error says why it is neither.
func (l *lane) prove(ctx context.Context, b lease, until time.Time) (lease, error) {
	slow := time.NewTimer(max(hedgeAfter, hedgeTimes*b.swiftest))
	defer slow.Stop()
	over := time.NewTimer(max(time.Until(until), minPing))
	defer over.Stop()
	t, ok := b.try()
	if !ok {
		return lease{}, ErrClosed
	}
	defer close(t.left)
	w := &waiter{got: make(chan grant, 1)}
	defer func() {
		if !w.since.IsZero() {
			l.withdraw(w)
		}
	}()
	for {
		select {
		case err := <-t.pinged:
			return b, err
		case <-slow.C:
			l.seek(w)
		case g := <-w.got:
			return lease{g.res.Value(), g.res}, nil
		case <-over.C:
			return lease{}, fmt.Errorf("ping: %w", errNoAnswer)
		case <-ctx.Done():
			return lease{}, ctx.Err()
		}
	}
}

// seek finds w another connection that was just seen to work: one that is idle, or else the next that comes back or is
// dialled.
func (l *lane) seek(w *waiter) {
	l.pool.mu.Lock()
	defer l.pool.unlock()
	w.since = time.Now()
	recent := func(c *conn) bool {
		return w.since.Sub(c.quiet) <= pingAfter && c.server.is() == ServerUsable && c.wire.over() == nil
	}
	for _, b := range l.takeIdle(1, recent) {
		l.acquired++
		b.fresh = false
		w.got <- grant{res: b.res}
		return
	}
	l.hedging.PushBack(w)
}

// withdraw ends the search for w. What it was granted and did not take is idle again.
func (l *lane) withdraw(w *waiter) {
	l.pool.mu.Lock()
	for e := l.hedging.Front(); e != nil; e = e.Next() {
		if e.Value == any(w) {
			l.hedging.Remove(e)
			break
		}
	}
	l.pool.unlock()
	select {
	case g := <-w.got:
		lease{g.res.Value(), g.res}.release(false)
	default:
	}
}

// rescue gives a connection to the caller whose ping has been slow for longest. Pool.mu is held.
func (l *lane) rescue(res resource) {
	w := l.hedging.Remove(l.hedging.Front()).(*waiter)
	w.got <- grant{res: res}
}

// watch has a dial of lane l to s counted as overdue once it is, so that callers get a connection to another server where
// there is one. The dial goes on and tells of its server. done is called at its end, under Pool.mu, which is held here too.
func (p *Pool) watch(l *lane, s *server) (done func()) {
	var ended, late bool
	timer := time.AfterFunc(dialHedgeAfter, func() {
		p.mu.Lock()
		defer p.unlock()
		if !ended {
			late = true
			s.overdue[l.index]++
		}
	})
	return func() {
		timer.Stop()
		ended = true
		if late {
			s.overdue[l.index]--
		}
	}
}
