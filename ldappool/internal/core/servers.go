package core

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"authsvc/ldappool/internal/health"
)

// changeHealth applies a change to a server's health, and handles a change of its state.
func (c *Core) changeHealth(s *Server, op string, err error, now time.Time, change func(h *health.Server)) {
	from := s.Health.State
	change(&s.Health)
	c.wakeBy(s.Health.NextTick())
	to := s.Health.State
	if from == to {
		return
	}
	if from == health.Usable {
		for _, conn := range c.conns {
			if conn.Server == s && conn.Purpose != ForProbe {
				c.cancelDial(conn) // another server serves the requests, or they are rejected immediately
			}
		}
		c.probeNow(now)
	}
	if to == health.Down {
		c.eachIdle(func(conn *Conn) {
			if conn.Server == s {
				c.closeIdle(conn, ReasonServerDown)
			}
		})
		c.abortSearches(s)
		s.Limits.Reset()
	}
	c.emit(ServerChanged{s, from, to, op, err})
}

// fault records a failure that the server may have caused.
func (c *Core) fault(s *Server, op string, err error, refused bool, now time.Time) {
	if c.closed {
		return
	}
	c.changeHealth(s, op, err, now, func(h *health.Server) { h.Fault(now, op, err, refused) })
}

// recordOperation feeds the result of an operation to the server's circuit breaker. The breaker
// opens only if another server is usable: a bad answer is better than none.
func (c *Core) recordOperation(s *Server, o Outcome, now time.Time) {
	failures, total := s.Health.Breaker.Record(now, o.Failed != nil)
	if failures == 0 || c.closed || s.removed || !s.isUsable() || c.alternative(s) == nil {
		return
	}
	err := fmt.Errorf("%d of the last %d operations failed, the last with: %w", failures, total, o.Failed)
	c.changeHealth(s, o.Op, err, now, func(h *health.Server) { h.Trip(now, o.Op, err) })
}

// probeNow probes the servers with an open breaker or a postponed probe if no server is usable,
// because callers wait for the result.
func (c *Core) probeNow(now time.Time) {
	if c.firstUsable() != nil {
		return
	}
	for _, s := range c.servers {
		if (s.Health.Breaker.Open || s.Health.Postponed) && s.Health.Probe == health.ProbeWaiting {
			c.changeHealth(s, "", nil, now, func(h *health.Server) { h.ProbeNow(now) })
		}
	}
}

// probeSucceeded makes a server usable, unless the probe was for an earlier configuration.
func (c *Core) probeSucceeded(conn *Conn, outdated bool, took time.Duration, now time.Time) {
	s := conn.Server
	if outdated || s.reprobe {
		c.probeAgain(s)
		return
	}
	if took > c.checkTimeout(s)/2 {
		s.Limits.Stalled(now) // the server itself was slow, and no firewall dropped connections
	}
	c.changeHealth(s, "", nil, now, func(h *health.Server) { h.ProbeSucceeded(now) })
	for _, other := range c.conns {
		if other != conn && other.Server == s && other.Purpose == ForProbe {
			c.cancelDial(other)
		}
	}
	c.maintenance.requested = true
}

// probeAgain makes a new probe due after one for an earlier configuration.
func (c *Core) probeAgain(s *Server) {
	s.reprobe = false
	s.Health.Probe = health.ProbeWaiting
	if !s.isUsable() && !s.removed {
		s.Health.Probe = health.ProbeDue
	}
}

// probeFailed finds out whether a server whose probe failed still serves its open connections.
func (c *Core) probeFailed(conn *Conn, f Failure, outdated bool, now time.Time) {
	s := conn.Server
	switch {
	case c.closed:
	case outdated || s.reprobe:
		c.probeAgain(s)
	case f.Canceled && (s.isUsable() || c.isProbing(s)): // another probe decides
	case f.Canceled:
		s.Health.ProbePostponed(now)
		c.wakeBy(s.Health.NextTick())
	case f.Busy && c.alternative(s) != nil:
		c.settleProbe(s, f.Err, false, f.Refused, now) // it answers, but does not serve
	case f.Refused:
		// A refusal is an answer, but does not show that the server serves.
		c.settleProbe(s, f.Err, s.open(c.probeLane()) > 0, true, now)
	default:
		s.probeErr = f.Err
		c.verify(s, now)
	}
}

// verify checks idle connections of a server whose probe failed, until one answers or times out. If
// all are in use, the server is assumed to be alive; otherwise their operations fail.
func (c *Core) verify(s *Server, now time.Time) {
	for _, l := range bothLanes {
		if conn := c.findIdle(l, func(o *Conn) bool { return o.Server == s && c.mayCheck(o, now) }); conn != nil {
			conn.verifying = true
			c.checkInBackground(conn, now)
			return
		}
	}
	c.settleProbe(s, s.probeErr, s.open(Search)+s.open(Bind) > s.counts.all(Closing), false, now)
}

// verifyDone continues after the check of a connection to a server whose probe failed.
func (c *Core) verifyDone(s *Server, alive, timedOut bool, now time.Time) {
	switch {
	case s.probeErr == nil || c.closed:
	case s.reprobe:
		s.probeErr = nil
		c.probeAgain(s)
	case alive || timedOut:
		c.settleProbe(s, s.probeErr, alive, false, now)
	default:
		c.verify(s, now)
	}
}

// settleProbe records a failed probe. A server that answered anything since it began is alive.
func (c *Core) settleProbe(s *Server, err error, alive, refused bool, now time.Time) {
	s.probeErr = nil
	alive = alive || !refused && s.Answered.After(s.probedAt)
	if s.isUsable() {
		return // another probe succeeded meanwhile
	}
	c.changeHealth(s, OpProbe, err, now, func(h *health.Server) { h.ProbeFailed(now, OpProbe, err, alive, refused) })
	if c.isProbing(s) {
		s.Health.ProbeStarted() // in addition
	}
}

// markOrphansDown takes down the servers that cannot serve a login any more: suspect, without a
// connection in the lane that logins begin in, and without a probe running or due.
func (c *Core) markOrphansDown(now time.Time) {
	for _, s := range c.servers {
		if s.Health.State == health.Suspect && s.Health.Probe == health.ProbeWaiting && s.open(c.probeLane()) == 0 {
			c.changeHealth(s, s.Health.LastOp, s.Health.LastErr, now, func(h *health.Server) { h.MarkOrphaned(now) })
		}
	}
}

// abortSearches ends the searches at a server that went down, if another server can do them: they
// are sent again, as after a lost connection. Binds must not be sent twice and are left to time
// out.
func (c *Core) abortSearches(s *Server) {
	if c.alternative(s) == nil {
		return
	}
	for _, conn := range c.conns {
		if conn.Server == s && conn.Lane == Search && conn.Phase == InUse && !conn.acquired.IsZero() {
			c.emit(Abort{conn})
		}
	}
}

// firstUsable is the first usable server, or nil.
func (c *Core) firstUsable() *Server {
	for _, s := range c.servers {
		if s.isUsable() {
			return s
		}
	}
	return nil
}

// alternative is a usable server other than s, or nil.
func (c *Core) alternative(s *Server) *Server {
	for _, o := range c.servers {
		if o != s && o.isUsable() {
			return o
		}
	}
	return nil
}

// HasAlternative reports whether a server other than s is usable.
func (c *Core) HasAlternative(s *Server) bool { return c.alternative(s) != nil }

// LookupFailed records that the name by which a server was found could not be looked up.
func (c *Core) LookupFailed(url string, err error) {
	for _, s := range c.servers {
		if s.URL == url {
			s.Health.LastOp, s.Health.LastErr = OpLookup, err
		}
	}
}

// ServerError adds a server's URL to its error.
type ServerError struct {
	URL string
	Err error
}

func (e *ServerError) Error() string { return e.URL + ": " + e.Err.Error() }

// Unwrap returns the error.
func (e *ServerError) Unwrap() error { return e.Err }

// unavailable is the rejection of a request that no server can serve. It has the last error of each
// server.
func (c *Core) unavailable() *Rejection {
	r := &Rejection{Kind: KindUnavailable}
	if len(c.servers) == 1 && len(c.lookups.Errs) == 0 {
		r.Server, r.Err = c.servers[0].URL, c.servers[0].Health.LastErr
		return r
	}
	errs := slices.Clone(c.lookups.Errs)
	for _, s := range c.servers {
		if s.Health.LastErr != nil {
			errs = append(errs, &ServerError{s.URL, s.Health.LastErr})
		}
	}
	r.Err = errors.Join(errs...)
	return r
}

// watchdog finds servers that answer nothing while operations are under way, long before those time
// out.
type watchdog struct {
	next      time.Time // zero if no operation is under way
	last      time.Time // when it last looked
	restarted time.Time // when it last started again after a stall
}

const (
	// WatchInterval is how often the watchdog looks while operations are under way. If a server
	// has answered nothing for the timeout of a check, another connection is checked. After that
	// time again it is down, because that check has not been answered either.
	WatchInterval = 100 * time.Millisecond
)

// startWatch starts the watchdog with the first operation.
func (c *Core) startWatch(now time.Time) {
	if c.watchdog.next.IsZero() {
		c.watchdog.next = now.Add(WatchInterval)
		c.wakeBy(c.watchdog.next)
	}
}

// watch looks at the servers that have operations under way. If the watchdog itself ran late it
// starts again, because this process was stalled and not the server. If there is no other usable
// server, it waits for the silent one.
func (c *Core) watch(now time.Time) {
	w := &c.watchdog
	if w.next.IsZero() || now.Before(w.next) {
		c.wakeBy(w.next)
		return
	}
	if now.Sub(w.last) > 3*WatchInterval {
		w.restarted = now
	}
	w.last, w.next = now, time.Time{}
	if c.counts.all(InUse) == 0 || c.closed {
		return
	}
	c.startWatch(now)
	for _, s := range c.known() {
		since, busy := c.unansweredSince(s)
		if silent := now.Sub(since); busy && s.Health.State != health.Down && silent >= c.checkTimeout(s) && c.alternative(s) != nil {
			c.handleSilence(s, silent, now)
		}
	}
}

// unansweredSince is the time since which a server has had an operation under way and has answered
// nothing.
func (c *Core) unansweredSince(s *Server) (since time.Time, busy bool) {
	for _, conn := range c.conns {
		if conn.Server == s && conn.Phase == InUse && (!busy || conn.acquired.Before(since)) {
			since, busy = conn.acquired, true
		}
	}
	for _, t := range []time.Time{s.Answered, c.watchdog.restarted} {
		if t.After(since) {
			since = t
		}
	}
	return since, busy
}

// handleSilence checks a connection to a silent server, or takes the server down if that check was
// not answered either.
func (c *Core) handleSilence(s *Server, silent time.Duration, now time.Time) {
	switch {
	case silent >= 2*c.checkTimeout(s):
		c.changeHealth(s, OpCheck, ErrSilent, now, func(h *health.Server) { h.Silent(now, OpCheck, ErrSilent) })
		return
	case s.checkPending:
		return
	}
	for _, l := range bothLanes {
		if conn := c.findIdle(l, func(o *Conn) bool { return o.Server == s && c.mayCheck(o, now) }); conn != nil {
			s.checkPending = true
			c.checkInBackground(conn, now)
			return
		}
	}
	if s.isUsable() && !s.removed && s.dialing(Search)+s.dialing(Bind) == 0 && c.counts.total() < c.cfg.MaxConns && c.counts.dialing() < MaxDials {
		c.dial(Bind, s, ForCallers, 0, now)
	}
}
