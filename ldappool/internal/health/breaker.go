package health

import "time"

// The circuit breaker opens when half of the last BreakerWindow operations, of those of the last
// BreakerSpan, failed, and at least BreakerMin are known.
const (
	BreakerWindow = 20
	BreakerSpan   = 10 * time.Second
	BreakerMin    = 5
	// BreakerMaxPause bounds the pause between probes of a server whose breaker is open.
	BreakerMaxPause = 30 * time.Second
	// StableAfter is how long a server must have been usable before its recovery counts as lasting.
	StableAfter = 30 * time.Second
)

// Breaker is a circuit breaker for a server that answers probes but fails operations. While it is
// open the server is suspect or down. A probe that binds and searches is its half-open state; a
// successful probe closes it.
type Breaker struct {
	Open bool

	recent [BreakerWindow]attempt
	next   int
	closed time.Time     // when a probe last closed it
	pause  time.Duration // from opening to the next probe; doubles with each closing that was too early
}

// attempt is one operation.
type attempt struct {
	at     time.Time
	failed bool
}

// Record adds one operation. It reports how many of how many recent operations failed if that is
// too many, and zero otherwise. Soon after the breaker was closed one failure is enough, because
// the successful probe was not representative.
func (b *Breaker) Record(now time.Time, failed bool) (failures, total int) {
	b.recent[b.next] = attempt{now, failed}
	b.next = (b.next + 1) % BreakerWindow
	if !failed {
		return 0, 0
	}
	failures, total = b.count(now)
	least := BreakerMin
	if now.Sub(b.closed) < StableAfter {
		least = 1
	}
	if total < least || 2*failures < total {
		return 0, 0
	}
	return failures, total
}

func (b *Breaker) count(now time.Time) (failures, total int) {
	for _, a := range b.recent {
		if a.at.IsZero() || now.Sub(a.at) >= BreakerSpan {
			continue
		}
		total++
		if a.failed {
			failures++
		}
	}
	return failures, total
}

// Failing reports whether more than one recent operation failed.
func (b *Breaker) Failing(now time.Time) bool {
	failures, _ := b.count(now)
	return failures > 1
}

// trip opens the breaker, and reports whether that is too soon after it was closed.
func (b *Breaker) trip(now time.Time) (isRetry bool) {
	b.Open = true
	if now.Sub(b.closed) < StableAfter+b.pause {
		b.pause = min(2*b.pause, BreakerMaxPause)
		return true
	}
	b.pause = ProbeMin
	return false
}

// Close closes the breaker, and forgets what opened it. It does nothing to one that is closed.
func (b *Breaker) Close(now time.Time) {
	if b.Open {
		b.Open, b.closed, b.recent = false, now, [BreakerWindow]attempt{}
	}
}
