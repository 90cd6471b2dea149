package journal

import (
	"context"
	"log/slog"
	"time"

	"authsvc/internal/logsafe"
	"authsvc/internal/poolevent"
)

// lookups is the state of a domain's lookups, and its last logged state.
type lookups struct {
	failing time.Time // when lookups began to fail; zero while they succeed
	logged  bool      // the last line says that they fail
}

// lookedUp logs when the lookups of a domain begin to fail, and when they succeed again. If a line
// is suppressed, the next lookup writes it.
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
	if d.logged {
		attrs = append(attrs, slog.String("operation", "lookup"))
		attrs = logsafe.AppendText(attrs, "error", logsafe.ErrorText(err), logsafe.MaxText)
		attrs = append(attrs, slog.String("action", loginsAction(server, ev.stat())+lookupRetried))
		ev.log.LogAttrs(context.Background(), slog.LevelWarn, "DNS lookup of directory servers failed", withSuppressed(attrs, suppressed)...)
		return
	}
	if !began.IsZero() {
		attrs = append(attrs, durationAttr("away", time.Since(began)))
	}
	ev.log.LogAttrs(context.Background(), slog.LevelInfo, "DNS lookup of directory servers succeeded again", withSuppressed(attrs, suppressed)...)
}

// domainLocked returns a domain's lookups. Domains beyond poolevent.MaxServers share one.
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
