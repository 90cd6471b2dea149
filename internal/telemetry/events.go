package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"authsvc/ldappool"
)

// events writes lines about the directory's servers and connections.
type events struct {
	log    *slog.Logger
	limits *limiter
	stat   func() *ldappool.Stat

	// mu guards servers and domains, and is held while a line about a state is written: the lines are in the order
	// of the changes.
	mu      sync.Mutex
	servers map[string]*history
	domains map[string]*lookups
}

// newEvents makes events that ask stat for what becomes of logins; it gives nil where nobody knows.
func newEvents(log *slog.Logger, limits *limiter, stat func() *ldappool.Stat) *events {
	return &events{
		log: log, limits: limits, stat: stat, servers: make(map[string]*history), domains: make(map[string]*lookups),
	}
}

// serverChanged tells of a change at once where the limit allows.
func (ev *events) serverChanged(e ldappool.ServerEvent) {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	h := ev.history(e.Server)
	h.change(e)
	ev.settle(e.Server, h, true)
}

// sign heeds an attempt at a server, which failed where err is not nil. It also makes up for a line that was suppressed
// or waited for an earlier one, and tells that a server is still away: while it is down it is probed, and while it is
// usable its connections are dialled and pinged. So there is no clock that would have to be stopped.
func (ev *events) sign(server, op string, err error) {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	h := ev.servers[server]
	if h == nil {
		return
	}
	changed := h.early != nil
	h.release()
	doubted := h.told == ldappool.ServerSuspect && h.otherCause() // and no change of state has said why
	if err != nil {
		h.failed.count(op)
		h.dialFailed(op, err)
	}
	if ev.settle(server, h, changed) || h.state == ldappool.ServerUsable || h.told == ldappool.ServerUsable {
		return
	}
	if doubted || h.told == ldappool.ServerDown && h.otherCause() {
		ev.tellCause(server, h)
	}
	if time.Since(h.spoken) >= stillInterval && !h.spoken.IsZero() {
		suppressed, _ := ev.limits.allow(limitKey{server: server, what: "cause"}) // of which this is one, at its own pace
		ev.tellAway(server, h, "directory server still "+h.told.String(), withSuppressed(nil, suppressed)...)
	}
}

// settle writes a line where the log was told another state, and tells whether it did. A server that is probed between
// down and suspect has not come back, so that is no news. changed is false where the state's own line was suppressed
// before. ev.mu is held.
func (ev *events) settle(server string, h *history, changed bool) bool {
	if h.state == h.told || h.state == ldappool.ServerSuspect && h.told == ldappool.ServerDown {
		return false
	}
	if _, ok := ev.limits.allow(limitKey{server: server, what: "state"}); !ok {
		if changed {
			h.suppressed++
		}
		return false
	}
	suppressed := h.suppressed
	if !changed {
		suppressed--
	}
	h.told, h.suppressed = h.state, 0
	if h.state == ldappool.ServerUsable {
		attrs := []slog.Attr{slog.String("server", clean(server, maxText))}
		if h.away > 0 {
			attrs = append(attrs, span("away", h.away))
		}
		ev.log.LogAttrs(context.Background(), slog.LevelInfo, "directory server usable", withSuppressed(attrs, suppressed)...)
		return true
	}
	ev.tell(server, h, "directory server "+h.state.String(), withSuppressed(nil, suppressed)...)
	return true
}

// tellCause writes that a server is not usable for another reason than the log was told, where the limit allows.
// ev.mu is held.
func (ev *events) tellCause(server string, h *history) {
	suppressed, ok := ev.limits.allow(limitKey{server: server, what: "cause"})
	if ok {
		ev.tellAway(server, h, "directory server still "+h.told.String()+", for another reason", withSuppressed(nil, suppressed)...)
	}
}

// tellAway writes how long a server has been away, and what was tried since its last line. ev.mu is held.
func (ev *events) tellAway(server string, h *history, message string, more ...slog.Attr) {
	attrs := []slog.Attr{slog.Time("since", h.left), span("away", time.Since(h.left)), h.failed.attr()}
	ev.tell(server, h, message, append(attrs, more...)...)
}

// tell writes a line about a server that is not usable: what failed and how, and what is done about it. ev.mu is held.
func (ev *events) tell(server string, h *history, message string, more ...slog.Attr) {
	h.spoken, h.cause, h.failed = time.Now(), errorText(h.err), nil
	attrs := []slog.Attr{slog.String("server", clean(server, maxText))}
	attrs = appendText(attrs, "operation", h.op, maxText)
	attrs = appendText(attrs, "error", errorText(h.err), maxText)
	attrs = append(attrs, slog.String("action", h.action(server, ev.stat())))
	ev.log.LogAttrs(context.Background(), slog.LevelWarn, message, append(attrs, more...)...)
}

// withSuppressed adds how many lines were left out, where there were any.
func withSuppressed(attrs []slog.Attr, suppressed int) []slog.Attr {
	if suppressed > 0 {
		attrs = append(attrs, slog.Int("suppressed", suppressed))
	}
	return attrs
}

// history returns a server's history. Servers beyond maxServers share one. ev.mu is held.
func (ev *events) history(server string) *history {
	if _, ok := ev.servers[server]; !ok && len(ev.servers) >= maxServers {
		server = otherServer
	}
	h := ev.servers[server]
	if h == nil {
		h = &history{state: ldappool.ServerSuspect, told: ldappool.ServerSuspect} // as every server begins
		ev.servers[server] = h
	}
	return h
}

func (ev *events) dialed(e ldappool.DialEvent) {
	ev.sign(e.Server, dialOp(e), e.Err)
	if e.Err == nil {
		return
	}
	ev.debug("directory dial failed", e.Server, e.Lane, e.Err,
		span("took", e.Took), slog.Bool("probe", e.Probe))
}

func (ev *events) pinged(e ldappool.PingEvent) {
	ev.sign(e.Server, opPing, e.Err)
	if e.Err == nil {
		return
	}
	ev.debug("directory ping failed", e.Server, e.Lane, e.Err,
		span("took", e.Took), span("idle", e.Idle))
}

// operated counts what fails at a server that is not usable. What succeeds is none of its concern: logins pass here.
func (ev *events) operated(e ldappool.OperationEvent) {
	if e.Err != nil {
		ev.sign(e.Server, e.Op, e.Err)
	}
}

// retired is a matter for operators where the server ended the connection with a word, or with what is none.
func (ev *events) retired(e ldappool.RetireEvent) {
	details := []slog.Attr{
		slog.String("reason", string(e.Reason)), span("age", e.Age), span("idle", e.Idle),
	}
	const message = "directory connection retired"
	if e.Reason != ldappool.RetiredNotice && e.Reason != ldappool.RetiredProtocol {
		ev.debug(message, e.Server, e.Lane, e.Err, details...)
		return
	}
	suppressed, ok := ev.limits.allow(limitKey{server: e.Server, what: string(e.Reason)})
	if !ok {
		return
	}
	details = append(details, slog.String("operation", "receive"), slog.String("action", actionClosed))
	details = withSuppressed(details, suppressed)
	ev.write(slog.LevelWarn, message, e.Server, e.Lane, e.Err, details...)
}

// limitLearned tells of what was learnt of a server's limits, or that it holds no more.
func (ev *events) limitLearned(e ldappool.LimitEvent) {
	suppressed, ok := ev.limits.allow(limitKey{server: e.Server, what: "limit"})
	if !ok {
		return
	}
	attrs := []slog.Attr{slog.String("server", clean(e.Server, maxText))}
	for _, a := range []struct {
		key   string
		limit time.Duration
	}{{"idle", e.Idle}, {"age", e.Age}, {"was_idle", e.WasIdle}, {"was_age", e.WasAge}} {
		if a.limit > 0 {
			attrs = append(attrs, span(a.key, a.limit))
		}
	}
	attrs = withSuppressed(attrs, suppressed)
	message := "directory connection limit learnt"
	if e.Idle == 0 && e.Age == 0 {
		message = "directory connection limit forgotten"
	}
	ev.log.LogAttrs(context.Background(), slog.LevelInfo, message, attrs...)
}

// reconfigured tells that no connection is left which was made before the last reload.
func (ev *events) reconfigured(e ldappool.ReconfigureEvent) {
	ev.log.LogAttrs(context.Background(), slog.LevelInfo, "directory connections renewed", span("took", e.Took))
}

func (ev *events) debug(message, server string, lane ldappool.Lane, err error, details ...slog.Attr) {
	if ev.log.Enabled(context.Background(), slog.LevelDebug) {
		ev.write(slog.LevelDebug, message, server, lane, err, details...)
	}
}

func (ev *events) write(
	level slog.Level, message, server string, lane ldappool.Lane, err error, details ...slog.Attr,
) {
	attrs := []slog.Attr{slog.String("server", clean(server, maxText)), slog.String("lane", string(lane))}
	attrs = append(attrs, details...)
	attrs = appendText(attrs, "error", errorText(err), maxText)
	ev.log.LogAttrs(context.Background(), level, message, attrs...)
}

// span is a duration for people to read: as text, because slog's JSON makes nanoseconds of a time.Duration.
func span(key string, d time.Duration) slog.Attr {
	return slog.String(key, d.Round(time.Millisecond).String())
}
