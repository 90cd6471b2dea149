package ldappool

import "time"

// ServerState is what the pool thinks of a server.
type ServerState uint8

// The states.
const (
	// ServerSuspect: something failed, or nothing was tried yet. A probe is under way or due; connections that
	// work go on working.
	ServerSuspect ServerState = iota
	// ServerUsable: it answered, and nothing failed since.
	ServerUsable
	// ServerDown: probes fail. No caller waits for it; probes go on in the background.
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
	// Dials, DialErrors, Retries, Refused count since the start: attempts at a connection, those that failed,
	// operations sent a second time, and callers turned away without a connection.
	Dials, DialErrors, Retries, Refused int64

	usable, ready bool
}

// LaneStat is one lane's part of a Stat.
type LaneStat struct {
	Idle, InUse, Dialing int // connections now
	Waiting              int // callers now
	Acquired             int64
	// Outdated counts those of Idle and InUse that were made under an earlier configuration and have no successor yet.
	Outdated int
}

// ServerStat is one server's part of a Stat.
type ServerStat struct {
	URL      string
	State    ServerState
	Since    time.Time // of the state
	Ready    bool      // a connection to it was made, and the service identity let in, since the start
	Answered time.Time // when it last answered anything; zero if it never did
	LastErr  error     // what was seen last; stays after recovery
	Conns    int       // open connections to it
	// BreakerOpen tells that it was put aside for what its operations came to, although probes succeed.
	BreakerOpen bool
	// IdleLimit and AgeLimit are how long it was seen to let a connection be quiet, and live, at the least; 0: no limit is known.
	IdleLimit, AgeLimit time.Duration
}

// Usable tells whether a login can be tried now: some server is usable, or was until a moment ago, or one in doubt, or
// dismissed, still has connections of every kind that a login needs.
func (s *Stat) Usable() bool { return s.usable }

// Ready tells whether the directory has let the pool in since that was made.
func (s *Stat) Ready() bool { return s.ready }

// Stat takes a snapshot.
func (p *Pool) Stat() *Stat {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &Stat{
		MaxConns: p.config().MaxConns, Search: p.lanes[0].stat(), Bind: p.lanes[1].stat(), Retired: map[RetireReason]int64{},
		Dials: p.dials, DialErrors: p.dialErrors, Retries: p.retries, Refused: p.refused,
		usable: p.serving(), ready: p.ready,
	}
	for _, reason := range retireReasons {
		s.Retired[reason] = p.retired[reason]
	}
	for _, srv := range p.servers {
		s.Servers = append(s.Servers, srv.stat())
	}
	s.Servers = append(s.Servers, p.unknown()...)
	return s
}

// benefit is how long a server in doubt is taken to be what it was: a probe has told by then.
const benefit = 2 * time.Second

// serving tells whether a login can be tried now. p.mu is held.
func (p *Pool) serving() bool {
	for _, s := range p.known() {
		switch {
		case s.is() == ServerUsable && !s.gone:
			return true
		case s.is() == ServerDown || !s.ready:
		case s.conns[1] > 0 && (s.conns[0] > 0 || p.config().BindOnly), !s.gone && time.Since(s.since) < benefit:
			return true
		}
	}
	return false
}

// stat is the lane's part of a snapshot. Pool.mu is held.
func (l *lane) stat() LaneStat {
	return LaneStat{Idle: l.idle, InUse: l.inUse, Dialing: l.dialing, Waiting: l.waiting.Len(), Acquired: l.acquired, Outdated: l.outdated()}
}

// stat is the server's part of a snapshot. Pool.mu is held.
func (s *server) stat() ServerStat {
	out := ServerStat{URL: s.url, State: s.is(), Since: s.since, Ready: s.ready, LastErr: s.lastErr, Conns: s.conns[0] + s.conns[1],
		BreakerOpen: s.breaker.open,
		IdleLimit:   s.limits.maxIdle(), AgeLimit: s.limits.maxAge()}
	if nanos := s.answered.Load(); nanos != 0 {
		out.Answered = time.Unix(0, nanos)
	}
	return out
}
