package throttle

import (
	"container/heap"
	"sync"
	"time"
)

// shard has the buckets of some accounts. An account's bucket and those of its clients are in one
// shard, so that one lock guards an attempt. The lock is never held while waiting.
type shard struct {
	mu              sync.Mutex
	capacity        int                 // of idle
	buckets         map[Account]*bucket // guarded by mu, as all below
	idle            idle
	evictedUntil    int64 // the largest debt that was ever evicted, which unknown accounts are assumed to have
	unansweredFloor int64 // the same of attempts that were not answered
	waiting         int
	forgotten       uint64
}

// lookup returns the bucket of a key, and makes it if needed. The attempt must unref it.
func (s *shard) lookup(of Budget, home Account, now int64) *bucket {
	b := s.buckets[of.Key]
	if b == nil {
		b = s.newBucket(of, home, now)
		s.buckets[of.Key] = b
	} else if b.refs == 0 {
		heap.Remove(&s.idle, int(b.heapIndex))
	}
	b.refs++
	return b
}

// newBucket returns the bucket of an unknown key, with the largest evicted debt.
func (s *shard) newBucket(of Budget, home Account, now int64) *bucket {
	b := &bucket{limit: of.limit, key: of.Key, home: home}
	if s.evictedUntil > now {
		b.until = s.evictedUntil
	}
	if s.unansweredFloor > now && of.ofAccount() {
		b.unanswered = s.unansweredFloor
	}
	return b
}

// evictExpired drops expired buckets. At each attempt it checks more buckets than an attempt can
// add.
func (s *shard) evictExpired(now int64) {
	for range 4 {
		if len(s.idle) == 0 || s.idle[0].expires() > now {
			return
		}
		b := heap.Pop(&s.idle).(*bucket)
		delete(s.buckets, b.key)
	}
}

// unref releases an attempt's reference to a bucket. A bucket without references is dropped if it
// has no debt, and becomes idle otherwise. If there are too many idle buckets, it evicts the one
// that expires first, and keeps the largest evicted debt, so that the account returns with no less.
func (s *shard) unref(b *bucket, now int64) {
	if b.refs--; b.refs > 0 {
		return
	}
	b.queue = nil
	if b.until <= max(now, s.evictedUntil) && b.unanswered <= max(now, s.unansweredFloor) {
		delete(s.buckets, b.key)
		return
	}
	heap.Push(&s.idle, b)
	if len(s.idle) > s.capacity {
		least := heap.Pop(&s.idle).(*bucket)
		delete(s.buckets, least.key)
		s.evictedUntil, s.unansweredFloor = max(s.evictedUntil, least.until), max(s.unansweredFloor, least.unanswered)
		s.forgotten++
	}
}

// reset clears a bucket, drops it if it is idle, and serves the attempts that wait for it.
func (s *shard) reset(b *bucket, now int64) {
	b.until, b.unanswered = 0, 0
	if b.refs > 0 {
		s.serve(b, now)
		return
	}
	heap.Remove(&s.idle, int(b.heapIndex))
	delete(s.buckets, b.key)
}

// advance reserves an attempt's buckets in turn, until it has all of them, is rejected, or must
// wait.
func (s *shard) advance(a *attempt, now int64) {
	for a.held < len(a.buckets) && a.buckets[a.held] != nil {
		b := a.buckets[a.held]
		switch {
		case b.exhausted(now):
			s.refuse(a, b.refuse(a.timeLeft(now), true), now)
			return
		case !b.hasBudget(now): // also if others wait already, because they were served before
			b.enqueue(a)
			s.waiting++
			return
		}
		b.pending++
		a.held++
	}
	a.decide(nil)
}

// serve grants the attempts that wait for b while there is budget, or rejects all if b is
// exhausted.
func (s *shard) serve(b *bucket, now int64) {
	if b.serving {
		return // the outer call continues
	}
	b.serving = true
	for a := b.front(); a != nil; a = b.front() {
		exhausted := b.exhausted(now)
		if !exhausted && !b.hasBudget(now) {
			break
		}
		s.dequeue(a)
		if exhausted {
			s.refuse(a, b.refuse(a.timeLeft(now), true), now)
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

// refuse ends an attempt that is rejected.
func (s *shard) refuse(a *attempt, r *Refusal, now int64) {
	r.RetryAfter = max(r.RetryAfter, time.Second)
	s.release(a, now)
	a.decide(r)
}

// release returns what an attempt has reserved, and serves the attempts that wait for it.
func (s *shard) release(a *attempt, now int64) {
	for i := range a.held {
		a.buckets[i].pending--
	}
	// The account first: an attempt that waits there has already reserved a part of its client's
	// budget.
	for i := a.held - 1; i >= 0; i-- {
		s.serve(a.buckets[i], now)
	}
	for _, b := range a.buckets {
		if b != nil {
			s.unref(b, now)
		}
	}
}
