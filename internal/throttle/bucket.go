package throttle

import (
	"container/list"
	"sync/atomic"
	"time"
)

// limit is how many failures there may be, over which time.
type limit struct {
	of      Limit
	name    string
	cost    int64         // of one failure: the nanoseconds in which it is given back
	burst   int64         // as much as may be owed at one time
	refused atomic.Uint64 // attempts
}

// newLimit is nil where failures is 0: no limit.
func newLimit(of Limit, name string, failures int, window time.Duration) *limit {
	if failures == 0 {
		return nil
	}
	cost := max(int64(window)/int64(failures), 1)
	return &limit{of: of, name: name, cost: cost, burst: cost * int64(failures)}
}

// refuse counts an attempt that the limit refuses, and returns its error.
func (l *limit) refuse(retryAfter time.Duration, exhausted bool) *Refusal {
	l.refused.Add(1)
	return &Refusal{RetryAfter: retryAfter, Exhausted: exhausted, Limit: l.name}
}

// ofAccount reports whether the limit is of one account, which the directory has a count of its own
// for.
func (l *limit) ofAccount() bool { return l.of == AccountClientLimit || l.of == AccountLimit }

// bucket is the count of one account, from everywhere or from one client. It belongs to a shard,
// whose lock guards it.
type bucket struct {
	*limit
	key     Account
	until   int64      // when all failures will have been given back: GCRA's theoretical arrival time
	open    int64      // the same of the attempts that were not answered
	refs    int32      // attempts that know the bucket; at 0 it rests
	pending int32      // of them, those that hold a part of the budget
	place   int32      // in the shard's heap, while it rests
	serving bool       // shard.serve is at it
	queue   *list.List // of *attempt, first come first; nil is none
}

// owed is the time that failures still count.
func (b *bucket) owed(now int64) int64 { return max(0, b.until-now) }

// exhausted reports whether failures alone forbid another attempt.
func (b *bucket) exhausted(now int64) bool { return b.owed(now)+b.cost > b.burst }

// fits reports whether there would be budget for another attempt if all that are pending failed.
// Attempts that were not answered take from the budget of those made at once: if they fill it, one
// attempt at a time still fits.
func (b *bucket) fits(now int64) bool {
	owed := b.owed(now) + int64(b.pending+1)*b.cost
	return owed <= b.burst && (b.pending == 0 || owed+max(0, b.open-now) <= b.burst)
}

// expires is when nothing of the bucket needs to be known any more.
func (b *bucket) expires() int64 { return max(b.until, b.open) }

// wait is the time until the bucket is exhausted no more.
func (b *bucket) wait(now int64) time.Duration {
	return time.Duration(max(0, b.owed(now)+b.cost-b.burst))
}

func (b *bucket) fail(now int64) { b.until = max(b.until, now) + b.cost }

// leaveUnanswered counts an attempt that the directory may have counted as a failure. Up to the
// limit: beyond, it makes no difference.
func (b *bucket) leaveUnanswered(now int64) {
	if b.ofAccount() {
		b.open = min(max(b.open, now)+b.cost, now+b.burst)
	}
}

// succeed takes in that the password of an attempt was right. The directory has set its own count
// of the account to zero by that (pwdFailureTime, badPwdCount).
func (b *bucket) succeed() {
	b.open = 0
	if b.of == AccountClientLimit {
		b.until = 0
	}
}

func (b *bucket) front() *attempt {
	if b.queue == nil || b.queue.Len() == 0 {
		return nil
	}
	return b.queue.Front().Value.(*attempt)
}

func (b *bucket) enqueue(a *attempt) {
	if b.queue == nil {
		b.queue = list.New()
	}
	a.element = b.queue.PushBack(a)
	if a.decided == nil {
		a.decided = make(chan struct{})
	}
}

func (b *bucket) dequeue(a *attempt) {
	b.queue.Remove(a.element)
	a.element = nil
}

// resting has the buckets that rest as a [heap.Interface], first the one that will be paid back
// first. That order never changes by itself: it is by points in time.
type resting []*bucket

// Len implements [heap.Interface].
func (r resting) Len() int { return len(r) }

// Less implements [heap.Interface].
func (r resting) Less(i, j int) bool { return r[i].expires() < r[j].expires() }

// Swap implements [heap.Interface].
func (r resting) Swap(i, j int) {
	r[i], r[j] = r[j], r[i]
	r[i].place, r[j].place = r[j].place, r[i].place
}

// Push implements [heap.Interface].
func (r *resting) Push(x any) {
	b := x.(*bucket)
	b.place = int32(len(*r)) //nolint:gosec // there are far fewer than 2^31
	*r = append(*r, b)
}

// Pop implements [heap.Interface].
func (r *resting) Pop() any {
	last := len(*r) - 1
	b := (*r)[last]
	(*r)[last] = nil
	*r = (*r)[:last]
	return b
}
