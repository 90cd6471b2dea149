package throttle

import (
	"container/heap"
	"sync"
	"time"
)

// shard has the buckets of a part of all accounts. An account's own bucket and those of its clients
// are in one shard, so that one lock guards an attempt. Nothing that waits is done under it.
type shard struct {
	mu        sync.Mutex
	capacity  int                 // of resting
	buckets   map[Account]*bucket // guarded by mu, as all below
	resting   resting
	floor     int64 // what is not in buckets owes as much as this: the most that was ever forgotten
	openFloor int64 // the same of attempts that were not answered
	waiting   int
	forgotten uint64
}

// lookup is the bucket of a key, for an attempt to know. A forgotten account begins with what may
// have been forgotten.
func (s *shard) lookup(key Account, l *limit, now int64) *bucket {
	b := s.buckets[key]
	if b == nil {
		b = s.newcomer(key, l, now)
		s.buckets[key] = b
	} else if b.refs == 0 {
		heap.Remove(&s.resting, int(b.place))
	}
	b.refs++
	return b
}

// newcomer is a bucket that is not known.
func (s *shard) newcomer(key Account, l *limit, now int64) *bucket {
	b := &bucket{limit: l, key: key}
	if s.floor > now {
		b.until = s.floor
	}
	if s.openFloor > now && l.ofAccount() {
		b.open = s.openFloor
	}
	return b
}

// tidy drops what was paid back. At each attempt it looks at more buckets than an attempt can add.
func (s *shard) tidy(now int64) {
	for range 4 {
		if len(s.resting) == 0 || s.resting[0].expires() > now {
			return
		}
		b := heap.Pop(&s.resting).(*bucket)
		delete(s.buckets, b.key)
	}
}

// unref has an attempt forget a bucket. The last one puts it to rest: away where nothing is owed,
// and where there are too many, that one goes which would be paid back first. What it owed is the
// floor from then on, so that it comes back owing no less.
func (s *shard) unref(b *bucket, now int64) {
	if b.refs--; b.refs > 0 {
		return
	}
	b.queue = nil
	if b.until <= max(now, s.floor) && b.open <= max(now, s.openFloor) {
		delete(s.buckets, b.key)
		return
	}
	heap.Push(&s.resting, b)
	if len(s.resting) > s.capacity {
		least := heap.Pop(&s.resting).(*bucket)
		delete(s.buckets, least.key)
		s.floor, s.openFloor = max(s.floor, least.until), max(s.openFloor, least.open)
		s.forgotten++
	}
}

// advance takes an attempt from bucket to bucket, until it has its part of each, is refused, or
// must wait.
func (s *shard) advance(a *attempt, now int64) {
	for a.held < len(a.buckets) && a.buckets[a.held] != nil {
		b := a.buckets[a.held]
		switch {
		case b.exhausted(now):
			s.refuse(a, b.refuse(a.wait(now), true), now)
			return
		case !b.fits(now): // so it is where somebody waits already: they were served before
			b.enqueue(a)
			s.waiting++
			return
		}
		b.pending++
		a.held++
	}
	a.decide(nil)
}

// serve lets in who waits at b, as far as there is budget, or turns all away where it is used up.
func (s *shard) serve(b *bucket, now int64) {
	if b.serving {
		return // whoever is at it goes on
	}
	b.serving = true
	for a := b.front(); a != nil; a = b.front() {
		exhausted := b.exhausted(now)
		if !exhausted && !b.fits(now) {
			break
		}
		s.dequeue(a)
		if exhausted {
			s.refuse(a, b.refuse(a.wait(now), true), now)
			continue
		}
		b.pending++
		a.held++
		s.advance(a, now)
	}
	b.serving = false
}

// dequeue takes an attempt out of the queue that it waits in.
func (s *shard) dequeue(a *attempt) {
	a.buckets[a.held].dequeue(a)
	s.waiting--
}

// refuse ends an attempt that was not let in.
func (s *shard) refuse(a *attempt, r *Refusal, now int64) {
	r.RetryAfter = max(r.RetryAfter, time.Second)
	s.release(a, now)
	a.decide(r)
}

// release gives back what an attempt holds, and lets in who waited for it.
func (s *shard) release(a *attempt, now int64) {
	for i := range a.held {
		a.buckets[i].pending--
	}
	// The account first: an attempt that waits there already holds a part of its client's budget.
	for i := a.held - 1; i >= 0; i-- {
		s.serve(a.buckets[i], now)
	}
	for _, b := range a.buckets {
		if b != nil {
			s.unref(b, now)
		}
	}
}
