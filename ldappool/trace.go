package ldappool

import (
	"context"
	"time"
)

// Lane names the two kinds of connections.
type Lane string

// The lanes.
const (
	SearchLane Lane = "search" // bound as the service identity
	BindLane   Lane = "bind"   // for users' binds
)

// Trace holds hooks that the pool calls when something happens. Each may be nil and then costs
// nothing. They run in the pool's own or in a caller's goroutine, several at once, so that two
// changes of one moment may be reported in either order. No lock is held: a hook may call Stat. It
// must not block, and must not call Search, Bind or Close, which may wait for the hook's goroutine.
type Trace struct {
	// Acquired: a caller got a connection, or did not.
	Acquired func(ctx context.Context, e AcquireEvent)
	// Operated: an operation on a connection ended. A retried operation calls it twice.
	Operated func(ctx context.Context, e OperationEvent)
	// Dialed: an attempt to open a connection ended.
	Dialed func(e DialEvent)
	// Pinged: an idle connection was pinged.
	Pinged func(e PingEvent)
	// Retired: a connection left the pool.
	Retired func(e RetireEvent)
	// ServerChanged: a server's state changed.
	ServerChanged func(e ServerEvent)
	// LimitLearned: a server's idle limit was learned from its disconnects, corrected or forgotten.
	// was is the limit known before; 0 is none.
	LimitLearned func(server string, idle, was time.Duration)
	// QuirkLearned: the pool adapts to an unusual behavior of a server. quirk is hangs_up: the
	// server ends a connection on which the root DSE is read without permission. err is the error
	// that showed it.
	QuirkLearned func(server, quirk string, err error)
	// LookedUp: the servers of a domain, in the form of Config.Servers, were looked up in the DNS.
	// known is the number of known servers, including those of earlier lookups. err says why this
	// lookup found no server.
	LookedUp func(domain string, known int, err error)
	// Reconfigured: no connection from before the last call of Reconfigure is left. took is the
	// time since that call.
	Reconfigured func(took time.Duration)
}

// AcquireEvent describes the wait for a connection.
type AcquireEvent struct {
	Lane Lane
	Wait time.Duration
	Err  error // nil, or an *OpError
}

// OperationEvent describes one request and its answer.
type OperationEvent struct {
	Op     string // "search" or "bind"
	Server string
	Took   time.Duration
	Code   uint16 // LDAP result code, where Err is nil
	Err    error  // nil, or an *OpError
	Retry  bool   // it is sent for the second time
}

// DialEvent describes one attempt to connect: TCP, TLS and first bind together.
type DialEvent struct {
	Lane   Lane
	Server string
	Took   time.Duration
	Err    error
	Probe  bool // made by a background probe of a server, not for a caller
}

// PingEvent describes one ping.
type PingEvent struct {
	Lane   Lane
	Server string
	Idle   time.Duration // how long the connection had been quiet
	Took   time.Duration
	Err    error
}

// RetireEvent describes the end of a connection.
type RetireEvent struct {
	Lane   Lane
	Server string
	Reason RetireReason
	Age    time.Duration
	Idle   time.Duration // how long it had been quiet when its end was noticed
	Err    error         // the cause, if the network or the server ended it
}

// ServerEvent describes a change of a server's state.
type ServerEvent struct {
	Server   string
	From, To ServerState
	Op       string // what failed: "probe", "dial", "ping", "search", "bind" or "lookup"; empty where Err is nil
	Err      error  // why; nil if the server became usable
}

// RetireReason says why a connection was closed. [RetireReasons] lists the reasons:
//
//	peer_closed   the server or something between closed or reset it
//	notice        Notice of Disconnection, RFC 4511 section 4.4.1
//	protocol      the server sent what was not requested, or what is not LDAP
//	timeout       a request on it was not answered in time
//	canceled      the caller went away in the middle of a request
//	ping_failed   it did not answer a check
//	max_idle      it was idle for MaxIdleTime
//	max_lifetime  it was as old as it may get
//	idle_limit    it came near the learned idle limit of its server, and was not needed
//	age_limit     not used any more
//	replaced      a server of an earlier tier works again, the load is spread, or the configuration changed
//	server_down   its server is down, or suspect while another is usable
//	rebalanced    its slot was needed by the other lane, or for a probe
//	pool_closed   the pool closes
type RetireReason string

// RetireReasons returns all reasons.
func RetireReasons() []RetireReason {
	return []RetireReason{
		"peer_closed", "notice", "protocol", "timeout", "canceled", "ping_failed", "max_idle", "max_lifetime", "idle_limit",
		"age_limit", "replaced", "server_down", "rebalanced", "pool_closed",
	}
}

// quirkHangsUp is the only quirk of servers so far.
const quirkHangsUp = "hangs_up"

// quirk calls the hook for a quirk.
func (p *Pool) quirk(server, quirk string, err error) {
	if hook := p.config().Trace.QuirkLearned; hook != nil {
		hook(server, quirk, err)
	}
}
