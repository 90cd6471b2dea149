package doctor

import (
	"context"
	"errors"

	"authsvc/ldappool"
	"authsvc/ldappool/ldapconn"

	"github.com/go-ldap/ldap/v3"
)

// endedByPeer reports whether a request got no answer because the server ended the connection.
func endedByPeer(err error) bool {
	f, lost := errors.AsType[*ldapconn.Fault](err)
	return lost && !f.Answered && (f.End.Reason == ldapconn.PeerClosed || f.End.Reason == ldapconn.Notice)
}

// reconnect replaces a connection that the server has ended, and reports whether it could.
func (c *conn) reconnect(ctx context.Context) bool {
	if c.reopen == nil {
		return false
	}
	again, err := c.reopen(ctx)
	if err != nil {
		return false
	}
	c.hangsUp = c.hangsUp || c.lastFailed
	c.Close()
	c.Conn = again
	return true
}

// ping reads the root DSE. hungUp is the error, if the server answered one and ended the
// connection.
func (c *conn) ping(ctx context.Context) (hungUp string, err error) {
	r, err := c.Search(ctx, ping())
	if err != nil || r.Code == ldap.LDAPResultSuccess {
		return "", err
	}
	if _, err := c.Search(ctx, ping()); endedByPeer(err) {
		return result(r.Code), nil
	}
	return "", nil
}

// bindsUsersAsService reports whether the pool's connections for users' binds begin with a service
// bind.
func (d *doctor) bindsUsersAsService(server string) bool {
	switch {
	case !d.Pool.HasIdentity() || d.refused != "":
		return false
	case d.Pool.BindLaneServiceBind == ldappool.ServiceBindAuto:
		return d.hangsUp[server]
	}
	return d.Pool.BindLaneServiceBind == ldappool.ServiceBindAlways
}

// reopenAndExchange replaces a connection that the server ended after a ping, and does the first
// exchange again as the pool does.
func (d *doctor) reopenAndExchange(ctx context.Context, c *conn, addr string) error {
	again, err := d.open(ctx, c.server, addr, nil)
	if err != nil {
		return err
	}
	c.Close()
	c.Conn = again
	return d.firstExchange(ctx, c, false).err
}

// setReopen makes a connection of the service identity replaceable when the server ends it.
func (d *doctor) setReopen(c *conn, addr string, asService bool) {
	c.reopen = func(ctx context.Context) (*ldapconn.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, d.dialTimeout())
		defer cancel()
		raw, err := d.open(ctx, c.server, addr, nil)
		if err != nil || !asService || !d.Pool.HasIdentity() {
			return raw, err
		}
		again := &conn{Conn: raw, server: c.server, timeout: c.timeout}
		if step := d.firstExchange(ctx, again, true); step.err != nil {
			raw.Close()
			return nil, step.err
		}
		return raw, nil
	}
}

// afterErrors reports a server that ends connections after an error.
func (s *target) afterErrors() {
	switch {
	case s.hangsUp[s.url]:
		s.report(s.url, "after errors", 0, finding{Mark: OK,
			Finding: "the server refuses an anonymous read of its root DSE and closes the connection",
			Details: []string{"the pool detects this by itself: see docs/directories.md"}})
	case s.conn.hangsUp:
		s.report(s.url, "after errors", 0, finding{Mark: OK, Finding: "the server closes a connection after an error; the checks continued on new connections",
			Details: []string{"the pool reconnects in the same way: see docs/directories.md"}})
	}
}

// refusesAnonymousRead reports whether a server also answers an anonymous read of its root DSE with
// a code.
func (d *doctor) refusesAnonymousRead(ctx context.Context, server, addr string, code uint16) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	raw, err := d.open(ctx, server, addr, nil)
	if err != nil {
		return false
	}
	defer raw.Close()
	r, err := (&conn{Conn: raw, server: server, timeout: probeTimeout}).Search(ctx, ping())
	return err == nil && r.Code == code
}

// addrOf is an address to dial, or empty for a socket.
func addrOf(server, at string) string {
	if _, _, ok := hostPort(server); ok {
		return at
	}
	return ""
}
