package ldappool

import (
	"slices"
	"time"
)

// How cuts of idle connections are judged.
const (
	// leastIdle is the least that a connection must have been quiet for its end to say anything about idling.
	leastIdle = 20 * time.Millisecond
	// leastAge is the least age that is taken for a limit. Where many faults follow one another, many connections end
	// young; and to replace them more often than that would cost more than it saves.
	leastAge = 10 * time.Second
	// oneMoment is how long cuts may lie apart and still have one cause: a restart, an operator, a server that sheds load.
	oneMoment = time.Second
	// cutsKept and cutsRemembered bound the memory of cuts, in number and in time.
	cutsKept       = 8
	cutsRemembered = time.Hour
	// survivalCounts is how long it speaks against a limit that a connection idled for longer than that and answered;
	// survivalsKept bounds how many of them are remembered.
	survivalCounts = 2 * time.Minute
	survivalsKept  = 32
	// jitter is how far apart times may lie that are the same, beside a twentieth.
	jitter = 50 * time.Millisecond
	// stall is how long before a server was found to have stood still its cuts belong to that.
	stall = 10 * time.Second
)

// cut is the end of idle connections by the other side, or their silence when they were asked for a sign of life: all those
// of one moment together.
type cut struct {
	at, last         time.Time     // the first and the last
	minIdle, maxIdle time.Duration // how long they had been quiet
	minAge, maxAge   time.Duration
	silent           bool // no end was seen of one of them
	conns            int
}

// idleWatch learns from the cuts of one server how long that, or something on the way to it, lets a connection idle.
type idleWatch struct {
	cuts  []cut      // oldest first
	news  bool       // something was cut since the last verdict
	lives []survival // oldest first
}

// survival is an answer on a connection that had been quiet for so long.
type survival struct {
	at   time.Time
	idle time.Duration
}

// late is how much later than its limit a server may cut: slapd looks once in a quarter of the limit, and counts in whole
// seconds.
func late(limit time.Duration) time.Duration { return limit/4 + min(time.Second, limit/2) }

// agree tells whether times between least and most can be one limit.
func agree(least, most time.Duration) bool { return most <= least+late(least) }

// surely is the least that a limit can be where the soonest cut came after idle: late, solved for the limit, and never
// less than half of what was seen.
func surely(idle time.Duration) time.Duration { return idle - max(idle/5, min(time.Second, idle/2)) }

// saw notes a cut at a time after so long idle, of a connection that old; or with silent that it had no answer to a ping.
func (w *idleWatch) saw(at time.Time, idle, age time.Duration, silent bool) {
	w.news = true
	if n := len(w.cuts); n > 0 {
		// Half of what the longest idled: cuts by a limit lie further apart, however short that is. Pings come one after
		// another where a server stands still.
		c := &w.cuts[n-1]
		if at.Sub(c.at) < min(oneMoment, max(idle/2, c.maxIdle/2, jitter)) || silent && c.silent && at.Sub(c.last) <= pingTimeout+jitter {
			c.last = at
			c.minIdle, c.maxIdle = min(c.minIdle, idle), max(c.maxIdle, idle)
			c.minAge, c.maxAge = min(c.minAge, age), max(c.maxAge, age)
			c.silent = c.silent || silent
			c.conns++
			return
		}
	}
	w.cuts = append(w.cuts, cut{at, at, idle, idle, age, age, silent, 1})
	w.cuts = slices.Delete(w.cuts, 0, max(len(w.cuts)-cutsKept, 0))
}

// answered notes that a connection answered at a time after so long idle.
func (w *idleWatch) answered(at time.Time, idle time.Duration) {
	w.lives = append(w.lives, survival{at, idle})
	w.lives = slices.Delete(w.lives, 0, max(len(w.lives)-survivalsKept, 0))
}

// wentDown forgets everything: some cuts were the server's going, and it may come back with other limits.
func (w *idleWatch) wentDown() { w.cuts, w.lives = nil, nil }

// stoodStill forgets the cuts of the time in which the server answered nobody.
func (w *idleWatch) stoodStill(at time.Time) {
	w.cuts = slices.DeleteFunc(w.cuts, func(c cut) bool { return at.Sub(c.at) < stall })
}

// verdict is what the cuts before a moment, at which the server is known to have been well, say: how long a connection
// may idle, or how old it may get; 0 where they say nothing. quiet and old are the longest that a connection has been
// quiet and has lived that is open at this moment.
func (w *idleWatch) verdict(well time.Time, quiet, old time.Duration) (idle, age time.Duration) {
	var cuts []cut
	for _, c := range w.cuts {
		if c.at.Before(well) && well.Sub(c.at) < max(cutsRemembered, 4*c.maxIdle) {
			cuts = append(cuts, c)
		}
	}
	if len(cuts) == 0 {
		return 0, 0
	}
	if age := ageLimit(cuts, old); age > 0 {
		return 0, age
	}
	return w.idleLimit(cuts, quiet), 0
}

// idleLimit is how long the last two cuts, where their times are the same, or the last three, where they are about the
// same, say that a connection may idle. Nothing that lived on may speak against it. Silence takes three: a server that
// stood still for a moment looks the same.
func (w *idleWatch) idleLimit(cuts []cut, quiet time.Duration) time.Duration {
	for _, n := range []int{2, 3} {
		if len(cuts) < n {
			return 0
		}
		last := cuts[len(cuts)-n:]
		least, most, conns, silent, seen := last[0].minIdle, last[0].maxIdle, 0, false, false
		for _, c := range last {
			least, most, conns = min(least, c.minIdle), max(most, c.maxIdle), conns+c.conns
			silent, seen = silent || c.silent, seen || !c.silent
		}
		if !seen {
			conns = 0 // then one that lived on is enough against it
		}
		// Silence says only that the limit is shorter: the connection may have been dropped long before it was asked.
		fits := n > 2 && (!seen || agree(least, most)) || n == 2 && !silent && most <= least+least/20+min(jitter, least/10)
		// What was dropped silently may well be open here.
		if fits && least >= leastIdle && !w.outlived(last[0].at, last[n-1].at, least, conns) && (silent || agree(least, quiet)) {
			return surely(least)
		}
	}
	return 0
}

// outlived tells whether connections that lived on speak against a limit, between the cuts, in the time before the last and
// since: one that had idled for longer than the limit could be, or more than were cut that had idled for as long.
func (w *idleWatch) outlived(first, last time.Time, least time.Duration, cuts int) bool {
	since := last.Add(-max(survivalCounts, 4*least))
	if first.Before(since) {
		since = first
	}
	long := 0
	for _, l := range w.lives {
		if !l.at.After(since) || l.idle < least-min(jitter, least/20) {
			continue
		}
		long++
		if long > cuts || !agree(least, l.idle) {
			return true
		}
	}
	return false
}

// ageLimit is how old the last cuts say that a connection gets, whether it idles or not: their ages are the same, and the
// times that they were idle were for most of them far from their ages.
func ageLimit(cuts []cut, old time.Duration) time.Duration {
	const enough = 4
	if len(cuts) < enough {
		return 0
	}
	least, most, busy := cuts[len(cuts)-1].minAge, time.Duration(0), 0
	for _, c := range cuts[len(cuts)-enough:] {
		least, most = min(least, c.minAge), max(most, c.maxAge)
		if c.maxIdle < c.minAge*7/10 {
			busy++
		}
	}
	if busy < enough-1 || least < leastAge || max(most, old) > least+max(least/20, time.Second) {
		return 0
	}
	return least
}
