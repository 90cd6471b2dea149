package journal

import (
	"context"
	"log/slog"
	"sync/atomic"

	"authsvc/internal/auth"
	"authsvc/internal/logsafe"
	"authsvc/ldappool"
)

// Journal writes lines about the directory and keeps the last faults. Its methods may be called
// from several goroutines at once. It implements [auth.Observer].
type Journal struct {
	log    *slog.Logger
	limits *logsafe.Limiter
	stat   atomic.Pointer[func() *ldappool.Stat] // nil until there is a pool
	events *events
	faults *faults
	bans   *bans
}

var _ auth.Observer = (*Journal)(nil)

// New returns a Journal that writes to logger.
func New(logger *slog.Logger) *Journal {
	j := &Journal{log: logger, limits: logsafe.NewLimiter(), faults: new(faults), bans: newBans(logger)}
	j.events = newEvents(logger, j.limits, j.poolStat)
	return j
}

// LoginDone keeps a login that ended in a fault.
func (j *Journal) LoginDone(_ context.Context, _ auth.Credentials, r auth.Result) {
	j.faults.loginDone(r)
	j.bans.loginDone(r)
}

// Trace returns hooks for [ldappool.Config].
func (j *Journal) Trace() ldappool.Trace {
	return ldappool.Trace{
		Operated: func(_ context.Context, e ldappool.OperationEvent) {
			j.faults.operated(e)
			j.events.operated(e)
			j.bans.operated(e)
		},
		Dialed: func(e ldappool.DialEvent) {
			j.events.dialed(e)
			j.faults.dialed(e)
			j.bans.dialed(e)
		},
		Pinged: func(e ldappool.PingEvent) {
			j.events.pinged(e)
			j.faults.pinged(e)
		},
		Retired: func(e ldappool.RetireEvent) {
			j.events.retired(e)
			j.faults.retired(e)
		},
		ServerChanged: j.events.serverChanged,
		LimitLearned:  j.events.limitLearned,
		QuirkLearned:  j.events.quirkLearned,
		LookedUp:      j.events.lookedUp,
		Reconfigured:  j.events.reconfigured,
	}
}

// WatchPool makes the lines say what happens to logins, by the pool's state. Before it is called
// they do not. A second call replaces the first.
func (j *Journal) WatchPool(stat func() *ldappool.Stat) { j.stat.Store(&stat) }

// poolStat returns the pool's snapshot, or nil if there is no pool yet.
func (j *Journal) poolStat() *ldappool.Stat {
	if read := j.stat.Load(); read != nil {
		return (*read)()
	}
	return nil
}

// ConnectionDropped logs, within the limit of lines, that a caller's connection was closed for
// another one because limit were open.
func (j *Journal) ConnectionDropped(limit int) {
	if suppressed, ok := j.limits.Allow(logsafe.Key{What: "inbound"}); ok {
		j.log.Warn("callers' connections at their limit, closing the longest idle ones",
			slog.Int("limit", limit), slog.Int("suppressed", suppressed))
	}
}
