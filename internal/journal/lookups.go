package journal

import (
	"context"
	"log/slog"
	"time"

	"authsvc/internal/logsafe"
	"authsvc/internal/poolevent"
)

// lookups is the result of looking up a domain's servers, and what the log says of it.
type lookups struct {
	failing time.Time // since when lookups fail; zero while they work
	logged  bool      // the log says that it fails
}

// lookedUp logs when a domain's servers can no longer be looked up, and when they can be again. If
// a line is suppressed, the next lookup makes up for it.
func (ev *events) lookedUp(server string, known int, err error) {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	d := ev.domainLocked(server)
	began := d.failing
	switch {
	case err == nil:
		d.failing = time.Time{}
	case began.IsZero():
		d.failing = time.Now()
	}
	if d.logged == (err != nil) {
		return
	}
	suppressed, ok := ev.limits.Allow(logsafe.Key{Server: server, What: "lookup"})
	if !ok {
		return
	}
	d.logged = err != nil
	attrs := []slog.Attr{slog.String("server", logsafe.Clean(server, logsafe.MaxText)), slog.Int("known", known)}
	level, message := slog.LevelInfo, "DNS lookup of directory servers succeeded again"
	if d.logged {
		level, message = slog.LevelWarn, "DNS lookup of directory servers failed"
		attrs = append(attrs, slog.String("operation", "lookup"))
		attrs = logsafe.AppendText(attrs, "error", logsafe.ErrorText(err), logsafe.MaxText)
		attrs = append(attrs, slog.String("action", logins(server, ev.stat())+againLookedUp))
	} else if !began.IsZero() {
		attrs = append(attrs, span("away", time.Since(began)))
	}
	ev.log.LogAttrs(context.Background(), level, message, withSuppressed(attrs, suppressed)...)
}

// domainLocked returns what is known of a domain. Domains beyond poolevent.MaxServers share one.
func (ev *events) domainLocked(server string) *lookups {
	if _, ok := ev.domains[server]; !ok && len(ev.domains) >= poolevent.MaxServers {
		server = poolevent.OtherServer
	}
	d := ev.domains[server]
	if d == nil {
		d = new(lookups)
		ev.domains[server] = d
	}
	return d
}
