// Package core decides what a pool of directory connections does: which request gets which
// connection and which waits, when to dial, check and close, and the state of each server.
//
// It is one state machine. Its methods are events with their time ([Core.Acquire], [Core.Released],
// [Core.Dialed], [Core.Tick] and so on). It returns what has to be done as [Action] values
// ([Core.Actions]). It has no clock, lock, goroutine or I/O: for the same events it returns the
// same actions. The caller serializes events with a mutex, and executes the actions after releasing
// it.
//
// In reading order: conn.go has the connections and their phases, queue.go the requests that wait,
// acquire.go how a request gets a connection, holdtimes.go which requests are admitted, settle.go
// what is done after every event, dial.go where connections come from, check.go how they are
// checked, checkmethod.go which request a check makes, servers.go what happens when a server's
// state changes, maintain.go what happens without requests, balance.go how the load is spread, and
// rollout.go how connections are replaced after a change of configuration.
package core

import (
	"errors"
	"time"

	"authsvc/ldappool/internal/health"
)

// Limits that are not configured.
const (
	// MaxDials bounds the connections being dialed at one time, so that a directory that comes back
	// is not flooded.
	MaxDials = 8
	// MaxServiceBinds bounds the service binds at one time after one was accepted within
	// ServiceBindTrust; otherwise there is one. The password may just have changed, and a directory
	// that locks accounts allows a few attempts.
	MaxServiceBinds  = 3
	ServiceBindTrust = 2 * WarmInterval
	// CheckAfter is how long a connection may be quiet and still be used without a check.
	CheckAfter = time.Second
	// CheckTimeout bounds a check. Where a server takes long for every answer it is CheckFactor
	// times the server's fastest recent one, at most Config.RequestTimeout.
	CheckTimeout = 500 * time.Millisecond
	CheckFactor  = 4
	// MinCheck is the least time that a check gets when a caller's wait is nearly over.
	MinCheck = 20 * time.Millisecond
	// HedgeAfter is how long a check may take before its request also accepts another connection.
	// Where the server is far away, it is HedgeFactor times its fastest recent answer.
	HedgeAfter  = 50 * time.Millisecond
	HedgeFactor = 3
	// DialHedgeAfter is how long a dial may take before another server is dialed as well: longer
	// than TLS and a bind with a slow hash take, and shorter than MaxWait.
	DialHedgeAfter = 500 * time.Millisecond
	// RedialAfter is how long a dial may take before another one to the same server begins, if no
	// other server can be dialed. A dial that began while the server was down may hang long after
	// it has recovered.
	RedialAfter = time.Second
	// WarmInterval is the least time between two rounds of dials that no caller waits for: a server
	// that accepts connections and closes them is not dialed in a loop.
	WarmInterval = time.Second
	// IdleLimitExpires is how long a learned idle limit is believed before it is learned again.
	IdleLimitExpires = 6 * time.Hour
)

// Config is the part of the pool's configuration that the core uses.
type Config struct {
	MaxConns, MinIdleConns, MaxWaiters                     int
	MaxWait, MaxIdleTime, MaxLifetime, HealthCheckInterval time.Duration
	RequestTimeout                                         time.Duration
	RoundRobin, BindOnly                                   bool
	ServiceBind                                            bool // the search lane's dials bind as a service identity
	BindLane                                               ServiceBindRule
	Identity                                               int // of the service; another number is another identity
}

// Endpoint is a server of the configuration. Servers are the same if their URLs are.
type Endpoint struct {
	URL  string
	Tier int // servers of one tier are equals; lower tiers are preferred
	Link any // how the server is reached; connections made by another value are replaced
}

// Idle keeps the idle connections of one lane to one server, the one used last on top. The core
// only takes connections that it has put there.
type Idle interface {
	Pop() *Conn      // takes the connection on top
	Take(c *Conn)    // takes this connection
	Push(c *Conn)    // puts a connection on top, which was used
	PutBack(c *Conn) // puts a connection back at the place that Conn.LastUsed gives it
	Adopt(c *Conn)   // takes a connection that was just dialed
}

// Core is the state of a pool.
type Core struct {
	cfg    Config
	jitter health.Jitter
	idle   func(s *Server, l Lane) Idle

	servers []*Server // of the configuration, in order
	leaving []*Server // no longer in the configuration, with connections left
	conns   []*Conn   // in every phase but Closed, in the order of their dials
	counts  counts    // of connections by lane and phase
	lanes   [2]lane
	queue   queue

	lookups         Lookups
	lastServiceBind time.Time // when the directory last accepted the service identity
	ready           bool      // a connection was made since the start
	closed, drained bool
	wake            time.Time // the earliest time at which Tick has something to do; zero: never
	actions         []Action
	stats           Stats

	maintenance maintenance
	watchdog    watchdog
	rollout     rollout
}

// lane is what is known of one lane.
type lane struct {
	acquired  int64
	holdTimes holdTimes
	rollout   laneRollout
}

// Lookups is what is known of names that have not been resolved to servers.
type Lookups struct {
	Pending bool    // a first lookup is running and may find servers
	Errs    []error // of the names for which no server is known
}

// Stats counts since the start.
type Stats struct {
	Dials, DialErrors, Refused int64
	Closed                     map[Reason]int64
}

// New returns the core of a pool without servers: SetServers comes next. jitter shortens durations
// at random. idle makes the store of the idle connections of a lane to a server.
func New(cfg Config, jitter health.Jitter, idle func(s *Server, l Lane) Idle) *Core {
	return &Core{cfg: cfg, jitter: jitter, idle: idle, stats: Stats{Closed: map[Reason]int64{}}}
}

// Action is something that the caller of the core has to do.
type Action interface{ action() }

// The actions.
type (
	// Grant reports to a request that it has a connection: Request.Conn.
	Grant struct{ Request *Request }
	// Reject reports to a request that it gets no connection: Request.Err.
	Reject struct{ Request *Request }
	// Dial makes a connection, and reports Dialed or DialFailed.
	Dial struct {
		Conn    *Conn
		Timeout time.Duration // if not zero, shorter than the configured one
	}
	// CancelDial ends a dial early. It is reported as failed, with Canceled.
	CancelDial struct{ Conn *Conn }
	// Check sends a request that succeeds with any answer within Timeout, and reports Checked.
	// ByBind: the request is a service bind, which must succeed.
	Check struct {
		Conn    *Conn
		ByBind  bool
		Timeout time.Duration
	}
	// Close closes a connection for Conn.Reason, and reports Closed.
	Close struct{ Conn *Conn }
	// Abort ends a connection under the operation that uses it.
	Abort struct{ Conn *Conn }
	// ServerChanged notifies observers of a server's new state.
	ServerChanged struct {
		Server   *Server
		From, To health.State
		Op       string // what failed, if anything
		Err      error
	}
	// LimitLearned notifies observers of an idle limit that was learned, corrected or (0)
	// forgotten.
	LimitLearned struct {
		Server  *Server
		Is, Was time.Duration
	}
	// HangsUp notifies observers of a server that ends a connection on which its root DSE is read.
	HangsUp struct {
		Server *Server
		Err    error
	}
	// Reconfigured notifies observers that no outdated connection is left.
	Reconfigured struct{ Took time.Duration }
	// Drained reports that a closed pool has no connection in use any more.
	Drained struct{}
	// Forget reports that a server that left the configuration has no connection any more.
	Forget struct{ Server *Server }
)

func (Grant) action()         {}
func (Reject) action()        {}
func (Dial) action()          {}
func (CancelDial) action()    {}
func (Check) action()         {}
func (Close) action()         {}
func (Abort) action()         {}
func (ServerChanged) action() {}
func (LimitLearned) action()  {}
func (HangsUp) action()       {}
func (Reconfigured) action()  {}
func (Drained) action()       {}
func (Forget) action()        {}

func (c *Core) emit(a Action) { c.actions = append(c.actions, a) }

// Actions returns what has to be done since the last call, in order.
func (c *Core) Actions() []Action {
	if len(c.actions) == 0 {
		return nil
	}
	a := c.actions
	c.actions = nil
	return a
}

// WakeAt returns when Tick has to be called, or zero. It may be earlier than necessary.
func (c *Core) WakeAt() time.Time { return c.wake }

func (c *Core) wakeBy(t time.Time) {
	if !t.IsZero() && (c.wake.IsZero() || t.Before(c.wake)) {
		c.wake = t
	}
}

// Tick does what has become due.
func (c *Core) Tick(now time.Time) {
	c.wake = time.Time{}
	for _, s := range c.servers {
		s.Health.Tick(now)
		c.wakeBy(s.Health.NextTick())
	}
	c.expireRequests(now)
	c.hedgeDials(now)
	c.watch(now)
	c.settle(now)
	if !c.closed {
		c.wakeBy(c.maintenance.next)
	}
}

// Close rejects every request and closes every connection as it is released.
func (c *Core) Close(now time.Time) {
	if c.closed {
		return
	}
	c.closed = true
	for r := c.queue.first; r != nil; r = c.queue.first {
		c.reject(r, &Rejection{Kind: KindClosed})
	}
	for _, conn := range c.conns {
		if conn.IsDialing() {
			c.emit(CancelDial{conn})
		}
	}
	c.settle(now)
}

// Kind says why a request was rejected.
type Kind uint8

// The kinds.
const (
	KindUnavailable Kind = iota // no server can be used
	KindOverloaded              // no connection became free in time, or none will
	KindClosed                  // the pool closes
	KindCanceled                // the caller canceled the request
)

// Rejection is why a request gets no connection.
type Rejection struct {
	Kind   Kind
	Server string        // the only server, with KindUnavailable
	Err    error         // the cause; nil if Kind says it all
	Queue  time.Duration // how long the queue is likely to take, if that is the reason
}

func (r *Rejection) Error() string {
	if r.Err == nil {
		return "rejected"
	}
	return r.Err.Error()
}

// withCause adds why the caller stopped waiting, if there is a reason.
func (r *Rejection) withCause(err error) *Rejection {
	if err != nil {
		r.Err = errors.Join(r.Err, err)
	}
	return r
}

// Unwrap returns the cause.
func (r *Rejection) Unwrap() error { return r.Err }

// Errors of requests and servers.
var (
	ErrTooManyWaiters = errors.New("too many callers are waiting")
	ErrWaitedTooLong  = errors.New("no connection became free in time")
	ErrNoAnswer       = errors.New("no answer in time")
	ErrDialHangs      = errors.New("the dial is slow and another server can serve the callers")
	ErrSilent         = errors.New("no answer for a second with operations in progress")
)

// The operations of the pool itself that can fail at a server.
const (
	OpProbe  = "probe"
	OpDial   = "dial"
	OpCheck  = "ping"
	OpLookup = "lookup"
)
