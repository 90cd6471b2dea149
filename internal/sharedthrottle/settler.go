package sharedthrottle

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// maxResults bounds the results that wait to be recorded.
	maxResults = 1 << 13
	// maxBatch bounds those of one round trip.
	maxBatch = 256
	// settleTime is how long one round trip of results may take. No attempt waits for it.
	settleTime = time.Second
)

// result is what came of an attempt.
type result struct {
	of      *counts
	id      string
	verdict string // of settle.lua
	at      time.Time
}

// settler records results after their answers, in order. While the server is away it keeps them, so
// that the server learns of what was counted meanwhile.
type settler struct {
	client  *client
	breaker *breaker
	keep    time.Duration // a result that is older is dropped
	queue   chan result
	stop    chan struct{} // closed when no result follows
	dropped atomic.Uint64
}

func newSettler(c *client, b *breaker, keep time.Duration) *settler {
	return &settler{client: c, breaker: b, keep: keep, queue: make(chan result, maxResults), stop: make(chan struct{})}
}

// add takes a result. It never waits: if too many wait already, the result is dropped.
func (s *settler) add(r result) {
	r.at = time.Now()
	select {
	case s.queue <- r:
	default:
		s.dropped.Add(1)
	}
}

// run records results until stop is closed, and then those that wait.
func (s *settler) run() {
	for {
		select {
		case r := <-s.queue:
			s.record(s.batch(r))
			continue
		case <-s.stop:
		}
		select {
		case r := <-s.queue:
			s.record(s.batch(r))
		default:
			return
		}
	}
}

// batch returns a result and those that wait behind it.
func (s *settler) batch(first result) []result {
	all := []result{first}
	for len(all) < maxBatch {
		select {
		case r := <-s.queue:
			all = append(all, r)
		default:
			return all
		}
	}
	return all
}

// record records results as soon as the server is asked. It drops those that are too old then, and
// all if no result follows and the server is away.
func (s *settler) record(all []result) {
	select {
	case <-s.breaker.asked():
	default:
		select {
		case <-s.breaker.asked():
		case <-s.stop:
			s.dropped.Add(uint64(len(all)))
			return
		}
	}
	oldest := time.Now().Add(-s.keep)
	for len(all) > 0 && all[0].at.Before(oldest) {
		all = all[1:]
		s.dropped.Add(1)
	}
	if len(all) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	if err := s.client.settleAll(ctx, all); err != nil {
		s.breaker.fault(err)
	}
}
