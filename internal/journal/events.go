package journal

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"authsvc/internal/logsafe"
	"authsvc/internal/poolevent"
	"authsvc/ldappool"
)

// The messages about a server's state.
const (
	serverUsable       = "directory server usable"
	serverSuspect      = "directory server suspect"
	serverDown         = "directory server down"
	serverStillSuspect = "directory server still suspect"
	serverStillDown    = "directory server still down"
)

// events writes lines about the directory's servers and connections.
type events struct {
	log    *slog.Logger
	limits *logsafe.Limiter
	stat   func() *ldappool.Stat

	// mu guards servers and domains. It is held while a line about a state is written, so that the
	// lines are in the order of the changes.
	mu      sync.Mutex
	servers map[string]*history
	domains map[string]*lookups
}

// newEvents returns events that use stat to say what happens to logins. stat returns nil if that is
// not known.
func newEvents(log *slog.Logger, limits *logsafe.Limiter, stat func() *ldappool.Stat) *events {
	return &events{
		log: log, limits: limits, stat: stat, servers: make(map[string]*history), domains: make(map[string]*lookups),
	}
}

// serverChanged logs a change at once, if the limit allows it.
func (ev *events) serverChanged(e ldappool.ServerEvent) {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	h := ev.historyLocked(e.Server)
	h.change(e)
	ev.settleLocked(e.Server, h, true)
}

// observe records an attempt at a server, which failed if err is not nil. It also writes overdue
// lines: a suppressed or out-of-order change, and the reminder that a server is still not usable.
// No timer is needed for that, because attempts recur: a server that is down is probed, and the
// connections to a usable one are dialed and pinged.
func (ev *events) observe(server, op string, err error) {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	h := ev.servers[server]
	if h == nil {
		return
	}
	changed := h.outOfOrder != nil
	h.applyOutOfOrder()
	doubted := h.loggedState == ldappool.ServerSuspect && h.causeChanged() // and no change of state has explained it
	if err != nil {
		h.failed.count(op)
		h.dialFailed(op, err)
	}
	if ev.settleLocked(server, h, changed) || h.state == ldappool.ServerUsable || h.loggedState == ldappool.ServerUsable {
		return
	}
	if doubted || h.loggedState == ldappool.ServerDown && h.causeChanged() {
		ev.logCauseLocked(server, h)
	}
	if time.Since(h.lastLogged) >= reminderInterval && !h.lastLogged.IsZero() {
		suppressed, _ := ev.limits.Allow(logsafe.Key{Server: server, What: "cause"}) // counted, and written even beyond the limit
		ev.logStillLocked(server, h, withSuppressed(nil, suppressed)...)
	}
}

// settleLocked writes a line if the last logged state differs, and reports whether it did. A change
// from down to suspect is not logged, because the server is only being probed. changed is false if
// the line of that state was suppressed before.
func (ev *events) settleLocked(server string, h *history, changed bool) bool {
	if h.state == h.loggedState || h.state == ldappool.ServerSuspect && h.loggedState == ldappool.ServerDown {
		return false
	}
	if _, ok := ev.limits.Allow(logsafe.Key{Server: server, What: "state"}); !ok {
		if changed {
			h.suppressed++
		}
		return false
	}
	suppressed := h.suppressed
	if !changed {
		suppressed--
	}
	h.loggedState, h.suppressed = h.state, 0
	if h.state == ldappool.ServerUsable {
		attrs := []slog.Attr{slog.String("server", logsafe.Clean(server, logsafe.MaxText))}
		if h.downtime > 0 {
			attrs = append(attrs, durationAttr("away", h.downtime))
		}
		ev.log.LogAttrs(context.Background(), slog.LevelInfo, serverUsable, withSuppressed(attrs, suppressed)...)
		return true
	}
	attrs := withSuppressed(ev.stateAttrsLocked(server, h), suppressed)
	if h.state == ldappool.ServerDown {
		ev.log.LogAttrs(context.Background(), slog.LevelWarn, serverDown, attrs...)
	} else {
		ev.log.LogAttrs(context.Background(), slog.LevelWarn, serverSuspect, attrs...)
	}
	return true
}

// logCauseLocked writes that the cause of a server's state is not the one in its last line, if the
// limit allows it.
func (ev *events) logCauseLocked(server string, h *history) {
	suppressed, ok := ev.limits.Allow(logsafe.Key{Server: server, What: "cause"})
	if ok {
		ev.logStillLocked(server, h, withSuppressed([]slog.Attr{slog.Bool("cause_changed", true)}, suppressed)...)
	}
}

// logStillLocked writes that a server is still not usable, for how long, and what failed since its
// last line.
func (ev *events) logStillLocked(server string, h *history, more ...slog.Attr) {
	failed := h.failed.attr()
	attrs := ev.stateAttrsLocked(server, h)
	attrs = append(attrs, slog.Time("since", h.unusableSince), durationAttr("away", time.Since(h.unusableSince)), failed)
	attrs = append(attrs, more...)
	if h.loggedState == ldappool.ServerDown {
		ev.log.LogAttrs(context.Background(), slog.LevelWarn, serverStillDown, attrs...)
	} else {
		ev.log.LogAttrs(context.Background(), slog.LevelWarn, serverStillSuspect, attrs...)
	}
}

// stateAttrsLocked returns the fields of a line about a server that is not usable: what failed, the
// error, and what is done about it. The caller writes the line.
func (ev *events) stateAttrsLocked(server string, h *history) []slog.Attr {
	h.lastLogged, h.loggedCause, h.failed = time.Now(), logsafe.ErrorText(h.err), nil
	attrs := []slog.Attr{slog.String("server", logsafe.Clean(server, logsafe.MaxText))}
	attrs = logsafe.AppendText(attrs, "operation", h.op, logsafe.MaxText)
	attrs = logsafe.AppendText(attrs, "error", logsafe.ErrorText(h.err), logsafe.MaxText)
	return append(attrs, slog.String("action", h.action(server, ev.stat())))
}

// withSuppressed adds the number of lines that were left out, unless it is 0.
func withSuppressed(attrs []slog.Attr, suppressed int) []slog.Attr {
	if suppressed > 0 {
		attrs = append(attrs, slog.Int("suppressed", suppressed))
	}
	return attrs
}

// historyLocked returns a server's history. Servers beyond poolevent.MaxServers share one.
func (ev *events) historyLocked(server string) *history {
	if _, ok := ev.servers[server]; !ok && len(ev.servers) >= poolevent.MaxServers {
		server = poolevent.OtherServer
	}
	h := ev.servers[server]
	if h == nil {
		h = &history{state: ldappool.ServerSuspect, loggedState: ldappool.ServerSuspect} // as every server begins
		ev.servers[server] = h
	}
	return h
}

func (ev *events) dialed(e ldappool.DialEvent) {
	ev.observe(e.Server, dialOp(e), e.Err)
	if e.Err == nil || !ev.debugs() {
		return
	}
	ev.log.LogAttrs(context.Background(), slog.LevelDebug, "directory dial failed",
		connAttrs(e.Server, e.Lane, e.Err, durationAttr("took", e.Took), slog.Bool("probe", e.Probe))...)
}

func (ev *events) pinged(e ldappool.PingEvent) {
	ev.observe(e.Server, opPing, e.Err)
	if e.Err == nil || !ev.debugs() {
		return
	}
	ev.log.LogAttrs(context.Background(), slog.LevelDebug, "directory ping failed",
		connAttrs(e.Server, e.Lane, e.Err, durationAttr("took", e.Took), durationAttr("idle", e.Idle))...)
}

// operated counts failures at a server that is not usable. It ignores successes, because every
// login calls it.
func (ev *events) operated(e ldappool.OperationEvent) {
	if e.Err != nil {
		ev.observe(e.Server, e.Op, e.Err)
	}
}

// retired warns if the server ended the connection with a notice of disconnection, or sent
// something other than LDAP.
func (ev *events) retired(e ldappool.RetireEvent) {
	details := []slog.Attr{
		slog.String("reason", string(e.Reason)), durationAttr("age", e.Age), durationAttr("idle", e.Idle),
	}
	const message = "directory connection retired"
	if e.Reason != "notice" && e.Reason != "protocol" {
		if ev.debugs() {
			ev.log.LogAttrs(context.Background(), slog.LevelDebug, message, connAttrs(e.Server, e.Lane, e.Err, details...)...)
		}
		return
	}
	suppressed, ok := ev.limits.Allow(logsafe.Key{Server: e.Server, What: string(e.Reason)})
	if !ok {
		return
	}
	details = append(details, slog.String("operation", "receive"), slog.String("action", connReplaced))
	details = withSuppressed(details, suppressed)
	ev.log.LogAttrs(context.Background(), slog.LevelWarn, message, connAttrs(e.Server, e.Lane, e.Err, details...)...)
}

// limitLearned logs a server's learned idle limit, or that it no longer holds.
func (ev *events) limitLearned(server string, idle, was time.Duration) {
	suppressed, ok := ev.limits.Allow(logsafe.Key{Server: server, What: "limit"})
	if !ok {
		return
	}
	attrs := []slog.Attr{slog.String("server", logsafe.Clean(server, logsafe.MaxText))}
	if idle > 0 {
		attrs = append(attrs, durationAttr("idle", idle))
	}
	if was > 0 {
		attrs = append(attrs, durationAttr("was_idle", was))
	}
	attrs = withSuppressed(attrs, suppressed)
	if idle > 0 {
		ev.log.LogAttrs(context.Background(), slog.LevelInfo, "directory connection limit detected", attrs...)
	} else {
		ev.log.LogAttrs(context.Background(), slog.LevelInfo, "directory connection limit discarded", attrs...)
	}
}

// quirkLearned logs an unusual behavior of a server, and how the pool adapts. The pool reports each
// once.
func (ev *events) quirkLearned(server, quirk string, err error) {
	attrs := []slog.Attr{slog.String("server", logsafe.Clean(server, logsafe.MaxText)), slog.String("quirk", quirk)}
	attrs = logsafe.AppendText(attrs, "error", logsafe.ErrorText(err), logsafe.MaxText)
	ev.log.LogAttrs(context.Background(), slog.LevelInfo, "directory server quirk detected", append(attrs, slog.String("action", checkedByBind))...)
}

// reconfigured logs that no connection from before the last reload is left.
func (ev *events) reconfigured(took time.Duration) {
	ev.log.LogAttrs(context.Background(), slog.LevelInfo, "directory connections replaced", durationAttr("took", took))
}

// debugs reports whether lines at Debug are written.
func (ev *events) debugs() bool { return ev.log.Enabled(context.Background(), slog.LevelDebug) }

// connAttrs returns the fields of a line about a connection.
func connAttrs(server string, lane ldappool.Lane, err error, details ...slog.Attr) []slog.Attr {
	attrs := []slog.Attr{slog.String("server", logsafe.Clean(server, logsafe.MaxText)), slog.String("lane", string(lane))}
	attrs = append(attrs, details...)
	return logsafe.AppendText(attrs, "error", logsafe.ErrorText(err), logsafe.MaxText)
}

// durationAttr returns a duration as text for people: slog's JSON would write nanoseconds.
func durationAttr(key string, d time.Duration) slog.Attr {
	return slog.String(key, d.Round(time.Millisecond).String())
}
