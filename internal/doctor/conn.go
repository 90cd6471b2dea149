package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"time"

	"authsvc/internal/auth"
	"authsvc/ldappool"
	"authsvc/ldappool/ldapconn"
	"authsvc/ldappool/tlscause"

	"github.com/go-ldap/ldap/v3"
)

// conn is a connection to a server. Its errors are those of the pool.
type conn struct {
	*ldapconn.Conn
	server  string
	timeout time.Duration // of one request
	// reopen, if not nil, makes another such connection when the server has ended this one.
	reopen     func(context.Context) (*ldapconn.Conn, error)
	lastFailed bool // the last answer was an error
	hangsUp    bool // the server ended the connection after an error
}

// Search searches, once.
func (c *conn) Search(ctx context.Context, req *ldap.SearchRequest) (*ldappool.SearchResult, error) {
	return c.SearchWithFilter(ctx, req, ldapconn.Filter{})
}

// SearchWithFilter searches, once, with the filter if it is not zero.
func (c *conn) SearchWithFilter(ctx context.Context, req *ldap.SearchRequest, filter ldapconn.Filter) (*ldappool.SearchResult, error) {
	r, err := c.Conn.Search(ctx, time.Now().Add(c.timeout), req, filter)
	if endedByPeer(err) && c.reconnect(ctx) {
		r, err = c.Conn.Search(ctx, time.Now().Add(c.timeout), req, filter)
	}
	c.lastFailed = err == nil && r.Code != ldap.LDAPResultSuccess
	if err != nil {
		return nil, c.describe("search", err)
	}
	return &ldappool.SearchResult{Result: c.result(&r.Result), Entries: r.Entries, References: r.References}, nil
}

// Bind binds, once.
func (c *conn) Bind(ctx context.Context, dn, password string, controls ...ldappool.Control) (*ldappool.BindResult, error) {
	r, err := c.Conn.Bind(ctx, time.Now().Add(c.timeout), dn, password, controls...)
	if err != nil {
		return nil, c.describe("bind", err)
	}
	return &ldappool.BindResult{Result: c.result(r)}, nil
}

// bindAsService binds as the service identity, once.
func (c *conn) bindAsService(ctx context.Context, p *ldappool.Config) (*ldappool.BindResult, error) {
	if p.BindMethod != ldappool.BindExternal {
		return c.Bind(ctx, p.BindDN, p.BindPassword)
	}
	r, err := c.BindExternal(ctx, time.Now().Add(c.timeout), p.BindDN)
	if err != nil {
		return nil, c.describe("bind", err)
	}
	return &ldappool.BindResult{Result: c.result(r)}, nil
}

func (c *conn) result(r *ldapconn.Result) ldappool.Result {
	return ldappool.Result{Code: r.Code, MatchedDN: r.MatchedDN, Diagnostic: r.Diagnostic, Controls: r.Controls, Server: c.server}
}

func (c *conn) describe(op string, err error) error {
	e := &ldappool.OpError{Op: op, Server: c.server, Kind: ldappool.ErrConnLost, Err: err}
	f, lost := errors.AsType[*ldapconn.Fault](err)
	switch {
	case !lost:
		e.Kind = ldappool.ErrInvalidRequest
	case f.End.Reason == ldapconn.Timeout:
		e.Kind = ldappool.ErrTimeout
	}
	return e
}

// attempt is one dial.
type attempt struct {
	addr  string // empty: the address in the URL
	steps []dialStep
	conn  *conn // nil if a step failed
}

// dialStep is a step of a dial, done or failed.
type dialStep struct {
	name   string // of an ldapconn.Step, "service bind", or "ping" in place of a service bind
	took   time.Duration
	tls    *tls.ConnectionState // with "tls": the negotiated state, as far as the handshake got
	seen   tlscause.Seen        // with "tls": whether the server requested a client certificate, and got one
	result *ldappool.Result     // with "service bind": the directory's answer, if there was one
	hungUp string               // with "ping": the error after which the server ended the connection
	err    error
}

// dial connects to a server as the pool does. If addr is not empty, it replaces the address of the
// URL. With asService, dial binds as the service identity.
func (d *doctor) dial(ctx context.Context, server, addr string, asService bool) attempt {
	a := attempt{addr: addr}
	ctx, cancel := context.WithTimeout(ctx, d.dialTimeout())
	defer cancel()
	raw, err := d.open(ctx, server, addr, func(s ldapconn.Step) {
		a.steps = append(a.steps, dialStep{name: s.Name, took: s.Took, tls: s.TLS, seen: s.Seen, err: s.Err})
	})
	if err != nil {
		if len(a.steps) == 0 {
			a.steps = []dialStep{{name: "connect", err: err}}
		}
		return a
	}
	c := &conn{Conn: raw, server: server, timeout: d.requestTimeout()}
	step := d.firstExchange(ctx, c, asService)
	if step.hungUp != "" {
		d.hangsUp[server] = true
		step.err = d.reopenAndExchange(ctx, c, addr)
	}
	a.steps = append(a.steps, step)
	if step.err != nil {
		c.Close()
		return a
	}
	a.conn = c
	return a
}

// open connects to a server: to addr, if that is not empty.
func (d *doctor) open(ctx context.Context, server, addr string, onStep func(ldapconn.Step)) (*ldapconn.Conn, error) {
	to, err := ldapconn.ParseURL(server)
	if err != nil {
		return nil, err
	}
	if addr != "" {
		to.Address = addr
	}
	if d.Pool.StartTLS && to.Network == "tcp" && to.Security == ldapconn.Plain {
		to.Security = ldapconn.StartTLS
	}
	return ldapconn.Dial(ctx, to, ldapconn.Options{TLS: d.Pool.TLS, Authorities: d.Pool.Authorities, OnStep: onStep})
}

// firstExchange does the first exchange on a connection: a service bind, or a ping if no service
// bind is due.
func (d *doctor) firstExchange(ctx context.Context, c *conn, asService bool) dialStep {
	began := time.Now()
	if !d.Pool.HasIdentity() || !asService && !d.bindsUsersAsService(c.server) {
		if d.hangsUp[c.server] {
			return dialStep{name: "ping"} // the pool does not ping either
		}
		hungUp, err := c.ping(ctx)
		return dialStep{name: "ping", took: time.Since(began), err: err, hungUp: hungUp}
	}
	r, err := c.bindAsService(ctx, &d.Pool)
	step := dialStep{name: "service bind", took: time.Since(began), err: err}
	if err != nil {
		return step
	}
	if d.Pool.BindPassword != "" && strings.Contains(r.Diagnostic, d.Pool.BindPassword) {
		r.Diagnostic = "" // it repeats the password
	}
	step.result = &r.Result
	if r.Code != ldap.LDAPResultSuccess {
		step.err = ldappool.ErrServiceRefused
		// A refused certificate counts against no account.
		if !d.external() && auth.ExplainBind(d.Logins.Dialect, r.Result).Outcome.IsVerdict() {
			d.refused = c.server
		}
	}
	return step
}

func (d *doctor) dialTimeout() time.Duration { return orDefault(d.Pool.DialTimeout, 3*time.Second) }
func (d *doctor) requestTimeout() time.Duration {
	return orDefault(d.Pool.RequestTimeout, 5*time.Second)
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}
