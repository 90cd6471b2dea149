package telemetry

import (
	"context"
	"log/slog"
	"time"

	"authsvc/ldappool"
)

// lookups is how looking up a domain's servers went, and what the log has been told of it.
type lookups struct {
	failing time.Time // since when; zero while it works
	told    bool      // that it fails
}

// lookedUp tells when a domain's servers can no longer be looked up, and when they can again. A lookup whose line is
// suppressed is made up for by the next.
func (ev *events) lookedUp(e ldappool.LookupEvent) {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	d := ev.domain(e.Server)
	began := d.failing
	switch {
	case e.Err == nil:
		d.failing = time.Time{}
	case began.IsZero():
		d.failing = time.Now()
	}
	if d.told == (e.Err != nil) {
		return
	}
	suppressed, ok := ev.limits.allow(limitKey{server: e.Server, what: "lookup"})
	if !ok {
		return
	}
	d.told = e.Err != nil
	attrs := []slog.Attr{slog.String("server", clean(e.Server, maxText)), slog.Int("known", e.Known)}
	level, message := slog.LevelInfo, "directory servers found in the DNS again"
	if d.told {
		level, message = slog.LevelWarn, "directory servers not found in the DNS"
		attrs = append(attrs, slog.String("operation", "lookup"))
		attrs = appendText(attrs, "error", errorText(e.Err), maxText)
		attrs = append(attrs, slog.String("action", logins(e.Server, ev.stat())+againLookedUp))
	} else if !began.IsZero() {
		attrs = append(attrs, span("away", time.Since(began)))
	}
	ev.log.LogAttrs(context.Background(), level, message, withSuppressed(attrs, suppressed)...)
}

// domain returns what is known of a domain. Domains beyond maxServers share one. ev.mu is held.
func (ev *events) domain(server string) *lookups {
	if _, ok := ev.domains[server]; !ok && len(ev.domains) >= maxServers {
		server = otherServer
	}
	d := ev.domains[server]
	if d == nil {
		d = new(lookups)
		ev.domains[server] = d
	}
	return d
}
