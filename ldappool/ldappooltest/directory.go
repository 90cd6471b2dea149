// Package ldappooltest has a directory for the tests of programs that use [ldappool]. It lives in
// the process and needs no port. Its connections are pipes, so it works within a bubble of
// testing/synctest too.
//
//	directory := ldappooltest.New(
//		ldap.NewEntry("uid=alice,dc=example,dc=org", map[string][]string{"uid": {"alice"}, "userPassword": {"secret"}}))
//	pool, err := ldappool.New(directory.Config())
//
// It answers simple binds and searches, with filters of equality, presence, and, or and not, and
// compares every attribute as text, ignoring the case of ASCII letters. It is not a complete LDAP
// server: for other behavior, test against a real one.
package ldappooltest

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"

	"authsvc/internal/ldapserver"
	"authsvc/ldappool"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// Directory is a directory in memory. Its methods may be called by many goroutines at once.
type Directory struct {
	entries []*ldap.Entry
	server  *ldapserver.Server

	mu     sync.Mutex // guards what follows
	conns  []net.Conn
	code   uint16        // of every answer, if not 0
	down   bool          // connections are refused
	silent chan struct{} // if not nil, requests are answered when it is closed
	closed chan struct{} // by Close
	serves sync.WaitGroup
}

// New makes a directory of entries. A bind as an entry succeeds with one of the values of its
// userPassword; an anonymous bind does always. Anybody may search; userPassword is not returned.
func New(entries ...*ldap.Entry) *Directory {
	d := &Directory{entries: entries, closed: make(chan struct{})}
	d.server = ldapserver.New(ldapserver.Config{Handler: d.answer})
	return d
}

// Config returns the configuration of a pool on this directory. A service identity and everything
// else may be added.
func (d *Directory) Config() ldappool.Config {
	return ldappool.Config{Servers: []string{"ldap://directory"}, Dial: d.Dial}
}

// Dial connects to the directory, for Config.Dial. It ignores the address.
func (d *Directory) Dial(context.Context, string, string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-d.closed:
		return nil, net.ErrClosed
	default:
	}
	if d.down {
		return nil, errors.New("the directory is down")
	}
	client, server := net.Pipe()
	d.conns = append(d.conns, server)
	d.serves.Go(func() { d.server.ServeConn(server) })
	return client, nil
}

// AnswerWith makes the directory answer every request with a result code (RFC 4511 appendix A),
// such as 51 for a busy directory. 0 ends that.
func (d *Directory) AnswerWith(code uint16) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.code = code
}

// Pause makes the directory read requests without answering them, until Resume is called.
func (d *Directory) Pause() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.silent == nil {
		d.silent = make(chan struct{})
	}
}

// Resume ends Pause. Pending requests are answered.
func (d *Directory) Resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.silent != nil {
		close(d.silent)
		d.silent = nil
	}
}

// Cut ends every connection, as a directory or a firewall does with idle ones.
func (d *Directory) Cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cutLocked()
}

func (d *Directory) cutLocked() {
	for _, c := range d.conns {
		_ = c.Close() // a pipe has no error
	}
	d.conns = nil
}

// Stop ends every connection and refuses new ones, until Start is called.
func (d *Directory) Stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.down = true
	d.cutLocked()
}

// Start ends Stop.
func (d *Directory) Start() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.down = false
}

// Close ends the directory and waits until its goroutines have ended. Close the pool first.
func (d *Directory) Close() {
	d.Resume()
	d.mu.Lock()
	select {
	case <-d.closed:
	default:
		close(d.closed)
	}
	d.cutLocked()
	d.mu.Unlock()
	d.serves.Wait()
}

// answer answers a request. An unbind, or a request that a pool never sends, ends the connection.
func (d *Directory) answer(c *ldapserver.Conn, req ldapserver.Request) {
	d.mu.Lock()
	code, silent := d.code, d.silent
	d.mu.Unlock()
	if silent != nil {
		select {
		case <-silent:
		case <-c.Done():
			return
		}
	}
	switch req.Op {
	case ldapserver.OpBind:
		if code == 0 {
			code = d.bind(req.DN, req.Password)
		}
		c.ReplyBind(req, code, "")
	case ldapserver.OpSearch:
		var found []ldapserver.Entry
		if code == 0 {
			found, code = d.search(req)
		}
		c.ReplySearch(req, code, found...)
	default:
		c.Close()
	}
}

func (d *Directory) bind(dn, password string) (code uint16) {
	if dn == "" {
		return ldap.LDAPResultSuccess
	}
	for _, e := range d.entries {
		if strings.EqualFold(e.DN, dn) && slices.Contains(e.GetEqualFoldAttributeValues("userPassword"), password) {
			return ldap.LDAPResultSuccess
		}
	}
	return ldap.LDAPResultInvalidCredentials
}

// search does the search of a request: base, scope, size limit, filter and attributes (RFC 4511
// section 4.5.1).
func (d *Directory) search(req ldapserver.Request) (found []ldapserver.Entry, code uint16) {
	base := strings.ToLower(req.DN)
	for _, e := range d.entries {
		if !isWithin(strings.ToLower(e.DN), base, req.Scope) || !matches(e, req.FilterPacket) {
			continue
		}
		if req.SizeLimit > 0 && len(found) == req.SizeLimit {
			return found, ldap.LDAPResultSizeLimitExceeded
		}
		found = append(found, entry(e, req.Attributes))
	}
	return found, ldap.LDAPResultSuccess
}

// isWithin reports whether a name is in the scope of a search.
func isWithin(dn, base string, scope int) bool {
	rdn, below := strings.CutSuffix(dn, ","+base)
	if base == "" {
		rdn, below = dn, dn != ""
	}
	switch scope {
	case ldap.ScopeBaseObject:
		return dn == base
	case ldap.ScopeSingleLevel:
		return below && !strings.Contains(rdn, ",")
	}
	return below || dn == base
}

// matches evaluates a filter. An unknown filter matches nothing.
func matches(e *ldap.Entry, filter *ber.Packet) bool {
	is := func(f *ber.Packet) bool { return matches(e, f) }
	isNot := func(f *ber.Packet) bool { return !matches(e, f) }
	switch {
	case filter.Tag == ldap.FilterAnd:
		return !slices.ContainsFunc(filter.Children, isNot)
	case filter.Tag == ldap.FilterOr:
		return slices.ContainsFunc(filter.Children, is)
	case filter.Tag == ldap.FilterNot:
		return slices.ContainsFunc(filter.Children, isNot)
	case filter.Tag == ldap.FilterPresent:
		return len(e.GetEqualFoldAttributeValues(text(filter))) > 0
	case filter.Tag == ldap.FilterEqualityMatch && len(filter.Children) == 2:
		values := e.GetEqualFoldAttributeValues(text(filter.Children[0]))
		return slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, text(filter.Children[1])) })
	}
	return false
}

// entry returns an entry with the requested attributes, or with all if none are requested (RFC 4511
// section 4.5.1.8).
func entry(e *ldap.Entry, requested []string) ldapserver.Entry {
	isWanted := func(name string) bool {
		return len(requested) == 0 || slices.ContainsFunc(requested, func(r string) bool {
			return r == "*" || strings.EqualFold(r, name)
		})
	}
	attributes := map[string][]string{}
	for _, a := range e.Attributes {
		if !strings.EqualFold(a.Name, "userPassword") && isWanted(a.Name) {
			attributes[a.Name] = append(attributes[a.Name], a.Values...)
		}
	}
	return ldapserver.Entry{DN: e.DN, Attributes: attributes}
}

func text(p *ber.Packet) string { return p.Data.String() }
