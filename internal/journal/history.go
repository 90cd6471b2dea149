package journal

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"authsvc/internal/logsafe"
	"authsvc/ldappool"
)

// reminderInterval is the longest time between two lines about a server that is not usable and is
// being tried.
const reminderInterval = time.Minute

// history is a server's state and its last logged state. They differ if a line was suppressed. The
// next event of the server writes it, so that the last line is always true.
type history struct {
	state, loggedState ldappool.ServerState
	op                 string        // the operation that failed last
	err                error         // its error: why the server is not usable
	unusableSince      time.Time     // when the server became unusable; zero while it is usable
	downtime           time.Duration // the length of the last outage
	suppressed         int           // lines left out by the limit since the last line
	lastLogged         time.Time     // when the last line was written while the server was not usable; zero before
	loggedCause        string        // the error in that line
	failed             attempts      // since that line

	// outOfOrder is a change that does not follow from state. Hooks are called in several
	// goroutines, so two changes can arrive in the wrong order. Such a change waits for the one
	// before it, but only until the next event: a server that was removed and added again begins as
	// suspect without an event.
	outOfOrder *ldappool.ServerEvent
}

// change applies a change, and a change that arrived out of order before it.
func (h *history) change(e ldappool.ServerEvent) {
	if e.From != h.state && h.outOfOrder == nil {
		h.outOfOrder = &e
		return
	}
	if e.From != h.state {
		h.applyOutOfOrder()
	}
	h.setState(e)
	h.applyOutOfOrder()
}

// applyOutOfOrder applies the change that arrived out of order, if any.
func (h *history) applyOutOfOrder() {
	if h.outOfOrder != nil {
		h.setState(*h.outOfOrder)
		h.outOfOrder = nil
	}
}

// setState applies a state, with its time and its cause.
func (h *history) setState(e ldappool.ServerEvent) {
	h.state = e.To
	if e.To == ldappool.ServerUsable {
		h.downtime = 0
		if !h.unusableSince.IsZero() {
			h.downtime = time.Since(h.unusableSince)
		}
		h.unusableSince, h.op, h.err = time.Time{}, "", nil
		return
	}
	if h.unusableSince.IsZero() {
		h.unusableSince, h.failed = time.Now(), nil
	}
	if e.Err != nil {
		h.op, h.err = e.Op, e.Err
	}
}

// dialFailed makes the error of a dial the cause why a server is not usable. It ignores a canceled
// dial.
func (h *history) dialFailed(op string, err error) {
	if h.state != ldappool.ServerUsable && (op == opProbe || op == opDial) && !errors.Is(err, context.Canceled) {
		h.op, h.err = op, err
	}
}

// causeChanged reports whether the cause of a server's state differs from that in its last line.
func (h *history) causeChanged() bool {
	return !h.lastLogged.IsZero() && !equalExceptNumbers(logsafe.ErrorText(h.err), h.loggedCause)
}

// The operations at a server, by ldappool's names.
const (
	opProbe  = "probe"
	opDial   = "dial"
	opPing   = "ping"
	opSearch = "search"
	opBind   = "bind"
)

// dialOp returns the operation of a dial.
func dialOp(e ldappool.DialEvent) string {
	if e.Probe {
		return opProbe
	}
	return opDial
}

// attempts counts the failures of each operation.
type attempts map[string]int

func (a *attempts) count(op string) {
	if *a == nil {
		*a = make(attempts)
	}
	(*a)[op]++
}

// attr returns the counts that are not zero. slog leaves out an empty group.
func (a attempts) attr() slog.Attr {
	var counts []any
	for _, op := range []string{opProbe, opDial, opPing, opSearch, opBind} {
		if a[op] > 0 {
			counts = append(counts, slog.Int(op, a[op]))
		}
	}
	return slog.Group("failed", counts...)
}
