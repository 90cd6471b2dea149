package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"authsvc/ldappool"
)

// stillInterval is how long the log is silent, at the most, about a server that is not usable and is tried.
const stillInterval = time.Minute

// history is what a server went through and what the log has been told of it. The two differ where a line was
// suppressed; the next sign of the server makes up for it, so that the log does not end on what is no longer so.
type history struct {
	state, told ldappool.ServerState
	op          string        // what failed last
	err         error         // and how: why it is not usable
	left        time.Time     // when it ceased to be usable, or was first found not to be; zero while it is
	away        time.Duration // how long it was away the last time
	suppressed  int           // changes that the limit kept from the log, since the last line
	spoken      time.Time     // when the last line about it was written while it was not usable; zero before
	cause       string        // what that line gave for the reason
	failed      attempts      // since that line

	// early is a change that does not follow from state. Hooks are called in several goroutines, so two changes
	// can arrive in the wrong order: the one that came first waits for the one before it, but no longer than to
	// the next sign, because a server that was configured anew begins as suspect without a word.
	early *ldappool.ServerEvent
}

// change takes over a change, and with it one that came too early.
func (h *history) change(e ldappool.ServerEvent) {
	if e.From != h.state && h.early == nil {
		h.early = &e
		return
	}
	if e.From != h.state {
		h.release()
	}
	h.enter(e)
	h.release()
}

// release takes over the change that came too early, where there is one.
func (h *history) release() {
	if h.early != nil {
		h.enter(*h.early)
		h.early = nil
	}
}

// enter takes over a state, and the clock and the reason that go with it.
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

// dialFailed has what a new connection met with be the reason why a server is not usable. One that was given up says nothing.
func (h *history) dialFailed(op string, err error) {
	if h.state != ldappool.ServerUsable && (op == opProbe || op == opDial) && !errors.Is(err, context.Canceled) {
		h.op, h.err = op, err
	}
}

// otherCause tells whether a server is not usable for another reason than the log was told.
func (h *history) otherCause() bool { return !h.spoken.IsZero() && !alike(errorText(h.err), h.cause) }

// What can fail at a server, as ldappool names it.
const (
	opProbe  = "probe"
	opDial   = "dial"
	opPing   = "ping"
	opSearch = "search"
	opBind   = "bind"
)

// dialOp is what an attempt at a connection is.
func dialOp(e ldappool.DialEvent) string {
	if e.Probe {
		return opProbe
	}
	return opDial
}

// attempts are how many of each operation failed.
type attempts map[string]int

func (a *attempts) count(op string) {
	if *a == nil {
		*a = make(attempts)
	}
	(*a)[op]++
}

// attr leaves out what did not fail; slog leaves out the whole where nothing did.
func (a attempts) attr() slog.Attr {
	var counts []any
	for _, op := range []string{opProbe, opDial, opPing, opSearch, opBind} {
		if a[op] > 0 {
			counts = append(counts, slog.Int(op, a[op]))
		}
	}
	return slog.Group("failed", counts...)
}
