package throttle

import (
	"container/list"
	"sync/atomic"
	"time"
)

// limit is the number of failures that are allowed in a time.
type limit struct {
	kind       Limit
	name       string
	failures   int
	refundTime int64         // of one failure: the nanoseconds in which it is given back
	burst      int64         // the largest debt
	refused    atomic.Uint64 // attempts
}

// newLimit returns nil, for no limit, if failures is 0.
func newLimit(of Limit, name string, failures int, window time.Duration) *limit {
	if failures == 0 {
		return nil
	}
	cost := max(int64(window)/int64(failures), 1)
	return &limit{kind: of, name: name, failures: failures, refundTime: cost, burst: cost * int64(failures)}
}

// refuse counts an attempt that the limit rejects, and returns its error.
func (l *limit) refuse(retryAfter time.Duration, exhausted bool) *Refusal {
	l.refused.Add(1)
	return &Refusal{RetryAfter: retryAfter, Exhausted: exhausted, Limit: l.name}
}

// ofAccount reports whether the limit is per account. The directory counts failures per account
// too.
func (l *limit) ofAccount() bool { return l.kind == AccountClientLimit || l.kind == AccountLimit }

// bucket is the count of one account, from everywhere or from one client. It belongs to a shard,
// whose lock guards it.
type bucket struct {
	*limit
	key        Account
	home       Account    // whose it is, alone or from one client
	until      int64      // when all failures are refunded: GCRA's theoretical arrival time
	unanswered int64      // the same for unanswered attempts
	refs       int32      // attempts that refer to the bucket; at 0 it is idle
	pending    int32      // those of them that have reserved a part of the budget
	heapIndex  int32      // in the shard's heap, while it is idle
	serving    bool       // shard.serve is working on it
	queue      *list.List // of *attempt, first come first; nil is none
}

// debt returns how long failures still count.
func (b *bucket) debt(now int64) int64 { return max(0, b.until-now) }

// exhausted reports whether failures alone forbid another attempt.
func (b *bucket) exhausted(now int64) bool { return b.debt(now)+b.refundTime > b.burst }

// hasBudget reports whether there is budget for another attempt even if all pending ones fail.
// Unanswered attempts reduce the budget of concurrent attempts: if they use it up, one attempt at a
// time is still allowed.
func (b *bucket) hasBudget(now int64) bool {
	owed := b.debt(now) + int64(b.pending+1)*b.refundTime
	return owed <= b.burst && (b.pending == 0 || owed+max(0, b.unanswered-now) <= b.burst)
}

// expires returns when the bucket can be dropped.
func (b *bucket) expires() int64 { return max(b.until, b.unanswered) }

// timeLeft returns the time until the bucket is no longer exhausted.
func (b *bucket) timeLeft(now int64) time.Duration {
	return time.Duration(max(0, b.debt(now)+b.refundTime-b.burst))
}

func (b *bucket) recordFailure(now int64) { b.until = max(b.until, now) + b.refundTime }

// recordUnanswered counts an attempt that the directory may have counted as a failure, up to the
// limit.
func (b *bucket) recordUnanswered(now int64) {
	if b.ofAccount() {
		b.unanswered = min(max(b.unanswered, now)+b.refundTime, now+b.burst)
	}
}

// recordSuccess records that the password of an attempt was right. By that the directory has reset
// its own count of the account (pwdFailureTime, badPwdCount).
func (b *bucket) recordSuccess() {
	b.unanswered = 0
	if b.kind == AccountClientLimit {
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

// idle has the idle buckets as a [heap.Interface], first the one that expires first. The order is
// by absolute times, so it does not change with time.
type idle []*bucket

// Len implements [heap.Interface].
func (r idle) Len() int { return len(r) }

// Less implements [heap.Interface].
func (r idle) Less(i, j int) bool { return r[i].expires() < r[j].expires() }

// Swap implements [heap.Interface].
func (r idle) Swap(i, j int) {
	r[i], r[j] = r[j], r[i]
	r[i].heapIndex, r[j].heapIndex = r[j].heapIndex, r[i].heapIndex
}

// Push implements [heap.Interface].
func (r *idle) Push(x any) {
	b := x.(*bucket)
	b.heapIndex = int32(len(*r)) //nolint:gosec // there are far fewer than 2^31
	*r = append(*r, b)
}

// Pop implements [heap.Interface].
func (r *idle) Pop() any {
	last := len(*r) - 1
	b := (*r)[last]
	(*r)[last] = nil
	*r = (*r)[:last]
	return b
}
