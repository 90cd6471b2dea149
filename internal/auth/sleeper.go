package auth

import (
	"slices"
	"sync"
	"time"
)

const (
	// sleeperLead is how long before its moment a caller changes from a timer to the precise sleep.
	// Go rounds the wait of an idle process up to whole milliseconds, counted from when it became
	// idle: a timer is up to 1 ms late, by how long the work before it took.
	sleeperLead = 2 * time.Millisecond
	// sleeperSlice bounds one precise sleep, so that a caller that comes meanwhile with an earlier
	// moment is seen in time. The last sleep before a moment always has this length: what happened
	// before leaves no trace in it.
	sleeperSlice = 500 * time.Microsecond
)

// sleeper wakes callers at exact moments. Of all callers within sleeperLead of their moments one
// leads: it alone sleeps in the operating system, on one thread however many callers there are, and
// wakes the others.
type sleeper struct {
	sleep func(time.Duration) // precise, and may return early

	mu      sync.Mutex
	waiting []*sleeping // by moment, guarded by mu; the leader is among them
	led     bool        // guarded by mu
}

// sleeping is a caller within sleeperLead of its moment.
type sleeping struct {
	moment time.Time
	wake   chan wakeReason // of capacity 1
}

type wakeReason bool

const (
	wakeDue  wakeReason = false // its moment has come
	wakeLead wakeReason = true  // the leader left, this caller leads
)

// until returns at moment, or at once if that is past.
func (s *sleeper) until(moment time.Time) {
	time.Sleep(time.Until(moment) - sleeperLead)
	own := &sleeping{moment: moment, wake: make(chan wakeReason, 1)}
	s.mu.Lock()
	i, _ := slices.BinarySearchFunc(s.waiting, moment, func(w *sleeping, m time.Time) int { return w.moment.Compare(m) })
	s.waiting = slices.Insert(s.waiting, i, own)
	lead := wakeReason(!s.led)
	s.led = true
	s.mu.Unlock()
	if lead != wakeLead {
		lead = <-own.wake
	}
	if lead == wakeLead {
		s.lead(own)
	}
}

// lead sleeps and wakes the others until its own moment, then passes the lead on.
func (s *sleeper) lead(own *sleeping) {
	for {
		next, left := s.wakeDue(own)
		if left {
			return
		}
		s.sleep(preciseSleep(time.Until(next)))
	}
}

// wakeDue wakes the callers whose moments have come and returns the next moment. If own is one of
// them it passes the lead to the next caller and reports that own leaves.
func (s *sleeper) wakeDue(own *sleeping) (next time.Time, left bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for len(s.waiting) > 0 && !s.waiting[0].moment.After(now) {
		due := s.waiting[0]
		s.waiting = slices.Delete(s.waiting, 0, 1)
		if due == own {
			left = true
		} else {
			due.wake <- wakeDue
		}
	}
	switch {
	case !left:
		return s.waiting[0].moment, false // own at least is there
	case len(s.waiting) > 0:
		s.waiting[0].wake <- wakeLead
	default:
		s.led = false
	}
	return time.Time{}, true
}

// preciseSleep returns how long to sleep when a moment is left away: the last sleep is a whole
// slice.
func preciseSleep(left time.Duration) time.Duration {
	if left <= sleeperSlice {
		return left
	}
	return min(sleeperSlice, left-sleeperSlice)
}
