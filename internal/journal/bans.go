package journal

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/logsafe"
	"authsvc/internal/poolevent"
	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
)

// A ban of this service's address is assumed after banFailures wrong passwords at a server within
// banWindow, no right one after them, and then a refusal.
const (
	banFailures = 3
	banWindow   = time.Minute
	banInterval = time.Hour // the shortest time between two lines about a server
)

const actionBan = "wait until the ban ends; exempt this service's address on the server, or lower AUTH_THROTTLE_FAILURES: " +
	"see docs/directories.md"

// bans recognizes servers that seem to ban this service's address after its users' wrong passwords.
type bans struct {
	log *slog.Logger

	mu      sync.Mutex
	servers map[string]*rejections // guarded by mu; at most poolevent.MaxServers
}

// rejections are the times of the last wrong passwords at a server.
type rejections struct {
	last       [banFailures]time.Time // oldest first; zero: none
	accepted   bool                   // a right password came after them
	lastLogged time.Time
}

func newBans(log *slog.Logger) *bans { return &bans{log: log, servers: map[string]*rejections{}} }

// operated counts the answers to users' binds.
func (b *bans) operated(e ldappool.OperationEvent) {
	if e.Op != opBind || e.Err != nil || e.Code != ldap.LDAPResultSuccess && e.Code != ldap.LDAPResultInvalidCredentials {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.servers[e.Server]
	switch {
	case e.Code == ldap.LDAPResultSuccess && r != nil:
		r.accepted = true
	case e.Code == ldap.LDAPResultSuccess, r == nil && len(b.servers) >= poolevent.MaxServers:
	default:
		if r == nil {
			r = &rejections{}
			b.servers[e.Server] = r
		}
		copy(r.last[:], r.last[1:])
		r.last[banFailures-1], r.accepted = time.Now(), false
	}
}

// dialed checks a failed dial: a gateway may refuse connections, or drop packets.
func (b *bans) dialed(e ldappool.DialEvent) {
	if e.Err != nil && !errors.Is(e.Err, context.Canceled) {
		b.refused(e.Server, dialOp(e), logsafe.ErrorText(e.Err))
	}
}

// loginDone checks a login that the server refused.
func (b *bans) loginDone(r auth.Result) {
	if r.Outcome != auth.DirectoryUnavailable || r.Server == "" {
		return
	}
	switch code, _ := r.ResultCode(); code {
	case ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultBusy, ldap.LDAPResultUnavailable:
		op := opSearch
		if r.Bind.Answered {
			op = opBind
		}
		b.refused(r.Server, op, logsafe.ErrorText(r.Cause))
	}
}

// refused writes a line if a refusal looks like a ban.
func (b *bans) refused(server, op, text string) {
	now := time.Now()
	b.mu.Lock()
	r := b.servers[server]
	banned := r != nil && !r.accepted && !r.last[0].IsZero() && now.Sub(r.last[0]) <= banWindow
	first := banned && (r.lastLogged.IsZero() || now.Sub(r.lastLogged) >= banInterval)
	if first {
		r.lastLogged = now
	}
	b.mu.Unlock()
	if !first {
		return
	}
	attrs := []slog.Attr{slog.String("server", logsafe.Clean(server, logsafe.MaxText)), slog.String("operation", op)}
	attrs = logsafe.AppendText(attrs, "error", text, logsafe.MaxText)
	attrs = append(attrs, slog.String("action", actionBan))
	b.log.LogAttrs(context.Background(), slog.LevelWarn, "directory server may ban this service after wrong passwords", attrs...)
}
