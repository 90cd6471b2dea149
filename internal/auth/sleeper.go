package auth

import (
	"slices"
	"sync"
	"time"
)

const (
	// sleeperLead is how long before its wake-up time a caller changes from a timer to the precise
	// sleep. Go rounds the wait of an idle process up to whole milliseconds, counted from when it
	// became idle: a timer is up to 1 ms late, depending on the duration of the work before it.
	sleeperLead = 2 * time.Millisecond
	// sleeperSlice bounds one precise sleep, so that a new caller with an earlier wake-up time is
	// served in time. The last sleep always has this length, so that it does not depend on earlier
	// work.
	sleeperSlice = 500 * time.Microsecond
)

// sleeper wakes callers at precise times. One of the callers within sleeperLead of their times is
// the leader: it sleeps in the operating system, on a single thread for all callers, and wakes the
// others.
type sleeper struct {
	sleep func(time.Duration) // precise, and may return early

	mu        sync.Mutex
	waiting   []*sleeping // by moment, guarded by mu; the leader is among them
	hasLeader bool        // guarded by mu
}

// sleeping is a caller within sleeperLead of its wake-up time.
type sleeping struct {
	moment time.Time
	wake   chan wakeReason // of capacity 1
}

type wakeReason bool

const (
	wakeDue  wakeReason = false // its time has come
	wakeLead wakeReason = true  // the leader left, and this caller is the new leader
)

// waitUntil returns at moment, or immediately if it is past.
func (s *sleeper) waitUntil(moment time.Time) {
	time.Sleep(time.Until(moment) - sleeperLead)
	own := &sleeping{moment: moment, wake: make(chan wakeReason, 1)}
	s.mu.Lock()
	i, _ := slices.BinarySearchFunc(s.waiting, moment, func(w *sleeping, m time.Time) int { return w.moment.Compare(m) })
	s.waiting = slices.Insert(s.waiting, i, own)
	lead := wakeReason(!s.hasLeader)
	s.hasLeader = true
	s.mu.Unlock()
	if lead != wakeLead {
		lead = <-own.wake
	}
	if lead == wakeLead {
		s.lead(own)
	}
}

// lead sleeps and wakes the others until its own time, then passes on the lead.
func (s *sleeper) lead(own *sleeping) {
	for {
		next, left := s.wakeDue(own)
		if left {
			return
		}
		s.sleep(preciseSleep(time.Until(next)))
	}
}

// wakeDue wakes the callers whose times have come and returns the next time. If own is one of them,
// it passes the lead to the next caller and returns left.
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
		return s.waiting[0].moment, false // it has own at least
	case len(s.waiting) > 0:
		s.waiting[0].wake <- wakeLead
	default:
		s.hasLeader = false
	}
	return time.Time{}, true
}

// preciseSleep returns how long to sleep with left until the next time: the last sleep is a whole
// slice.
func preciseSleep(left time.Duration) time.Duration {
	if left <= sleeperSlice {
		return left
	}
	return min(sleeperSlice, left-sleeperSlice)
}
