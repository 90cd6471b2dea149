package telemetry

import (
	"errors"

	"authsvc/ldappool"
)

// What is done about a fault, in a few fixed words: first what becomes of logins, then when the pool tries again at the
// latest (docs/pool.md, A server's state).
const (
	loginsElsewhere = "logins go to other servers"
	loginsGoOn      = "logins go on over connections that work"
	loginsRefused   = "logins get status 11 at once"

	againSoon     = "probed again within 1 s"
	againRarely   = "probed again within 30 s"
	againRefused  = "the service identity is tried again within 15 min, at once after a reload"
	againLookedUp = "looked up again within 30 s"

	actionClosed = "the connection was closed, another takes its place"
)

// action is what is done about a server that is not usable.
func (h *history) action(server string, stat *ldappool.Stat) string {
	again := againSoon
	switch {
	case errors.Is(h.err, ldappool.ErrServiceRefused):
		again = againRefused
	case h.state == ldappool.ServerDown && h.op != opProbe && h.op != opDial:
		again = againRarely // it answers probes: its breaker is open, and waits longer each time
	}
	return logins(server, stat) + again
}

// logins is what becomes of logins while a server or a domain cannot be used; nothing where stat is nil.
func logins(server string, stat *ldappool.Stat) string {
	if stat == nil {
		return ""
	}
	for _, s := range stat.Servers {
		if s.URL != server && s.State == ldappool.ServerUsable {
			return loginsElsewhere + "; "
		}
	}
	if stat.Usable() {
		return loginsGoOn + "; "
	}
	return loginsRefused + "; "
}
