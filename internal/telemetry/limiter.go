package telemetry

import (
	"sync"
	"time"
)

// The pace of lines with one key: so many at once, then one in each interval.
const (
	limitBurst    = 5
	limitInterval = time.Minute
	limitKeys     = 4 * maxServers
)

// limitKey is what is limited together.
type limitKey struct {
	server, what string
}

// limiter bounds the lines that a fault can make, for each key by a bucket of limitBurst tokens.
type limiter struct {
	mu      sync.Mutex
	buckets map[limitKey]*bucket // guarded by mu; at most limitKeys and one
}

type bucket struct {
	full       time.Time // when the bucket will be full again
	suppressed int       // refusals since the last line
}

func newLimiter() *limiter {
	return &limiter{buckets: make(map[limitKey]*bucket)}
}

// allow takes a token. Where it got one it returns how often it was refused since the last.
func (l *limiter) allow(k limitKey) (suppressed int, ok bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(k)
	if b.full.Before(now) {
		b.full = now
	}
	if b.full.Sub(now) > (limitBurst-1)*limitInterval {
		b.suppressed++
		return 0, false
	}
	b.full = b.full.Add(limitInterval)
	suppressed, b.suppressed = b.suppressed, 0
	return suppressed, true
}

// bucket returns the bucket of k; keys beyond limitKeys share one. l.mu is held.
func (l *limiter) bucket(k limitKey) *bucket {
	if _, ok := l.buckets[k]; !ok && len(l.buckets) >= limitKeys {
		k = limitKey{}
	}
	b := l.buckets[k]
	if b == nil {
		b = new(bucket)
		l.buckets[k] = b
	}
	return b
}
