package ldappool

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"authsvc/ldappool/internal/core"
	"authsvc/ldappool/internal/discovery"
	"authsvc/ldappool/ldapconn"
)

// Pool is a pool of connections to a directory. Its methods may be called by many goroutines at
// once.
//
// The pool's core (internal/core), a state machine under one mutex, makes all decisions. The pool
// reports events to the core, and executes the actions that the core returns after releasing the
// mutex. It owns the goroutines, the timer, puddle and the sockets.
type Pool struct {
	cfg      atomic.Pointer[Config] // the current one, with its defaults; never written to
	ctx      context.Context        // of the pool's own work; ends with Close
	cancel   context.CancelFunc
	resolver *discovery.Resolver
	retries  atomic.Int64
	large    *ldapconn.LargeAnswers

	work      sync.WaitGroup // dials, checks and lookups
	watchers  sync.WaitGroup // one for each open connection
	ready     chan struct{}  // closed when the first connection is made
	readyOnce sync.Once
	drained   chan struct{} // closed when the pool is closed and no connection is in use
	closed    chan struct{} // closed when everything has ended

	mu       sync.Mutex // guards what follows
	core     *core.Core
	timer    *time.Timer // of the core's next tick
	wakeAt   time.Time   // when it fires
	identity int         // the number of changes of the service identity
	stores   map[*core.Server]*[2]*store
	facts    map[*core.Server]*serverFacts
}

// New makes a pool and begins to connect. It does not wait for a directory, and does not fail if
// there is none: operations report that. It fails if cfg is invalid, and names every invalid field.
func New(cfg Config) (*Pool, error) {
	lookups := discovery.Lookups{SRV: net.DefaultResolver.LookupSRV, Host: lookupHost}
	if cfg.Dial != nil {
		lookups.Host = nil // it may resolve names that the DNS does not have
	}
	return newPool(cfg, lookups)
}

// largeAnswers is how many answers of more than 256 KiB are read at one time. The answers of a
// login take some kilobytes.
const largeAnswers = 4

func newPool(cfg Config, lookups discovery.Lookups) (*Pool, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	p := &Pool{
		large: ldapconn.NewLargeAnswers(largeAnswers),
		ready: make(chan struct{}), drained: make(chan struct{}), closed: make(chan struct{}), stores: map[*core.Server]*[2]*store{},
		facts: map[*core.Server]*serverFacts{},
	}
	p.cfg.Store(&cfg)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.core = core.New(cfg.core(0), jitter, p.newStoreLocked)
	p.timer = time.AfterFunc(time.Hour, p.tick)
	p.resolver = discovery.New(lookups, p.serversChanged, p.domainLookedUp)
	p.serversChanged(p.resolver.Configure(cfg.Servers, cfg.DialTimeout))
	p.work.Go(func() { p.resolver.Run(p.ctx) })
	return p, nil
}

// WaitReady waits until the directory has accepted a connection for the first time since New. A
// program need not call it: Search and Bind wait by themselves, for Config.MaxWait. Its error
// matches ErrUnavailable and the error of ctx, or ErrClosed.
func (p *Pool) WaitReady(ctx context.Context) error {
	select {
	case <-p.ready:
		return nil
	case <-p.ctx.Done():
		return &OpError{Op: "wait", Kind: ErrClosed}
	case <-ctx.Done():
	}
	select {
	case <-p.ready: // it was closed before, or at the same moment
		return nil
	default:
	}
	errs := []error{ctx.Err()}
	for _, s := range p.Stat().Servers {
		if s.LastErr != nil {
			errs = append(errs, &core.ServerError{URL: s.URL, Err: s.LastErr})
		}
	}
	return &OpError{Op: "wait", Kind: ErrUnavailable, Err: errors.Join(errs...)}
}

// jitter is d less up to a tenth.
func jitter(d time.Duration) time.Duration {
	return d - rand.N(d/10+1) //nolint:gosec // it is not a secret
}

// config is the current configuration. It is shared, and only read.
func (p *Pool) config() *Config { return p.cfg.Load() }

// update reports an event to the core and executes the actions.
func (p *Pool) update(event func(now time.Time)) {
	p.mu.Lock()
	event(time.Now())
	actions := p.actionsLocked()
	p.mu.Unlock()
	p.execute(actions)
}

func (p *Pool) tick() {
	p.update(func(now time.Time) {
		p.wakeAt = time.Time{}
		p.core.Tick(now)
	})
}

// actionsLocked returns the core's actions, and sets the timer. It adds their work to the wait
// group while the mutex is held, so that Close waits for it.
func (p *Pool) actionsLocked() []core.Action {
	if at := p.core.WakeAt(); !at.Equal(p.wakeAt) && !p.core.IsClosed() {
		p.wakeAt = at
		p.timer.Reset(time.Until(at))
	}
	actions := p.core.Actions()
	for _, a := range actions {
		switch a := a.(type) {
		case core.Dial:
			p.prepareDialLocked(a)
			p.work.Add(1)
		case core.Check:
			p.work.Add(1)
		case core.Forget:
			p.work.Add(1)
		}
	}
	return actions
}

// execute executes the core's actions. No lock is held.
func (p *Pool) execute(actions []core.Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case core.Grant:
			a.Request.Shell.(chan struct{}) <- struct{}{}
		case core.Reject:
			a.Request.Shell.(chan struct{}) <- struct{}{}
		case core.Dial:
			go p.dial(shellOf(a.Conn))
		case core.CancelDial:
			shellOf(a.Conn).cancelDial()
		case core.Check:
			go p.check(shellOf(a.Conn), a.ByBind, a.Timeout)
		case core.Close:
			shellOf(a.Conn).res.Destroy()
		case core.Abort:
			shellOf(a.Conn).abort(core.ReasonServerDown)
		case core.Drained:
			close(p.drained)
		case core.Forget:
			go p.forget(a.Server)
		default:
			p.notify(a)
		}
	}
}

// notify calls the hook for an event.
func (p *Pool) notify(a core.Action) {
	trace := &p.config().Trace
	switch a := a.(type) {
	case core.ServerChanged:
		if hook := trace.ServerChanged; hook != nil {
			hook(ServerEvent{Server: a.Server.URL, From: ServerState(a.From), To: ServerState(a.To), Op: a.Op, Err: a.Err})
		}
	case core.LimitLearned:
		if hook := trace.LimitLearned; hook != nil {
			hook(a.Server.URL, a.Is, a.Was)
		}
	case core.HangsUp:
		p.quirk(a.Server.URL, quirkHangsUp, a.Err)
	case core.Reconfigured:
		if hook := trace.Reconfigured; hook != nil {
			hook(a.Took)
		}
	}
}
