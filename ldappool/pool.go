package ldappool

import (
	"context"
	"errors"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/jackc/puddle/v2"
)

// Pool is a pool of connections to a directory. Its methods may be called by many goroutines at once.
type Pool struct {
	cfg       atomic.Pointer[Config] // the current one, with its defaults; never written to
	dialNet   dialFunc
	lookupSRV lookupFunc
	ctx       context.Context // of the pool's own work; ends with Close
	cancel    context.CancelFunc
	work      sync.WaitGroup // goroutines of the pool's own: dials, upkeep
	kicked    chan struct{}  // of capacity 1: upkeep is wanted now
	renamed   chan struct{}  // of capacity 1: domains are to be looked up now
	gone      chan struct{}  // closed when Close has nothing left to do

	lanes    [2]*lane               // search, bind
	heirless atomic.Bool            // nothing can be dialled in place of what grows old; written under mu
	base     atomic.Pointer[string] // of the last search
	watching atomic.Bool            // the watchdog is under way

	mu       sync.Mutex // guards what follows, and what server and lane say
	servers  []*server  // in the order of Config.Servers
	leaving  []*server  // not in the configuration any more, with connections still
	conns    int        // connections that count against MaxConns: dialled, open, or not yet closed
	dialing  int        // of them, those being dialled
	closing  int        // of them, those retired and not yet closed
	tended   int        // of them, those that the pool itself has taken to ping
	live     map[*conn]struct{}
	admitted time.Time // when the directory last let the service identity in
	looked   time.Time // when the watchdog last did
	awake    time.Time // since when it has looked at its pace
	ready    bool      // and whether it ever let the pool in
	closed   bool
	drained  chan struct{} // closed when the pool is closed and no caller has a connection
	again    *time.Timer   // of the next dispatch, where that waits for nothing but time
	pending  []func()      // hooks to be called once mu is free

	domains   map[string]*domain // of the configuration's ldap+srv URLs
	resolving bool               // the goroutine for them runs

	reconfigured time.Time // when Reconfigure was called last
	adopting     bool      // since when not everything was seen to be of that configuration
	outdated     int       // connections of an earlier one that are not closed
	wants        *lane     // for the successor of whose outdated connections room is made

	retired                             map[RetireReason]int64
	dials, dialErrors, retries, refused int64
}

// maxDials bounds the connections being dialled at one time, so that a directory that comes back is not met by a herd.
const maxDials = 8

// admittedFor is how long a service bind that was let in vouches for others at the same time: up to maxBinds, since the
// password may have changed in that very moment, and a directory that locks accounts allows a few tries.
const (
	admittedFor = 2 * warmPace
	maxBinds    = 3
)

// New makes a pool and begins to connect. It does not wait for a directory and does not fail for want of one: operations
// say so. It fails where cfg is wrong, and names every field that is.
func New(cfg Config) (*Pool, error) { return newPool(cfg, netDial, net.DefaultResolver.LookupSRV) }

func newPool(cfg Config, dial dialFunc, lookup lookupFunc) (*Pool, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	p := &Pool{
		dialNet: dial, lookupSRV: lookup, renamed: make(chan struct{}, 1), domains: map[string]*domain{}, kicked: make(chan struct{}, 1), gone: make(chan struct{}),
		live: map[*conn]struct{}{}, drained: make(chan struct{}), retired: map[RetireReason]int64{},
	}
	p.cfg.Store(&cfg)
	servers, err := p.parseServers(cfg)
	if err != nil {
		return nil, err
	}
	p.enlist(servers, false)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	for i, name := range []Lane{SearchLane, BindLane} {
		p.lanes[i] = &lane{pool: p, name: name, index: i}
		if err := p.lanes[i].open(); err != nil {
			return nil, err
		}
	}
	p.work.Add(1)
	go p.upkeep()
	p.mu.Lock()
	defer p.unlock()
	p.lookUp()
	return p, nil
}

// config is the configuration in force. It is shared, and only read.
func (p *Pool) config() *Config { return p.cfg.Load() }

// open makes the lane's store. Its size is no limit: MaxConns is the pool's, and puddle counts a connection a moment
// longer, until its destructor has returned.
func (l *lane) open() (err error) {
	l.store, err = puddle.NewPool(&puddle.Config[*conn]{
		Constructor: func(ctx context.Context) (*conn, error) { return l.pool.connect(ctx, l) },
		Destructor:  l.pool.bury,
		MaxSize:     math.MaxInt32,
	})
	return err
}

// growth is how many callers need not wait for one another: connections under way, that the pool itself has for a
// moment, that there is room for, or that the other lane gives up. Pool.mu is held.
func (l *lane) growth() int {
	p := l.pool
	return p.dialing + p.closing + p.tended + max(p.config().MaxConns-p.conns, 0) + min(max(p.share()-l.size(), 0), l.other().idle)
}

func (l *lane) other() *lane { return l.pool.lanes[1-l.index] }

// later has a hook called as soon as the lock is free: hooks may write a log, and that may take long. p.mu is held.
func (p *Pool) later(hook func()) { p.pending = append(p.pending, hook) }

// unlock brings what was changed to its consequences, frees p.mu, and calls the hooks.
func (p *Pool) unlock() {
	p.dispatch()
	hooks := p.pending
	p.pending = nil
	p.mu.Unlock()
	for _, hook := range hooks {
		hook()
	}
}

// Search asks the directory as the service identity. req is not changed. A result of any code is a result; an error is a
// fault and matches one of the sentinels, or ctx's own error where the caller has gone.
//
// A search whose connection was lost is sent once more, on a connection that has just been seen to work; so is, to
// another server where one is usable, a search that was answered busy (51) or unavailable (52). An answer may
// have 4 MiB and 131,072 BER elements; one with more ends its connection, and the search as lost. SizeLimit is the
// server's to keep: EnforceSizeLimit, by which go-ldap stops in the middle of an answer, costs the connection too.
func (p *Pool) Search(ctx context.Context, req *ldap.SearchRequest) (*SearchResult, error) {
	var answer *SearchResult
	wait, err := p.do(ctx, p.lanes[0], "search", func(c *conn) (r *Result, err error) {
		if answer, err = c.search(ctx, p.config().RequestTimeout, req); err != nil {
			return nil, err
		}
		return &answer.Result, nil
	}, func(f *fault, _ bool) bool { return true })
	if err != nil {
		return nil, err
	}
	p.searched(req.BaseDN)
	answer.Wait = wait
	return answer, nil
}

// Bind asks the directory whether password belongs to dn, by a simple bind (RFC 4513 section 5.1.3) with controls. The
// result's code is the verdict: 0 yes, 49 (invalidCredentials) no, others as the server has them. An error is a fault
// and never a verdict; it matches one of the sentinels, or ctx's own error where the caller has gone.
//
// An empty password, which a directory takes for an anonymous bind and lets succeed (RFC 4513 section 5.1.2), is
// refused with ErrInvalidRequest. When a bind is sent a second time is Config.BindRetry's to say.
func (p *Pool) Bind(ctx context.Context, dn, password string, controls ...ldap.Control) (*BindResult, error) {
	if dn == "" || password == "" {
		return nil, &OpError{Op: "bind", Kind: ErrInvalidRequest, Err: errors.New("a bind needs a DN and a password")}
	}
	var answer *BindResult
	wait, err := p.do(ctx, p.lanes[1], "bind", func(c *conn) (r *Result, err error) {
		if answer, err = c.bind(ctx, p.config().RequestTimeout, dn, password, controls); err != nil {
			return nil, err
		}
		return &answer.Result, nil
	}, p.mayRebind)
	if err != nil {
		return nil, err
	}
	answer.Wait = wait
	return answer, nil
}

// mayRebind tells whether a bind that was lost with its connection may be sent again: it is known not to have left, or
// it met a connection that had been kept and died without a word, as one does that the server cut meanwhile.
func (p *Pool) mayRebind(f *fault, fresh bool) bool {
	return !f.sent || p.config().BindRetry == RetryNoResponse && !f.answered && !fresh
}

// do runs an operation on a connection of lane l, twice at most, and says how long it waited for connections. again says
// whether one that was lost may be sent again. One that the server declined, and one that was lost where that is no longer
// the first, are sent again to another server if at all: its answer counts if there is one to ask.
func (p *Pool) do(ctx context.Context, l *lane, op string, send func(*conn) (*Result, error), again func(f *fault, fresh bool) bool) (time.Duration, error) {
	var waited time.Duration
	var w want
	var first error // what came of it at the server that is to be avoided
	for retry := false; ; retry = true {
		b, wait, err := l.borrow(ctx, time.Now().Add(p.config().MaxWait-waited), w)
		waited += wait
		switch {
		case err != nil && w.avoid != nil:
			return waited, first
		case err != nil:
			return waited, describe(op, nil, waited, err)
		case retry:
			p.mu.Lock()
			p.retries++
			p.unlock()
		}
		fresh := b.fresh
		elsewhere, err := p.run(ctx, b, op, retry, send)
		var f *fault
		switch {
		case elsewhere:
			w.avoid = b.server
			continue
		case err == nil:
			return waited, nil
		case retry || !errors.As(err, &f) || !errors.Is(f.kind, ErrConnLost) || !again(f, fresh):
			return waited, describe(op, b.conn, waited, err)
		}
		w.proven = true
		if b.server.breaker.falters() && p.hasInstead(b.server) {
			w.avoid, first = b.server, describe(op, b.conn, waited, err)
		}
	}
}

// run does one operation on b and gives b back, or ends it where the operation did. It tells whether the server declined
// what another one may do.
func (p *Pool) run(ctx context.Context, b lease, op string, retry bool, send func(*conn) (*Result, error)) (elsewhere bool, err error) {
	began := time.Now()
	b.asked.Store(began.UnixNano())
	p.watchOperations()
	r, err := send(b.conn)
	b.asked.Store(0)
	took := time.Since(began)
	p.heed(b.server, op, took, r, err)
	var f *fault
	switch {
	case errors.As(err, &f):
		if took >= pingTimeout { // a caller that gives it less time says nothing about the server
			p.blame(b.server, op, err)
		}
		b.retire(f.reason)
	case err == nil && !retry && p.detours(op, r, b.server):
		elsewhere = true
		b.retire(RetiredServerDown) // so that there is room for a connection to another
	default:
		b.release(true)
	}
	if hook := p.config().Trace.Operated; hook != nil {
		e := OperationEvent{Op: op, Server: b.server.url, Took: took, Retry: retry}
		if err != nil {
			e.Err = describe(op, b.conn, 0, err)
		} else {
			e.Code = r.Code
		}
		hook(ctx, e)
	}
	return elsewhere, err
}

// detours tells whether what server s answered is reason to ask another, which there is. RetryUnsent is for directories
// that count a bind when it arrives, whatever they answer.
func (p *Pool) detours(op string, r *Result, s *server) bool {
	return declines(r.Code) && (op == "search" || p.config().BindRetry == RetryNoResponse) && p.hasInstead(s)
}

// blame notes a fault that may be the server's doing: one of time, not of a single connection.
func (p *Pool) blame(s *server, op string, err error) {
	var f *fault
	if !errors.As(err, &f) || !errors.Is(f.kind, ErrTimeout) {
		return
	}
	p.mu.Lock()
	defer p.unlock()
	p.suspect(s, op, err)
}

// describe makes the error that a caller gets.
func describe(op string, c *conn, wait time.Duration, err error) error {
	e := &OpError{Op: op, Wait: wait, Kind: ErrInvalidRequest, Err: err}
	var known *OpError
	var f *fault
	switch {
	case errors.As(err, &known):
		*e = *known
		e.Op, e.Wait = op, wait
	case errors.As(err, &f):
		e.Kind, e.Err = f.kind, f.err
	}
	if c != nil {
		e.Server = c.server.url
	}
	return e
}
