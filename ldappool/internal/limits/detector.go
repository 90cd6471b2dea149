// Package limits learns from disconnects how long a directory server, or a firewall on the way to
// it, lets a connection be quiet. It has no clock and does no I/O.
package limits

import (
	"slices"
	"time"
)

// How disconnects of idle connections are judged.
const (
	// minIdle is the least that a connection must have been quiet for its end to say anything about
	// idling.
	minIdle = 20 * time.Millisecond
	// groupWithin is how far apart disconnects may be and still have one cause: a restart, an
	// operator, a server that sheds load.
	groupWithin = time.Second
	// disconnectsKept and disconnectsExpire bound the memory of disconnects, in number and in time.
	disconnectsKept   = 8
	disconnectsExpire = time.Hour
	// survivalExpires is how long a connection that idled for longer than a limit and then answered
	// counts against that limit; survivalsKept bounds how many of them are remembered.
	survivalExpires = 2 * time.Minute
	survivalsKept   = 32
	// jitter is how far apart times may be that are taken for the same, if that is more than a
	// twentieth.
	jitter = 50 * time.Millisecond
	// stall is how long before a server was found to have been stalled its disconnects belong to
	// the stall.
	stall = 10 * time.Second
	// pingSpacing is how far apart failed pings may be that one stall explains: they are sent one
	// after another.
	pingSpacing = 500*time.Millisecond + jitter
)

// disconnect groups idle connections that the peer closed, or that failed a ping, in one moment.
type disconnect struct {
	first, last      time.Time
	minIdle, maxIdle time.Duration // how long they had been quiet
	silent           bool          // at least one of them failed a ping instead of being closed
	conns            int
}

// survival is an answer on a connection that had been quiet.
type survival struct {
	at   time.Time
	idle time.Duration
}

// Detector collects the disconnects of one server. The zero value is ready for use.
type Detector struct {
	disconnects []disconnect // oldest first
	survivals   []survival   // oldest first
	pending     bool         // something was recorded since the last call of Limit
}

// WithMargin returns the part of a limit that the pool uses.
func WithMargin(limit time.Duration) time.Duration { return limit * 4 / 5 }

// maxLag is how much later than its limit a server may disconnect: slapd looks once in a quarter of
// the limit, and counts in whole seconds.
func maxLag(limit time.Duration) time.Duration { return limit/4 + min(time.Second, limit/2) }

// haveOneCause reports whether times between least and most can have one limit as their cause.
func haveOneCause(least, most time.Duration) bool { return most <= least+maxLag(least) }

// lowerBound returns the smallest limit that is possible if the earliest disconnect came after
// idle: maxLag solved for the limit, and at least half of idle.
func lowerBound(idle time.Duration) time.Duration {
	return idle - max(idle/5, min(time.Second, idle/2))
}

// Disconnected records that a connection ended after having been quiet for idle; with silent, that
// it did not answer a ping.
func (d *Detector) Disconnected(at time.Time, idle time.Duration, silent bool) {
	d.pending = true
	if n := len(d.disconnects); n > 0 {
		// Half of the longest idle time: disconnects by a limit are further apart, however short it
		// is. Pings follow one another where a server is stalled.
		last := &d.disconnects[n-1]
		if at.Sub(last.first) < min(groupWithin, max(idle/2, last.maxIdle/2, jitter)) || silent && last.silent && at.Sub(last.last) <= pingSpacing {
			last.last = at
			last.minIdle, last.maxIdle = min(last.minIdle, idle), max(last.maxIdle, idle)
			last.silent = last.silent || silent
			last.conns++
			return
		}
	}
	d.disconnects = append(d.disconnects, disconnect{at, at, idle, idle, silent, 1})
	d.disconnects = slices.Delete(d.disconnects, 0, max(len(d.disconnects)-disconnectsKept, 0))
}

// Survived records that a connection answered after having been quiet for idle.
func (d *Detector) Survived(at time.Time, idle time.Duration) {
	d.survivals = append(d.survivals, survival{at, idle})
	d.survivals = slices.Delete(d.survivals, 0, max(len(d.survivals)-survivalsKept, 0))
}

// Reset forgets everything. The server went down: some disconnects were part of that, and it may
// come back with another limit.
func (d *Detector) Reset() { *d = Detector{} }

// Stalled drops the disconnects of a time in which the server answered no connection.
func (d *Detector) Stalled(at time.Time) {
	d.disconnects = slices.DeleteFunc(d.disconnects, func(c disconnect) bool { return at.Sub(c.first) < stall })
}

// Pending reports whether a disconnect was recorded that Limit has not judged yet.
func (d *Detector) Pending() bool { return d.pending }

// Limit is how long a connection may be quiet, by the disconnects before healthy, when the server
// is known to have answered; 0 if they prove nothing. longestIdle is how long the most idle open
// connection has been quiet now.
func (d *Detector) Limit(healthy time.Time, longestIdle time.Duration) time.Duration {
	n := len(d.disconnects)
	d.pending = n > 0 && !d.disconnects[n-1].first.Before(healthy)
	var seen []disconnect
	for _, c := range d.disconnects {
		if c.first.Before(healthy) && healthy.Sub(c.first) < max(disconnectsExpire, 4*c.maxIdle) {
			seen = append(seen, c)
		}
	}
	// Two disconnects are enough if their times are the same, three if the times are about the
	// same.
	for _, n := range []int{2, 3} {
		if len(seen) < n {
			return 0
		}
		if limit := d.limitFrom(seen[len(seen)-n:], longestIdle); limit > 0 {
			return limit
		}
	}
	return 0
}

// limitFrom returns the limit that these disconnects prove, or 0. Failed pings must be three,
// because a server that stalled for a moment looks the same. They show only an upper bound of the
// limit, because the connection may have been dropped long before the ping.
func (d *Detector) limitFrom(last []disconnect, longestIdle time.Duration) time.Duration {
	least, most, conns, silent, closed := last[0].minIdle, last[0].maxIdle, 0, false, false
	for _, c := range last {
		least, most, conns = min(least, c.minIdle), max(most, c.maxIdle), conns+c.conns
		silent, closed = silent || c.silent, closed || !c.silent
	}
	var same bool
	if len(last) == 2 {
		same = !silent && most <= least+least/20+min(jitter, least/10)
	} else {
		same = !closed || haveOneCause(least, most)
	}
	if !closed {
		conns = 0 // one survivor is enough to disprove it
	}
	switch {
	case !same, least < minIdle, d.disproved(last[0].first, last[len(last)-1].first, least, conns):
		return 0
	case !silent && !haveOneCause(least, longestIdle): // connections that were dropped silently are still open here
		return 0
	}
	return lowerBound(least)
}

// disproved reports whether survivors contradict a limit, between the disconnects, shortly before
// the last and since: one that had been quiet for longer than the limit can be, or more than were
// disconnected that had been quiet for as long.
func (d *Detector) disproved(first, last time.Time, least time.Duration, disconnected int) bool {
	since := last.Add(-max(survivalExpires, 4*least))
	if first.Before(since) {
		since = first
	}
	survivors := 0
	for _, s := range d.survivals {
		if !s.at.After(since) || s.idle < least-min(jitter, least/20) {
			continue
		}
		survivors++
		if survivors > disconnected || !haveOneCause(least, s.idle) {
			return true
		}
	}
	return false
}
