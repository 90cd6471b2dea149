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

	// mu guards servers, and is held while a line about a state is written: the lines are in the order of the
	// changes.
	mu      sync.Mutex
	servers map[string]*history
}

// history is what a server went through and what the log has been told of it. The two differ where a line was
// suppressed; the next sign of the server makes up for it, so that the log does not end on what is no longer so.
type history struct {
	state, told ldappool.ServerState
	err         error         // why it is not usable
	left        time.Time     // when it ceased to be usable, or was first found not to be; zero while it is
	away        time.Duration // how long it was away the last time
	suppressed  int           // changes that the limit kept from the log, since the last line

	// early is a change that does not follow from state. Hooks are called in several goroutines, so two changes
	// can arrive in the wrong order: the one that came first waits for the one before it, but no longer than to
	// the next sign, because a server that was configured anew begins as suspect without a word.
	early *ldappool.ServerEvent
}

func newEvents(log *slog.Logger, limits *limiter) *events {
	return &events{log: log, limits: limits, servers: make(map[string]*history)}
}

// serverChanged tells of a change at once where the limit allows.
func (ev *events) serverChanged(e ldappool.ServerEvent) {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	h := ev.history(e.Server)
	h.change(e)
	ev.settle(e.Server, h, true)
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
		h.left, h.err = time.Time{}, nil
		return
	}
	if h.left.IsZero() {
		h.left = time.Now()
	}
	if e.Err != nil {
		h.err = e.Err
	}
}

// sign makes up for a line that was suppressed or waited for an earlier one. It is called with every dial and
// every ping: while a server is down it is probed, and while it is usable its connections are dialled and pinged.
func (ev *events) sign(server string) {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	if h := ev.servers[server]; h != nil {
		changed := h.early != nil
		h.release()
		ev.settle(server, h, changed)
	}
}

// settle writes a line where the log was told another state. A server that is probed between down and suspect has
// not come back, so that is no news. changed is false where the state's own line was suppressed before. ev.mu is
// held.
func (ev *events) settle(server string, h *history, changed bool) {
	if h.state == h.told || h.state == ldappool.ServerSuspect && h.told == ldappool.ServerDown {
		return
	}
	if _, ok := ev.limits.allow(limitKey{server: server, what: "state"}); !ok {
		if changed {
			h.suppressed++
		}
		return
	}
	suppressed := h.suppressed
	if !changed {
		suppressed--
	}
	h.told, h.suppressed = h.state, 0
	attrs := []slog.Attr{slog.String("server", clean(server, maxText))}
	level := slog.LevelWarn
	if h.state == ldappool.ServerUsable {
		level = slog.LevelInfo
		if h.away > 0 {
			attrs = append(attrs, span("away", h.away))
		}
	} else {
		attrs = appendText(attrs, "error", errorText(h.err), maxText)
	}
	if suppressed > 0 {
		attrs = append(attrs, slog.Int("suppressed", suppressed))
	}
	ev.log.LogAttrs(context.Background(), level, "directory server "+h.state.String(), attrs...)
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
	ev.sign(e.Server)
	if e.Err == nil {
		return
	}
	ev.debug("directory dial failed", e.Server, e.Lane, e.Err,
		span("took", e.Took), slog.Bool("probe", e.Probe))
}

func (ev *events) pinged(e ldappool.PingEvent) {
	ev.sign(e.Server)
	if e.Err == nil {
		return
	}
	ev.debug("directory ping failed", e.Server, e.Lane, e.Err,
		span("took", e.Took), span("idle", e.Idle))
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
	if suppressed > 0 {
		details = append(details, slog.Int("suppressed", suppressed))
	}
	ev.write(slog.LevelWarn, message, e.Server, e.Lane, e.Err, details...)
}

// reconfigured tells that no connection of an earlier configuration is left.
func (ev *events) reconfigured(e ldappool.ReconfigureEvent) {
	ev.log.LogAttrs(context.Background(), slog.LevelInfo, "directory configuration taken up", span("took", e.Took))
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
	if suppressed > 0 {
		attrs = append(attrs, slog.Int("suppressed", suppressed))
	}
	message := "directory connection limit learnt"
	if e.Idle == 0 && e.Age == 0 {
		message = "directory connection limit forgotten"
	}
	ev.log.LogAttrs(context.Background(), slog.LevelInfo, message, attrs...)
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
