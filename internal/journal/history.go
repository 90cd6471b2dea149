package journal

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"authsvc/internal/logsafe"
	"authsvc/ldappool"
)

// stillInterval is the longest time between two lines about a server that is not usable and is
// being tried.
const stillInterval = time.Minute

// history is what a server went through, and what the log says of it. The two differ if a line was
// suppressed. The next event of the server makes up for it, so that the last line is true.
type history struct {
	state, loggedState ldappool.ServerState
	op                 string        // what failed last
	err                error         // and how: why it is not usable
	left               time.Time     // when it ceased to be usable, or was first found not to be; zero while it is
	away               time.Duration // how long it was away the last time
	suppressed         int           // changes that the limit kept from the log, since the last line
	lastLogged         time.Time     // when the last line was written while the server was not usable; zero before
	loggedCause        string        // the reason in that line
	failed             attempts      // since that line

	// outOfOrder is a change that does not follow from state. Hooks are called in several
	// goroutines, so two changes can arrive in the wrong order. Such a change waits for the one
	// before it, but only until the next event: a server that was removed and added again begins as
	// suspect without an event.
	outOfOrder *ldappool.ServerEvent
}

// change applies a change, and one that arrived before it out of order.
func (h *history) change(e ldappool.ServerEvent) {
	if e.From != h.state && h.outOfOrder == nil {
		h.outOfOrder = &e
		return
	}
	if e.From != h.state {
		h.release()
	}
	h.enter(e)
	h.release()
}

// release applies the change that arrived out of order, if any.
func (h *history) release() {
	if h.outOfOrder != nil {
		h.enter(*h.outOfOrder)
		h.outOfOrder = nil
	}
}

// enter applies a state, with its time and its reason.
func (h *history) enter(e ldappool.ServerEvent) {
	h.state = e.To
	if e.To == ldappool.ServerUsable {
		h.away = 0
		if !h.left.IsZero() {
			h.away = time.Since(h.left)
		}
		h.left, h.op, h.err = time.Time{}, "", nil
		return
	}
	if h.left.IsZero() {
		h.left, h.failed = time.Now(), nil
	}
	if e.Err != nil {
		h.op, h.err = e.Op, e.Err
	}
}

// dialFailed makes the error of a dial the reason why a server is not usable. A canceled dial says
// nothing.
func (h *history) dialFailed(op string, err error) {
	if h.state != ldappool.ServerUsable && (op == opProbe || op == opDial) && !errors.Is(err, context.Canceled) {
		h.op, h.err = op, err
	}
}

// otherCause reports whether a server is not usable for another reason than the log says.
func (h *history) otherCause() bool {
	return !h.lastLogged.IsZero() && !alike(logsafe.ErrorText(h.err), h.loggedCause)
}

// What can fail at a server, as ldappool names it.
const (
	opProbe  = "probe"
	opDial   = "dial"
	opPing   = "ping"
	opSearch = "search"
	opBind   = "bind"
)

// dialOp names what a dial was.
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
