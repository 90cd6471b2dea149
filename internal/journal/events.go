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

// newEvents returns events that take from stat what becomes of logins. stat returns nil if that is
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

// observe records an attempt at a server, which failed if err is not nil. It also writes a line
// that was suppressed or waited for an earlier one, and the line that a server is still away. No
// timer is needed for that: a server that is down is probed, and the connections to a usable one
// are dialed and pinged.
func (ev *events) observe(server, op string, err error) {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	h := ev.servers[server]
	if h == nil {
		return
	}
	changed := h.outOfOrder != nil
	h.release()
	doubted := h.loggedState == ldappool.ServerSuspect && h.otherCause() // and no change of state has said why
	if err != nil {
		h.failed.count(op)
		h.dialFailed(op, err)
	}
	if ev.settleLocked(server, h, changed) || h.state == ldappool.ServerUsable || h.loggedState == ldappool.ServerUsable {
		return
	}
	if doubted || h.loggedState == ldappool.ServerDown && h.otherCause() {
		ev.logCauseLocked(server, h)
	}
	if time.Since(h.lastLogged) >= stillInterval && !h.lastLogged.IsZero() {
		suppressed, _ := ev.limits.Allow(logsafe.Key{Server: server, What: "cause"}) // of which this is one, at its own pace
		ev.logAwayLocked(server, h, "directory server still "+h.loggedState.String(), withSuppressed(nil, suppressed)...)
	}
}

// settleLocked writes a line if the log says another state, and reports whether it did. A change
// between down and suspect is no news: the server is being probed and has not come back. changed is
// false if the line of that state was suppressed before.
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
		if h.away > 0 {
			attrs = append(attrs, span("away", h.away))
		}
		ev.log.LogAttrs(context.Background(), slog.LevelInfo, "directory server usable", withSuppressed(attrs, suppressed)...)
		return true
	}
	ev.logStateLocked(server, h, "directory server "+h.state.String(), withSuppressed(nil, suppressed)...)
	return true
}

// logCauseLocked writes that a server is not usable for another reason than the log says, if the
// limit allows it.
func (ev *events) logCauseLocked(server string, h *history) {
	suppressed, ok := ev.limits.Allow(logsafe.Key{Server: server, What: "cause"})
	if ok {
		ev.logAwayLocked(server, h, "directory server still "+h.loggedState.String()+", for another reason", withSuppressed(nil, suppressed)...)
	}
}

// logAwayLocked writes how long a server has been away, and what failed since its last line.
func (ev *events) logAwayLocked(server string, h *history, message string, more ...slog.Attr) {
	attrs := []slog.Attr{slog.Time("since", h.left), span("away", time.Since(h.left)), h.failed.attr()}
	ev.logStateLocked(server, h, message, append(attrs, more...)...)
}

// logStateLocked writes a line about a server that is not usable: what failed, the error, and what
// is done about it.
func (ev *events) logStateLocked(server string, h *history, message string, more ...slog.Attr) {
	h.lastLogged, h.loggedCause, h.failed = time.Now(), logsafe.ErrorText(h.err), nil
	attrs := []slog.Attr{slog.String("server", logsafe.Clean(server, logsafe.MaxText))}
	attrs = logsafe.AppendText(attrs, "operation", h.op, logsafe.MaxText)
	attrs = logsafe.AppendText(attrs, "error", logsafe.ErrorText(h.err), logsafe.MaxText)
	attrs = append(attrs, slog.String("action", h.action(server, ev.stat())))
	ev.log.LogAttrs(context.Background(), slog.LevelWarn, message, append(attrs, more...)...)
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
	if e.Err == nil {
		return
	}
	ev.debug("directory dial failed", e.Server, e.Lane, e.Err,
		span("took", e.Took), slog.Bool("probe", e.Probe))
}

func (ev *events) pinged(e ldappool.PingEvent) {
	ev.observe(e.Server, opPing, e.Err)
	if e.Err == nil {
		return
	}
	ev.debug("directory ping failed", e.Server, e.Lane, e.Err,
		span("took", e.Took), span("idle", e.Idle))
}

// operated counts what fails at a server that is not usable. It ignores successes: every login
// calls it.
func (ev *events) operated(e ldappool.OperationEvent) {
	if e.Err != nil {
		ev.observe(e.Server, e.Op, e.Err)
	}
}

// retired warns if the server ended the connection with a notice of disconnection, or sent bytes
// that are no LDAP.
func (ev *events) retired(e ldappool.RetireEvent) {
	details := []slog.Attr{
		slog.String("reason", string(e.Reason)), span("age", e.Age), span("idle", e.Idle),
	}
	const message = "directory connection retired"
	if e.Reason != "notice" && e.Reason != "protocol" {
		ev.debug(message, e.Server, e.Lane, e.Err, details...)
		return
	}
	suppressed, ok := ev.limits.Allow(logsafe.Key{Server: e.Server, What: string(e.Reason)})
	if !ok {
		return
	}
	details = append(details, slog.String("operation", "receive"), slog.String("action", actionClosed))
	details = withSuppressed(details, suppressed)
	ev.write(slog.LevelWarn, message, e.Server, e.Lane, e.Err, details...)
}

// limitLearned logs what was learned of a server's idle limit, or that it no longer holds.
func (ev *events) limitLearned(server string, idle, was time.Duration) {
	suppressed, ok := ev.limits.Allow(logsafe.Key{Server: server, What: "limit"})
	if !ok {
		return
	}
	attrs := []slog.Attr{slog.String("server", logsafe.Clean(server, logsafe.MaxText))}
	message := "directory connection limit discarded"
	if idle > 0 {
		message = "directory connection limit detected"
		attrs = append(attrs, span("idle", idle))
	}
	if was > 0 {
		attrs = append(attrs, span("was_idle", was))
	}
	ev.log.LogAttrs(context.Background(), slog.LevelInfo, message, withSuppressed(attrs, suppressed)...)
}

// quirkLearned logs a behavior that few servers have, and what is done about it. The pool reports
// each once.
func (ev *events) quirkLearned(server, quirk string, err error) {
	attrs := []slog.Attr{slog.String("server", logsafe.Clean(server, logsafe.MaxText)), slog.String("quirk", quirk)}
	attrs = logsafe.AppendText(attrs, "error", logsafe.ErrorText(err), logsafe.MaxText)
	ev.log.LogAttrs(context.Background(), slog.LevelInfo, "directory server quirk detected", append(attrs, slog.String("action", actionHangsUp))...)
}

// reconfigured logs that no connection is left which was made before the last reload.
func (ev *events) reconfigured(took time.Duration) {
	ev.log.LogAttrs(context.Background(), slog.LevelInfo, "directory connections replaced", span("took", took))
}

func (ev *events) debug(message, server string, lane ldappool.Lane, err error, details ...slog.Attr) {
	if ev.log.Enabled(context.Background(), slog.LevelDebug) {
		ev.write(slog.LevelDebug, message, server, lane, err, details...)
	}
}

func (ev *events) write(
	level slog.Level, message, server string, lane ldappool.Lane, err error, details ...slog.Attr,
) {
	attrs := []slog.Attr{slog.String("server", logsafe.Clean(server, logsafe.MaxText)), slog.String("lane", string(lane))}
	attrs = append(attrs, details...)
	attrs = logsafe.AppendText(attrs, "error", logsafe.ErrorText(err), logsafe.MaxText)
	ev.log.LogAttrs(context.Background(), level, message, attrs...)
}

// span returns a duration as text for people: slog's JSON would write nanoseconds.
func span(key string, d time.Duration) slog.Attr {
	return slog.String(key, d.Round(time.Millisecond).String())
}
