package ldappool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// DialStep is one step of [Connect], done or failed.
type DialStep struct {
	// Name is "connect", "starttls", "tls", "service bind", or, where there is no service bind, "ping".
	Name string
	Took time.Duration
	// TLS is what was agreed in "tls", as far as it came to that.
	TLS *tls.ConnectionState
	// Result is the directory's answer to "service bind", where there was one.
	Result *Result
	// Err is nil for a step that was done. That of a service bind which the directory refused has Result too.
	Err error
}

// Conn is a connection outside of any pool, made as a pool makes its own: for a program that wants to know why a server
// cannot be reached, or when it cuts a quiet connection. Its methods may be called by one goroutine at a time.
type Conn struct {
	c    *conn
	lost chan struct{}
}

// Connect dials the one server of cfg as a pool dials it for the lane of that name, within DialTimeout, and tells steps of each step when
// it is over. addr, where not empty, is the host:port to dial in place of the URL's; the name that the certificate must
// have stays the URL's. An error has been told as the error of the last step, unless cfg is wrong.
func Connect(ctx context.Context, cfg Config, addr string, name Lane, steps func(DialStep)) (*Conn, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if len(cfg.Servers) != 1 {
		return nil, fmt.Errorf("ldappool: Connect: Config.Servers has %d servers, and must have one", len(cfg.Servers))
	}
	e, err := parseEndpoint(cfg.Servers[0], cfg)
	if err != nil {
		return nil, fmt.Errorf("ldappool: Config.Servers: %w", err)
	}
	if addr != "" {
		e.addr = addr
	}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, stepsOf{}, steps), cfg.DialTimeout)
	defer cancel()
	// Of a pool only what a dial uses; it does no work of its own.
	p := &Pool{dialNet: netDial, kicked: make(chan struct{}, 1)}
	p.cfg.Store(&cfg)
	d := &dial{to: &server{url: cfg.Servers[0]}, with: &cfg, endpoint: e}
	c, err := p.handshake(ctx, &lane{pool: p, name: name}, d)
	if err != nil {
		return nil, err
	}
	return &Conn{c: c, lost: p.kicked}, nil
}

// Search is [Pool.Search] on this connection, once.
func (c *Conn) Search(ctx context.Context, req *ldap.SearchRequest) (*SearchResult, error) {
	r, err := c.c.search(ctx, c.c.with.RequestTimeout, req)
	if err != nil {
		return nil, describe("search", c.c, 0, err)
	}
	return r, nil
}

// Bind is [Pool.Bind] on this connection, once. The connection is dn's afterwards, or nobody's.
func (c *Conn) Bind(ctx context.Context, dn, password string, controls ...ldap.Control) (*BindResult, error) {
	if dn == "" || password == "" {
		return nil, &OpError{Op: "bind", Kind: ErrInvalidRequest, Err: errors.New("a bind needs a DN and a password")}
	}
	r, err := c.c.bind(ctx, c.c.with.RequestTimeout, dn, password, controls)
	if err != nil {
		return nil, describe("bind", c.c, 0, err)
	}
	return r, nil
}

// Lost has one value when the connection has ended, for whatever reason.
func (c *Conn) Lost() <-chan struct{} { return c.lost }

// Close ends the connection, in bounded time whatever the peer does.
func (c *Conn) Close() { c.c.close(RetiredClosed) }

// LookupServers gives the URLs of the servers that the DNS names for an ldap+srv URL, first choice first.
func LookupServers(ctx context.Context, url string) ([]string, error) {
	if err := checkDomain(url); err != nil {
		return nil, err
	}
	name, _ := domainOf(url)
	_, records, err := net.DefaultResolver.LookupSRV(ctx, "ldap", "tcp", name)
	if len(records) == 0 {
		return nil, &stepError{"lookup of _ldap._tcp." + name, err}
	}
	urls, _ := targets(records)
	if len(urls) == 0 {
		return nil, &stepError{"lookup of _ldap._tcp." + name, errNoService}
	}
	return urls, nil
}

// stepsOf is the context key of who wants to know of a dial's steps.
type stepsOf struct{}

// tell tells of a step that began then, if anybody wants to know.
func tell(ctx context.Context, began time.Time, s DialStep) {
	if steps, ok := ctx.Value(stepsOf{}).(func(DialStep)); ok {
		s.Took = time.Since(began)
		steps(s)
	}
}
