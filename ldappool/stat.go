package ldappool

import (
	"time"

	"authsvc/ldappool/internal/core"
	"authsvc/ldappool/internal/discovery"
)

// ServerState is the state of a server.
type ServerState uint8

// The states.
const (
	// ServerSuspect: something failed, or nothing was tried yet. A probe is under way or due; open
	// connections are still used.
	ServerSuspect ServerState = iota
	// ServerUsable: it answered, and nothing failed since.
	ServerUsable
	// ServerDown: probes fail. Callers do not wait for it; probes continue in the background.
	ServerDown
)

// String is "suspect", "usable" or "down".
func (s ServerState) String() string {
	switch s {
	case ServerSuspect:
		return "suspect"
	case ServerUsable:
		return "usable"
	case ServerDown:
		return "down"
	}
	return "unknown"
}

// Stat is a snapshot of the pool. Nothing in it changes afterwards.
type Stat struct {
	MaxConns int
	Search   LaneStat
	Bind     LaneStat
	Servers  []ServerStat // in the order of Config.Servers; then its domains of which no server is known
	// Retired counts the connections that left, by reason, since the start. Every reason is in it.
	Retired map[RetireReason]int64
	// Dials, DialErrors, Retries, Refused count since the start: attempts at a connection, those
	// that failed, operations sent a second time, and callers rejected without a connection.
	Dials, DialErrors, Retries, Refused int64

	// Usable reports whether a login can succeed now: a server is usable, or became suspect within
	// the last 2 s, or still has connections in every lane that a login needs.
	Usable bool
	// Ready reports whether the directory has accepted a connection since New.
	Ready bool
}

// LaneStat is one lane's part of a Stat.
type LaneStat struct {
	Idle, InUse, Dialing int // connections now
	Waiting              int // callers now
	// Outdated counts those of Idle and InUse that were made under an earlier configuration and
	// have no replacement yet.
	Outdated int
	Acquired int64 // since the start
}

// ServerStat is one server's part of a Stat.
type ServerStat struct {
	URL      string
	State    ServerState
	Since    time.Time // of the state
	Ready    bool      // a connection to it was made, and the service identity accepted, since the start
	Answered time.Time // when it last answered anything; zero if it never did
	LastErr  error     // what was seen last; stays after recovery
	Conns    int       // open connections to it
	// BreakerOpen reports whether its circuit breaker is open: its operations failed, although
	// probes succeeded.
	BreakerOpen bool
	// IdleLimit is how long it keeps a quiet connection, as its disconnects show; 0: no limit is
	// known. AgeLimit is always 0: MaxLifetime bounds ages, and none is learned.
	IdleLimit, AgeLimit time.Duration
}

// Stat takes a snapshot.
func (p *Pool) Stat() *Stat {
	domains := p.resolver.State().Domains
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.core.Stats()
	s := &Stat{
		MaxConns: p.config().MaxConns, Search: LaneStat(p.core.LaneStat(core.Search)), Bind: LaneStat(p.core.LaneStat(core.Bind)),
		Retired: map[RetireReason]int64{}, Dials: c.Dials, DialErrors: c.DialErrors, Retries: p.retries.Load(), Refused: c.Refused,
		Usable: p.core.IsUsable(time.Now()), Ready: p.core.IsReady(),
	}
	for _, reason := range RetireReasons() {
		s.Retired[reason] = c.Closed[core.Reason(reason)]
	}
	for _, srv := range p.core.Servers() {
		s.Servers = append(s.Servers, ServerStat{
			URL: srv.URL, State: ServerState(srv.Health.State), Since: srv.Health.Since, Ready: srv.Ready, Answered: srv.Answered,
			LastErr: srv.Health.LastErr, Conns: srv.Conns(), BreakerOpen: srv.Health.Breaker.Open, IdleLimit: srv.IdleLimit,
		})
	}
	for _, d := range domains {
		if d.Known == 0 {
			s.Servers = append(s.Servers, unresolvedDomain(d))
		}
	}
	return s
}

// unresolvedDomain returns the entry of a domain without a known server.
func unresolvedDomain(d discovery.Domain) ServerStat {
	s := ServerStat{URL: d.URL, State: ServerSuspect, LastErr: d.Err, Since: d.Since}
	if d.Tried {
		s.State = ServerDown
	}
	return s
}
