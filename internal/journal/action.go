package journal

import (
	"errors"

	"authsvc/ldappool"
)

// The values of action: what happens to logins, and when the pool tries again (docs/pool.md,
// Servers).
const (
	loginsElsewhere = "logins go to other servers"
	loginsContinue  = "logins continue on connections that work"
	loginsRefused   = "logins get status 11 immediately"

	probedSoon    = "probed again within 1 s"
	probedRarely  = "probed again within 30 s"
	bindRetried   = "the service identity is tried again within 15 min, immediately after a reload"
	lookupRetried = "looked up again within 30 s"

	checkedByBind = "connections for users' binds begin with a service bind"

	connReplaced = "the connection was closed and is replaced"
)

// action returns what happens while a server is not usable.
func (h *history) action(server string, stat *ldappool.Stat) string {
	next := probedSoon
	switch {
	case errors.Is(h.err, ldappool.ErrServiceRefused):
		next = bindRetried
	case h.state == ldappool.ServerDown && h.op != opProbe && h.op != opDial:
		next = probedRarely // it answers probes: its breaker is open, with growing pauses
	}
	return loginsAction(server, stat) + next
}

// loginsAction returns what happens to logins while a server or a domain cannot be used; "" if stat
// is nil.
func loginsAction(server string, stat *ldappool.Stat) string {
	if stat == nil {
		return ""
	}
	for _, s := range stat.Servers {
		if s.URL != server && s.State == ldappool.ServerUsable {
			return loginsElsewhere + "; "
		}
	}
	if stat.Usable {
		return loginsContinue + "; "
	}
	return loginsRefused + "; "
}
