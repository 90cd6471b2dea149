package logsafe

import (
	"sync"
	"time"
)

// The usual pace of lines with one key: Burst at once, then one in each Interval.
const (
	Burst    = 5
	Interval = time.Minute
)

// MaxKeys is how many keys of a Limiter have a bucket of their own.
const MaxKeys = 256

// Key is what is limited together.
type Key struct {
	Server, What string
}

// Limiter bounds the lines that a fault can cause. Each key has a bucket of burst tokens, and gets
// one token back in each interval. Its methods may be called from several goroutines at once.
type Limiter struct {
	burst    int
	interval time.Duration

	mu      sync.Mutex
	buckets map[Key]*bucket // guarded by mu; at most MaxKeys and one
}

type bucket struct {
	full       time.Time // when the bucket will be full again
	suppressed int       // refusals since the last line
}

// NewLimiter returns a limiter of the usual pace.
func NewLimiter() *Limiter { return NewLimiterOf(Burst, Interval) }

// NewLimiterOf returns a limiter of another pace.
func NewLimiterOf(burst int, interval time.Duration) *Limiter {
	return &Limiter{burst: burst, interval: interval, buckets: make(map[Key]*bucket)}
}

// Allow takes a token. If there was one, it returns how many calls for k were refused since the
// last token.
func (l *Limiter) Allow(k Key) (suppressed int, ok bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucketLocked(k)
	if b.full.Before(now) {
		b.full = now
	}
	if b.full.Sub(now) > time.Duration(l.burst-1)*l.interval {
		b.suppressed++
		return 0, false
	}
	b.full = b.full.Add(l.interval)
	suppressed, b.suppressed = b.suppressed, 0
	return suppressed, true
}

// bucketLocked returns the bucket of k. Keys beyond MaxKeys share one.
func (l *Limiter) bucketLocked(k Key) *bucket {
	if _, ok := l.buckets[k]; !ok && len(l.buckets) >= MaxKeys {
		k = Key{}
	}
	b := l.buckets[k]
	if b == nil {
		b = new(bucket)
		l.buckets[k] = b
	}
	return b
}
