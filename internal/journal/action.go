package journal

import (
	"errors"

	"authsvc/ldappool"
)

// What is done about a fault, in fixed words: what becomes of logins, and within what time the pool
// tries again (docs/pool.md, Servers).
const (
	loginsElsewhere = "logins go to other servers"
	loginsGoOn      = "logins continue on connections that work"
	loginsRefused   = "logins get status 11 immediately"

	againSoon     = "probed again within 1 s"
	againRarely   = "probed again within 30 s"
	againRefused  = "the service identity is tried again within 15 min, immediately after a reload"
	againLookedUp = "looked up again within 30 s"

	actionHangsUp = "connections for users' binds begin with a service bind"

	actionClosed = "the connection was closed and is replaced"
)

// action returns what is done about a server that is not usable.
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

// logins returns what becomes of logins while a server or a domain cannot be used; nothing if stat
// is nil.
func logins(server string, stat *ldappool.Stat) string {
	if stat == nil {
		return ""
	}
	for _, s := range stat.Servers {
		if s.URL != server && s.State == ldappool.ServerUsable {
			return loginsElsewhere + "; "
		}
	}
	if stat.Usable {
		return loginsGoOn + "; "
	}
	return loginsRefused + "; "
}
