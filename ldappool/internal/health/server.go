// Package health decides what state a directory server is in, when it is probed next, and whether
// its circuit breaker is open. It is a state machine without clock, lock or I/O: every method takes
// the time, and the caller reports what happened.
package health

import (
	"time"
)

// State is what is known of a server.
type State uint8

// The states.
const (
	// Suspect: something failed, or nothing was tried yet. A probe is running or due.
	Suspect State = iota
	// Usable: it answered, and nothing failed since.
	Usable
	// Down: probes fail.
	Down
)

// The pace of probes. A probe is one connection and one bind: one a second is no load for a
// directory, and the end of an outage is noticed soon. A refused service bind is different, because
// it counts against the account.
const (
	ProbeMin   = 100 * time.Millisecond
	ProbeMax   = time.Second
	RefusalMin = 30 * time.Second
	RefusalMax = 15 * time.Minute
)

// Probe is the phase of a server's probe.
type Probe uint8

// The phases of a probe.
const (
	ProbeWaiting Probe = iota // not due, or due at Server.ProbeAt
	ProbeDue                  // waits for a connection slot
	ProbeRunning
)

// Jitter shortens a duration at random, so that several instances do not probe in step.
type Jitter func(time.Duration) time.Duration

// Server is the health of one server. The zero value is not ready for use: see NewServer.
type Server struct {
	State   State
	Since   time.Time // of the state
	LastOp  string    // what failed with LastErr
	LastErr error     // stays after recovery

	Probe     Probe
	ProbeAt   time.Time // when a waiting probe becomes due; zero if it does not
	Postponed bool      // the last probe was canceled to free its slot for callers

	Breaker Breaker

	jitter            Jitter
	lastImmediate     time.Time // when a probe was last wanted immediately
	refusals          int       // refused service binds in a row
	faultSinceRefusal bool      // something else failed since the last of them
}

// NewServer returns the health of a server of which nothing is known: suspect, with a probe due.
func NewServer(now time.Time, jitter Jitter) Server {
	return Server{Since: now, Probe: ProbeDue, jitter: jitter}
}

func (s *Server) set(now time.Time, to State, op string, err error) {
	if err != nil {
		s.LastOp, s.LastErr = op, err
	}
	if s.State != to {
		s.State, s.Since = to, now
	}
}

// Fault records a failed dial, or an operation or check that timed out. It makes a usable server
// suspect and a probe due. The probe is immediate, unless the last immediate probe is very recent:
// a server may accept the service's connections and drop later ones. refused means that the server
// rejected the service's credentials.
func (s *Server) Fault(now time.Time, op string, err error, refused bool) {
	s.LastOp, s.LastErr = op, err
	if s.State != Usable {
		s.faultSinceRefusal = true
		return
	}
	s.set(now, Suspect, op, err)
	switch {
	case refused:
		s.refused(now)
	case now.Sub(s.lastImmediate) < ProbeMin:
		s.probeIn(now, ProbeMin)
	default:
		s.Probe, s.lastImmediate = ProbeDue, now
	}
}

// ProbeSucceeded makes the server usable.
func (s *Server) ProbeSucceeded(now time.Time) {
	s.Probe, s.ProbeAt, s.refusals, s.Postponed = ProbeWaiting, time.Time{}, 0, false
	s.Breaker.Close(now)
	s.set(now, Usable, "", nil)
}

// ProbeFailed schedules the next probe. alive means that the server still serves the connections
// that it has: then it stays suspect, otherwise it is down.
func (s *Server) ProbeFailed(now time.Time, op string, err error, alive, refused bool) {
	s.Probe = ProbeWaiting
	to := Down
	if alive {
		to = Suspect
	}
	s.set(now, to, op, err)
	if refused {
		s.refused(now)
		return
	}
	s.probeIn(now, s.pause(now))
}

// ProbePostponed records that the running probe was canceled to free its slot for callers, without
// a result.
func (s *Server) ProbePostponed(now time.Time) {
	s.Probe, s.Postponed = ProbeWaiting, true
	s.probeIn(now, s.pause(now))
}

// ProbeStarted records that the probe is running.
func (s *Server) ProbeStarted() { s.Probe, s.Postponed = ProbeRunning, false }

// ProbeIn makes the probe wait for d.
func (s *Server) ProbeIn(now time.Time, d time.Duration) {
	s.Probe = ProbeWaiting
	s.probeIn(now, d)
}

func (s *Server) probeIn(now time.Time, d time.Duration) { s.ProbeAt = now.Add(d) }

// pause is a tenth of the time that the server has been failing, within bounds: waiting adds little
// to any outage.
func (s *Server) pause(now time.Time) time.Duration {
	return s.jitter(min(max(now.Sub(s.Since)/10, ProbeMin), ProbeMax))
}

// refused schedules the next attempt after a refused service bind: at growing intervals, since each
// counts against the account.
func (s *Server) refused(now time.Time) {
	s.refusals++
	s.faultSinceRefusal = false
	s.probeIn(now, min(RefusalMin<<min(s.refusals-1, 8), RefusalMax))
}

// ProbeNow makes the probe due, whatever was scheduled. It does nothing to a usable server or a
// running probe.
func (s *Server) ProbeNow(now time.Time) {
	if s.State == Usable || s.Probe == ProbeRunning {
		return
	}
	s.Probe, s.ProbeAt = ProbeDue, time.Time{}
	if s.Breaker.Open || s.Postponed {
		s.set(now, Suspect, "", nil)
	}
}

// ForgetRefusals lets the service bind be tried again at once: the credentials may be different.
func (s *Server) ForgetRefusals() { s.refusals, s.faultSinceRefusal = 0, false }

// Refused reports whether the last probe was refused for the service's credentials and nothing else
// failed since. Users can still bind at such a server.
func (s *Server) Refused() bool {
	return s.State == Suspect && s.refusals > 0 && !s.faultSinceRefusal
}

// Refusals reports how many service binds in a row the server refused.
func (s *Server) Refusals() int { return s.refusals }

// Silent takes the server down because it answers nothing while operations are under way.
func (s *Server) Silent(now time.Time, op string, err error) {
	s.set(now, Down, op, err)
	if s.Probe == ProbeWaiting {
		s.probeIn(now, s.jitter(ProbeMin))
	}
}

// MarkOrphaned takes a suspect server down that has no connection left and no probe about to settle
// its state.
func (s *Server) MarkOrphaned(now time.Time) { s.set(now, Down, s.LastOp, s.LastErr) }

// Trip opens the circuit breaker. If the server fails again soon after a probe closed its breaker,
// it is down immediately, and for longer.
func (s *Server) Trip(now time.Time, op string, err error) {
	to := Suspect
	if s.Breaker.trip(now) {
		to = Down
	}
	s.set(now, to, op, err)
	s.probeIn(now, s.jitter(s.Breaker.pause))
}

// Tick makes a waiting probe due when its time has come.
func (s *Server) Tick(now time.Time) {
	if s.Probe == ProbeWaiting && s.State != Usable && !s.ProbeAt.IsZero() && !now.Before(s.ProbeAt) {
		s.Probe, s.ProbeAt = ProbeDue, time.Time{}
	}
}

// NextTick is when Tick will have something to do, or zero.
func (s *Server) NextTick() time.Time {
	if s.Probe != ProbeWaiting || s.State == Usable {
		return time.Time{}
	}
	return s.ProbeAt
}
