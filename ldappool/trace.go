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

// Trace holds hooks that the pool calls when something happens. Each may be nil and then costs nothing. They run
// in the pool's own or in a caller's goroutine, several at once, so that two changes of one moment may be told in
// either order. No lock is held: a hook may call Stat. It must not block, and must not call Search, Bind or Close,
// which may wait for what the hook holds up.
type Trace struct {
	// Acquired: a caller got a connection, or did not.
	Acquired func(ctx context.Context, e AcquireEvent)
	// Operated: an operation on a connection ended. A retried operation calls it twice.
	Operated func(ctx context.Context, e OperationEvent)
	// Dialed: an attempt to open a connection ended.
	Dialed func(e DialEvent)
	// Pinged: an idle connection was asked for a sign of life.
	Pinged func(e PingEvent)
	// Retired: a connection left the pool.
	Retired func(e RetireEvent)
	// ServerChanged: a server's state changed.
	ServerChanged func(e ServerEvent)
	// LimitLearned: a server's limit on its connections was learnt, corrected or forgotten.
	LimitLearned func(e LimitEvent)
	// LookedUp: a domain's servers were looked up in the DNS.
	LookedUp func(e LookupEvent)
	// Reconfigured: the last connection made under a configuration before Reconfigure's is gone.
	Reconfigured func(e ReconfigureEvent)
}

// AcquireEvent tells of the wait for a connection.
type AcquireEvent struct {
	Lane Lane
	Wait time.Duration
	Err  error // nil, or an *OpError
}

// OperationEvent tells of one request and its answer.
type OperationEvent struct {
	Op     string // "search" or "bind"
	Server string
	Took   time.Duration
	Code   uint16 // LDAP result code, where Err is nil
	Err    error  // nil, or an *OpError
	Retry  bool   // it is sent for the second time
}

// DialEvent tells of one attempt at a connection: TCP, TLS and first bind together.
type DialEvent struct {
	Lane   Lane
	Server string
	Took   time.Duration
	Err    error
	Probe  bool // made by the background check of a server, not for want of a connection
}

// PingEvent tells of one ping.
type PingEvent struct {
	Lane   Lane
	Server string
	Idle   time.Duration // how long the connection had been quiet
	Took   time.Duration
	Err    error
}

// RetireEvent tells of a connection's end.
type RetireEvent struct {
	Lane   Lane
	Server string
	Reason RetireReason
	Age    time.Duration
	Idle   time.Duration // how long it had been quiet when its end was noticed
	Err    error         // what was seen, where the network or the server ended it
}

// ServerEvent tells of a server's change of state.
type ServerEvent struct {
	Server   string
	From, To ServerState
	Op       string // what failed: "probe", "dial", "ping", "search", "bind" or "lookup"; empty where Err is nil
	Err      error  // why, where the change is for the worse
}

// LimitEvent tells of what was learnt of a server's limits on its connections, by watching when it cuts them. 0 is none.
type LimitEvent struct {
	Server          string
	Idle, Age       time.Duration // how long a connection may be quiet, and how old it may get, at the least
	WasIdle, WasAge time.Duration // what was known before
}

// LookupEvent tells of one lookup of a domain's servers.
type LookupEvent struct {
	Server string // the domain, as Config.Servers names it
	Known  int    // servers of the domain that are known now, also from earlier lookups
	Err    error  // why it told of no server
}

// ReconfigureEvent tells that a configuration has been taken up everywhere.
type ReconfigureEvent struct {
	Took time.Duration // since Reconfigure was called, for the last time
}

// RetireReason says why a connection left the pool.
type RetireReason string

// The reasons.
const (
	RetiredPeerClosed  RetireReason = "peer_closed"  // the server or something between closed or reset it
	RetiredNotice      RetireReason = "notice"       // Notice of Disconnection, RFC 4511 section 4.4.1
	RetiredProtocol    RetireReason = "protocol"     // it sent what nobody asked for, or what is no LDAP
	RetiredTimeout     RetireReason = "timeout"      // a request on it was not answered in time
	RetiredCanceled    RetireReason = "canceled"     // the caller went away in the middle of a request
	RetiredPing        RetireReason = "ping_failed"  // it gave no sign of life
	RetiredMaxIdle     RetireReason = "max_idle"     // idle for MaxIdleTime
	RetiredMaxLifetime RetireReason = "max_lifetime" // as old as it may get
	RetiredReplaced    RetireReason = "replaced"     // a server of earlier choice works again, or the configuration is another
	RetiredIdleLimit   RetireReason = "idle_limit"   // near the idle limit learnt of its server, and not needed
	RetiredAgeLimit    RetireReason = "age_limit"    // near the age limit learnt of its server
	RetiredServerDown  RetireReason = "server_down"  // its server is down, or in doubt while another is not
	RetiredRebalanced  RetireReason = "rebalanced"   // given up so that the other lane can have one
	RetiredClosed      RetireReason = "pool_closed"  // the pool closes
)

// retireReasons lists the reasons, for snapshots.
var retireReasons = []RetireReason{
	RetiredPeerClosed, RetiredNotice, RetiredProtocol, RetiredTimeout, RetiredCanceled, RetiredPing,
	RetiredMaxIdle, RetiredMaxLifetime, RetiredIdleLimit, RetiredAgeLimit, RetiredReplaced, RetiredServerDown, RetiredRebalanced, RetiredClosed,
}
