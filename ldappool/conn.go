package ldappool

import (
	"context"
	"crypto/tls"
	"errors"
	"sync/atomic"
	"time"

	"authsvc/ldappool/internal/core"
	"authsvc/ldappool/ldapconn"
)

// conn is a connection of the pool: what the core knows of it, and the LDAP connection. One
// goroutine uses it at a time.
type conn struct {
	core        *core.Conn
	ldap        *ldapconn.Conn
	res         resource                     // set while the connection is not idle
	abortReason atomic.Pointer[RetireReason] // why the pool aborted its operation

	cfg          *Config // when it was dialed
	link         link
	server       *serverFacts
	ctx          context.Context // of the dial
	cancelDial   context.CancelFunc
	took, rtt    time.Duration // the dial, and its answers
	probesSearch bool          // the dial is a probe that does Config.ProbeSearch
}

// link is how a server is reached. Two are the same if they are equal.
type link struct {
	endpoint ldapconn.Endpoint
	tls      *tls.Config // nil without TLS, or for the default
}

func shellOf(c *core.Conn) *conn { return c.Shell.(*conn) }

func (c *conn) lane() Lane {
	if c.core.Lane == core.Search {
		return SearchLane
	}
	return BindLane
}

func (c *conn) url() string { return c.core.Server.URL }

// prepareDialLocked makes the connection for a dial, so that the dial can be canceled before it
// begins.
func (p *Pool) prepareDialLocked(d core.Dial) {
	cfg := p.config()
	timeout := cfg.DialTimeout
	if d.Timeout > 0 {
		timeout = min(timeout, d.Timeout)
	}
	c := &conn{core: d.Conn, cfg: cfg, link: d.Conn.Link.(link), server: p.facts[d.Conn.Server]}
	c.probesSearch = d.Conn.Purpose == core.ForProbe && d.Conn.Lane == core.Search && d.Conn.Server.Ready && cfg.ProbeSearch != nil
	c.ctx, c.cancelDial = context.WithTimeout(p.ctx, timeout)
	d.Conn.Shell = c
}

// dial makes a connection and reports the result.
func (p *Pool) dial(c *conn) {
	defer p.work.Done()
	defer c.cancelDial()
	began := time.Now()
	p.mu.Lock()
	st := p.stores[c.core.Server][c.core.Lane]
	p.mu.Unlock()
	err := st.create(c.ctx, c)
	c.took = time.Since(began)
	if hook := p.config().Trace.Dialed; hook != nil {
		hook(DialEvent{Lane: c.lane(), Server: c.url(), Took: c.took, Err: err, Probe: c.core.Purpose == core.ForProbe})
	}
	if err != nil {
		p.update(func(now time.Time) {
			p.core.DialFailed(now, c.core, core.Failure{
				Err: err, Canceled: errors.Is(c.ctx.Err(), context.Canceled),
				Refused: isRefused(err), Busy: isUnserved(err), Answered: isAnswer(err),
				HungUp: hungUp(err), Cut: isCutRead(err),
			})
		})
		return
	}
	p.update(func(now time.Time) {
		p.core.Dialed(now, c.core, c.took, c.rtt)
		if c.ldap.Err() != nil {
			p.endedLocked(now, c)
		}
	})
	p.readyOnce.Do(func() { close(p.ready) })
	p.watchers.Go(func() {
		<-c.ldap.Done()
		p.update(func(now time.Time) { p.endedLocked(now, c) })
	})
}

// endedLocked reports that a connection has ended, unless the pool itself has ended it.
func (p *Pool) endedLocked(now time.Time, c *conn) {
	if end := c.end(); end != nil && end.Reason != ldapconn.Closed {
		p.core.Ended(now, c.core, core.Reason(closeReason(c, end)), end.Time, end.Idle)
	}
}

// end says how the connection ended; nil while it is open.
func (c *conn) end() *ldapconn.EndError {
	end, _ := c.ldap.Err().(*ldapconn.EndError) //nolint:errorlint // it is documented to be one
	return end
}

// closeReason is the reason for which a connection is retired that has ended by itself or was cut.
func closeReason(c *conn, end *ldapconn.EndError) RetireReason {
	switch {
	case end.Reason != ldapconn.Closed:
		return RetireReason(end.Reason) // of the same names
	case c.abortReason.Load() != nil:
		return *c.abortReason.Load()
	}
	return RetireReason(core.ReasonClosed)
}

// abort ends the connection while it is in use.
func (c *conn) abort(reason core.Reason) {
	why := RetireReason(reason)
	c.abortReason.Store(&why)
	c.ldap.Abort()
}

// open is puddle's constructor: it dials a connection and does the first exchange. In the search
// lane the connection is bound as the service identity.
func (p *Pool) open(ctx context.Context, c *conn) error {
	if err := p.requireComparison(ctx, c); err != nil {
		return err
	}
	l, err := p.connect(ctx, c)
	if err != nil {
		return err
	}
	c.ldap = l
	connected := time.Now()
	op, code, err := c.firstExchange(ctx)
	c.rtt = time.Since(connected)
	if err == nil && c.core.Purpose == core.ForProbe {
		err = p.probe(ctx, c, op, code)
	}
	if err == nil && errors.Is(ctx.Err(), context.Canceled) {
		err = ctx.Err() // it was canceled just before the last answer
	}
	if err != nil {
		l.Close()
	}
	return err
}

// connect opens an LDAP connection to the server of c.
func (p *Pool) connect(ctx context.Context, c *conn) (*ldapconn.Conn, error) {
	return ldapconn.Dial(ctx, c.link.endpoint, ldapconn.Options{TLS: c.link.tls, Authorities: c.cfg.Authorities, Dial: c.cfg.Dial, Large: p.large})
}

// probe does the configured search, as a login does, if the server was usable before. It then
// evaluates the last answer. A server that does not let its root DSE be read can still serve
// logins. If no other server is usable, any answer is accepted.
func (p *Pool) probe(ctx context.Context, c *conn, op string, code uint16) error {
	if c.probesSearch {
		deadline, _ := ctx.Deadline()
		r, err := c.ldap.Search(ctx, deadline, c.cfg.ProbeSearch, ldapconn.Filter{})
		if err != nil {
			return &stepError{"search", err}
		}
		op, code = "search", r.Code
	}
	if (mayServeElsewhere(op, code) || op == "search" && isAmbiguous(code)) && p.hasAlternative(c.core.Server) {
		return &unservedError{op, code, ""}
	}
	return nil
}

func (p *Pool) hasAlternative(s *core.Server) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.core.HasAlternative(s)
}

// check does a check that the core requested. With byBind it is a service bind.
func (p *Pool) check(c *conn, byBind bool, timeout time.Duration) {
	defer p.work.Done()
	began := time.Now()
	p.mu.Lock()
	idle := began.Sub(c.core.LastReceived)
	p.mu.Unlock()
	var err error
	if byBind {
		_, err = c.bindAsService(p.ctx, began.Add(timeout), p.config())
	} else if _, err = c.ping(p.ctx, began.Add(timeout), rootDSE, false); err != nil {
		err = &stepError{"ping", err}
	}
	took := time.Since(began)
	if hook := p.config().Trace.Pinged; hook != nil {
		hook(PingEvent{Lane: c.lane(), Server: c.url(), Idle: idle, Took: took, Err: err})
	}
	var f *ldapconn.Fault
	failure := core.Failure{Err: err, Refused: isRefused(err), Answered: isAnswer(err), HungUp: hungUp(err)}
	failure.TimedOut = errors.As(err, &f) && f.End.Reason == ldapconn.Timeout
	p.update(func(now time.Time) {
		p.endedLocked(now, c)
		p.core.Checked(now, c.core, took, failure)
	})
}

// destroy is puddle's destructor: it closes a connection in bounded time and frees its slot.
func (p *Pool) destroy(c *conn) {
	now := time.Now()
	e := RetireEvent{
		Lane: c.lane(), Server: c.url(), Reason: RetireReason(c.core.Reason),
		Age: now.Sub(c.core.CreatedAt), Idle: now.Sub(c.core.LastReceived),
	}
	if end := c.end(); end != nil {
		e.Err = end.Err
	}
	c.ldap.Close()
	if hook := p.config().Trace.Retired; hook != nil {
		hook(e)
	}
	p.update(func(now time.Time) { p.core.Closed(now, c.core) })
}
