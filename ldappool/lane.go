package ldappool

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/puddle/v2"
)

// resource is a connection as puddle holds it.
type resource = *puddle.Resource[*conn]

// lane is one of the pool's two kinds of connections. puddle keeps them, most recently used first; who gets which, who
// waits and when to dial is decided here, because both lanes share MaxConns.
type lane struct {
	pool  *Pool
	name  Lane
	index int
	store *puddle.Pool[*conn]

	// Guarded by Pool.mu.
	idle, inUse, dialing int
	waiting              list.List // of *waiter, first come first served
	hedging              list.List // of *waiter: callers whose ping is slow
	detours              list.List // of *waiter: callers for whom it must be another server
	acquired             int64
	pace                 pace
	heirs                int       // successors of outdated connections that are not retired yet, less those retired before
	renewing             bool      // one is being dialled
	patience             time.Time // when the next may be
}

// waiter is a caller that waits for a connection.
type waiter struct {
	since time.Time
	got   chan grant // of capacity 1
	avoid *server    // in detours: the server that could not serve it
}

// grant is what a waiter gets: a connection or an error.
type grant struct {
	res resource
	err error
}

// lease is a connection in the hands of a caller.
type lease struct {
	*conn
	res resource
}

// size counts the lane's connections, those being dialled included. Pool.mu is held.
func (l *lane) size() int { return l.idle + l.inUse + l.dialing }

// hungry tells whether callers wait that no dial under way will serve. Pool.mu is held.
func (l *lane) hungry() bool { return l.waiting.Len()+l.hedging.Len() > l.coming() }

// coming counts the connections being dialled that are likely to come about: to servers that are usable, and soon if
// another server can be dialled instead. Pool.mu is held.
func (l *lane) coming() (n int) {
	best := l.pool.best(l)
	instead := best != nil && best.overdue[l.index] == 0
	for _, s := range l.pool.servers {
		if s.is() == ServerUsable || l.name == BindLane && s.serving() {
			n += s.dialing[l.index]
			if instead {
				n -= s.overdue[l.index]
			}
		}
	}
	return n
}

// before tells whether l, rather than the other lane less some of its connections, is to get the next place: it is the
// smaller, or as large and its callers have waited longer. Pool.mu is held.
func (l *lane) before(o *lane, less int) bool {
	if l.size() != o.size()-less || l.waiting.Len() == 0 || o.waiting.Len() == 0 {
		return l.size() < o.size()-less
	}
	return l.waiting.Front().Value.(*waiter).since.Before(o.waiting.Front().Value.(*waiter).since)
}

// want is what a caller wants of a connection, beside that it works.
type want struct {
	proven bool    // it has just shown a sign of life: who lost one is not sent to another that died at the same moment
	avoid  *server // it goes to another server than this; nil: to any
}

// borrow takes a connection that is fit for use, until then at the latest, and says how long that took.
func (l *lane) borrow(ctx context.Context, until time.Time, w want) (lease, time.Duration, error) {
	began := time.Now()
	b, err := l.fit(ctx, until, w)
	wait := time.Since(began)
	if err != nil { // and not otherwise: what errors.As fills is allocated
		var op *OpError
		if errors.As(err, &op) {
			op.Wait = wait
		}
	}
	if hook := l.pool.config().Trace.Acquired; hook != nil {
		hook(ctx, AcquireEvent{Lane: l.name, Wait: wait, Err: err})
	}
	return b, wait, err
}

// stillborn is how many connections in a row may end between their dial and their use before a caller gives up: each
// costs the server a connection and perhaps a bind, and there are more callers.
const stillborn = 3

// fit takes connections until one is good.
func (l *lane) fit(ctx context.Context, until time.Time, w want) (lease, error) {
	for ended := 0; ; {
		take := l.take
		if w.avoid != nil {
			take = func(ctx context.Context, until time.Time) (resource, error) {
				return l.takeElsewhere(ctx, until, w.avoid)
			}
		}
		res, err := take(ctx, until)
		if err != nil {
			return lease{}, err
		}
		b := lease{res.Value(), res}
		now := time.Now()
		if b.taken.IsZero() {
			b.taken = now
		}
		if reason, bad := l.pool.unfit(b.conn, now); bad {
			b.retire(reason)
			if e := b.wire.over(); e != nil && b.fresh {
				if ended++; ended == stillborn {
					return lease{}, &OpError{Op: string(l.name), Server: b.server.url, Kind: ErrUnavailable, Err: e}
				}
			}
			continue
		}
		if b.fresh || !w.proven && now.Sub(b.quiet) <= pingAfter && b.server.is() == ServerUsable {
			return b, nil
		}
		if b.server.is() == ServerSuspect && l.pool.spare(b.conn) {
			b.retire(RetiredServerDown) // one that is not in doubt serves sooner than a ping tells
			continue
		}
		proved, err := l.prove(ctx, b, until)
		if err == nil {
			return proved, nil
		}
		if !time.Now().Before(until) {
			return lease{}, &OpError{Op: string(l.name), Server: b.server.url, Kind: ErrUnavailable, Err: err}
		}
	}
}

// check pings the connection and retires it where that fails.
func (b lease) check() error {
	began, idle := time.Now(), time.Since(b.quiet)
	err := b.ping(b.lane.pool.ctx, pingTimeout)
	if hook := b.lane.pool.config().Trace.Pinged; hook != nil {
		hook(PingEvent{Lane: b.lane.name, Server: b.server.url, Idle: idle, Took: time.Since(began), Err: err})
	}
	switch {
	case err == nil:
		b.lane.pool.outlived(b.conn, idle)
		return nil
	case b.lane.pool.ctx.Err() != nil:
		b.retire(RetiredClosed)
	default:
		b.lane.pool.blame(b.server, opPing, err)
		b.lane.pool.silent(b.conn, began, idle)
		b.retire(RetiredPing)
	}
	return fmt.Errorf("ping: %w", err)
}

// take gets an idle connection, or waits for one until then at the latest. What it gets may be in any condition.
func (l *lane) take(ctx context.Context, until time.Time) (resource, error) {
	p := l.pool
	p.mu.Lock()
	if err := l.admit(ctx); err != nil {
		p.refused++
		p.unlock()
		return nil, err
	}
	if l.idle > 0 && l.waiting.Len() == 0 {
		res := l.pop()
		res.Value().fresh = false // it was kept for a while
		p.unlock()
		return res, nil
	}
	if waiting := l.waiting.Len() + l.other().waiting.Len(); waiting >= p.config().MaxWaiters+l.growth() {
		p.refused++
		p.unlock()
		return nil, &OpError{Op: string(l.name), Kind: ErrOverloaded, Err: errors.New("too many callers wait already")}
	}
	w := &waiter{since: time.Now(), got: make(chan grant, 1)}
	deadline, ok := ctx.Deadline()
	if !ok || until.Before(deadline) {
		deadline = until
	}
	if err := l.inTime(w.since, deadline); err != nil {
		p.refused++
		p.unlock()
		return nil, err
	}
	place := l.waiting.PushBack(w)
	p.unlock()
	return l.await(ctx, w, &l.waiting, place, until)
}

// admit refuses a caller that cannot be served at all. Pool.mu is held.
func (l *lane) admit(ctx context.Context) error {
	switch {
	case l.pool.closed:
		return &OpError{Op: string(l.name), Kind: ErrClosed}
	case ctx.Err() != nil:
		return l.gaveUp(ctx)
	case !l.pool.promising(l):
		return l.pool.whyNot(string(l.name))
	}
	return nil
}

// await waits for what w is granted, at its place in a queue.
func (l *lane) await(ctx context.Context, w *waiter, queue *list.List, place *list.Element, until time.Time) (resource, error) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case g := <-w.got:
		return g.res, g.err
	case <-timer.C:
	case <-ctx.Done():
	}
	p := l.pool
	p.mu.Lock()
	defer p.unlock()
	select {
	case g := <-w.got: // in the same moment
		return g.res, g.err
	default:
	}
	queue.Remove(place)
	p.refused++
	return nil, l.gaveUp(ctx)
}

// gaveUp is the error of a caller whose wait was too long. Where the lane has no connection at all and could have one,
// that is not for want of a free one. Pool.mu is held.
func (l *lane) gaveUp(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return &OpError{Op: string(l.name), Kind: context.Canceled}
	}
	if l.idle+l.inUse == 0 && (l.coming() > 0 || l.pool.best(l) == nil) {
		e := l.pool.whyNot(string(l.name))
		if ctx.Err() != nil {
			e.Err = errors.Join(e.Err, ctx.Err())
		}
		return e
	}
	err := errors.New("waited too long for a free connection")
	if ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", err, ctx.Err())
	}
	return &OpError{Op: string(l.name), Kind: ErrOverloaded, Err: err}
}

// pop takes the most recently used idle connection, with RoundRobin of the server whose turn it is; there must be one.
// Pool.mu is held.
func (l *lane) pop() resource {
	// puddle would dial where it has none idle; it always has, since l.idle counts them and Pool.mu guards both.
	res, err := l.store.TryAcquire(context.Background())
	if err != nil {
		panic("ldappool: bug: puddle has fewer idle connections than the lane: " + err.Error())
	}
	if l.pool.roundRobin() {
		res = l.inTurn(res)
	}
	l.idle--
	l.inUse++
	l.acquired++
	return res
}

// serve gives idle connections to those who wait. Pool.mu is held.
func (l *lane) serve() {
	for l.idle > 0 && l.waiting.Len() > 0 {
		l.grant(grant{res: l.pop()})
	}
}

// grant gives g to the caller that waits longest. Pool.mu is held.
func (l *lane) grant(g grant) {
	w := l.waiting.Remove(l.waiting.Front()).(*waiter)
	w.got <- g
}

// release gives the connection back: to a caller that waits, or to the idle ones. With used, it served a caller; upkeep,
// which does not, leaves MaxIdleTime running.
func (b lease) release(used bool) {
	p, l := b.lane.pool, b.lane
	now := time.Now()
	b.fresh = false
	if used {
		b.used = now
	}
	reason, bad := p.unfit(b.conn, now)
	p.mu.Lock()
	defer p.unlock()
	l.measure(b, now)
	switch {
	case bad:
	case p.closed: // the lane's store may be closed too, and would end the connection unseen
		reason, bad = RetiredClosed, true
	case p.cedes(b.conn):
		reason, bad = RetiredRebalanced, true
	}
	switch {
	case bad:
		p.retire(b, reason)
	case p.goes(b):
	case l.waiting.Len() > 0 && l.detours.Len() == 0:
		l.acquired++
		b.taken = now
		l.grant(grant{res: b.res})
	case l.hedging.Len() > 0:
		l.acquired++
		l.rescue(b.res)
	default:
		l.inUse--
		l.idle++
		if used {
			b.res.Release()
		} else {
			l.putBack(b.res)
		}
	}
}

// putBack makes a connection that upkeep had idle again, at its old place: on top of the others it would be the next to
// be used, and none of them would ever be idle for long. Pool.mu is held.
func (l *lane) putBack(res resource) {
	all := append(l.store.AcquireAllIdle(), res)
	slices.SortStableFunc(all, func(a, b resource) int { return a.Value().used.Compare(b.Value().used) })
	for _, res := range all {
		res.ReleaseUnused()
	}
}

// retire ends the connection.
func (b lease) retire(reason RetireReason) {
	p := b.lane.pool
	p.mu.Lock()
	defer p.unlock()
	if reason == RetiredTimeout {
		b.lane.measure(b, time.Now())
	}
	p.retire(b, reason)
}
