package auth

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Bounds of the response clock.
const (
	// maxStep is the longest step, unless AUTH_UNIFORM_DELAY itself is longer. An attempt holds its
	// name's turn for a step, so a step must be shorter than the wait for a turn. Otherwise one
	// wrong password would make the owner's login fail.
	maxStep = time.Second
	// stepPeriod is how often the step may change: only at multiples of it since the start.
	stepPeriod = 10 * time.Second
	// The step is computed from at most this many durations, none of them older than this.
	maxDurations   = 512
	maxDurationAge = 10 * time.Minute
)

// responseClock decides when failures are answered in uniform mode: at a multiple of the step after
// the attempt began. The step is a multiple of the configured delay above one and a half times the
// recent 99th percentile of attempts with a password comparison. So the time of an answer does not
// depend on the work before it. A random delay hides the remaining scheduling delay of some 10 µs.
type responseClock struct {
	delay   time.Duration
	jitter  time.Duration // bounds the random delay
	sleeper sleeper
	started time.Time

	mu        sync.Mutex
	current   time.Duration  // the step; guarded by mu, as below
	period    int64          // for which current was computed: multiples of stepPeriod since started
	durations []pastDuration // a ring of maxDurations
	next      int            // the index of the next one
}

// pastDuration is how long one attempt took, and when it ended.
type pastDuration struct {
	took time.Duration
	at   time.Time
}

func newResponseClock(delay, jitter time.Duration, sleep func(time.Duration), now time.Time) *responseClock {
	if sleep == nil {
		sleep = time.Sleep
	}
	return &responseClock{delay: delay, jitter: jitter, sleeper: sleeper{sleep: sleep}, started: now, current: delay}
}

// step returns the step at now.
func (c *responseClock) step(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advanceLocked(now)
	return c.current
}

// record adds the duration of an attempt with a password comparison. It takes effect in the next
// period.
func (c *responseClock) record(took time.Duration, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advanceLocked(now)
	d := pastDuration{took, now}
	if len(c.durations) < maxDurations {
		c.durations = append(c.durations, d)
	} else {
		c.durations[c.next] = d
	}
	c.next = (c.next + 1) % maxDurations
}

// advanceLocked recomputes the step if a period has ended. All durations recorded since the last
// computation belong to the period c.period. No durations were recorded in the periods after it.
func (c *responseClock) advanceLocked(now time.Time) {
	period := int64(now.Sub(c.started) / stepPeriod)
	if period <= c.period {
		return
	}
	for _, p := range []int64{c.period + 1, period} {
		begins := c.started.Add(time.Duration(p) * stepPeriod)
		var recent []time.Duration
		for _, d := range c.durations {
			if begins.Sub(d.at) <= maxDurationAge {
				recent = append(recent, d.took)
			}
		}
		c.current = stepAbove(recent, c.delay, c.current)
	}
	c.period = period
}

// stepAbove returns the step for recent durations; the current one if there are none.
func stepAbove(recent []time.Duration, delay, current time.Duration) time.Duration {
	if len(recent) == 0 {
		return current
	}
	slices.Sort(recent)
	percentile := recent[len(recent)-1-len(recent)/100]
	steps := (percentile + percentile/2 + delay - 1) / delay
	return delay * min(max(steps, 1), max(maxStep/delay, 1))
}

// answerAfter returns the first multiple of the step that can still be met precisely after took.
func answerAfter(took, step time.Duration) time.Duration {
	return (took + sleeperLead + step - 1) / step * step
}

// wait returns at the first possible answer time of an attempt that began then, or up to the jitter
// later.
func (c *responseClock) wait(began time.Time, step time.Duration) {
	after := answerAfter(time.Since(began), step)
	if c.jitter > 0 {
		after += rand.N(c.jitter) //nolint:gosec // it hides microseconds and is not a secret
	}
	c.sleeper.waitUntil(began.Add(after))
}
