package ldappool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"
)

const (
	// pingAfter is how long a connection may be quiet and still be used without a ping.
	pingAfter = time.Second
	// pingTimeout bounds a ping. A directory that takes longer to read its root DSE is no help to a login.
	pingTimeout = 500 * time.Millisecond
	// minPing is the least that a ping is given when a caller's wait is nearly over.
	minPing = 20 * time.Millisecond
	// closeTimeout bounds every part of closing a connection.
	closeTimeout = 250 * time.Millisecond
)

// conn is one connection to a server. One goroutine uses it at a time: the one that took it from its lane.
type conn struct {
	lane   *lane
	server *server
	wire   *wire
	ldap   *ldap.Conn

	with     *Config // it was dialled with
	endpoint endpoint
	stale    atomic.Uint32 // in what these differ from what is in force, a stale; written under the pool's lock
	born     time.Time     // when it was connected
	expires  time.Time     // MaxLifetime with its jitter, fixed at birth

	// Written by whoever has the connection, read under the pool's lock while it is idle.
	used     time.Time     // when a caller last had it; born before the first
	quiet    time.Time     // since when it has carried nothing
	fresh    bool          // dialled for the caller that has it now
	swiftest time.Duration // its fastest answer
	taken    time.Time     // when the caller that has it got it; zero while it is idle or upkeep has it

	asked atomic.Int64 // since when a caller's operation is under way, in Unix nanoseconds; 0: none is

	retired RetireReason // why it was given up; written under the pool's lock
}

// newConn starts go-ldap on a wire. The connection has no identity yet.
func newConn(l *lane, d *dial, w *wire) *conn {
	now := time.Now()
	w.onEnd = l.pool.kick
	c := &conn{
		lane: l, server: d.to, wire: w, ldap: ldap.NewConn(w, w.Conn != w.raw), with: d.with, endpoint: d.endpoint,
		born: now, expires: now.Add(jittered(d.with.MaxLifetime)), used: now, quiet: now, fresh: true,
	}
	c.ldap.Start()
	return c
}

// jittered is lifetime less up to a tenth.
func jittered(lifetime time.Duration) time.Duration {
	return lifetime - rand.N(lifetime/10+1) //nolint:gosec // nobody gains by guessing it
}

// fault is an operation that got no answer, or none that can be trusted. The connection it happened on is over.
type fault struct {
	kind     error // one of the sentinels
	reason   RetireReason
	err      error
	sent     bool // the request may have left
	answered bool // something of an answer came
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// bind does a simple bind. The connection has the identity of dn afterwards if the result's code is success, and
// none that is known otherwise.
func (c *conn) bind(ctx context.Context, timeout time.Duration, dn, password string, controls []ldap.Control) (*BindResult, error) {
	var answer *ldap.SimpleBindResult
	r, err := c.exchange(ctx, timeout, func() (err error) {
		answer, err = c.ldap.SimpleBind(ldap.NewSimpleBindRequest(dn, password, controls))
		return err
	})
	if err != nil {
		return nil, err
	}
	// A refusal's controls come with go-ldap's error, not instead of it.
	if answer != nil {
		r.Controls = answer.Controls
	}
	return &BindResult{*r}, nil
}

// search does a search as whoever the connection is.
func (c *conn) search(ctx context.Context, timeout time.Duration, req *ldap.SearchRequest) (*SearchResult, error) {
	var answer *ldap.SearchResult
	r, err := c.exchange(ctx, timeout, func() (err error) {
		answer, err = c.ldap.Search(req)
		return err
	})
	if err != nil {
		return nil, err
	}
	result := &SearchResult{Result: *r}
	if answer != nil {
		result.Controls, result.Entries, result.References = answer.Controls, answer.Entries, answer.Referrals
	}
	return result, nil
}

// rootDSE is the search of a ping (RFC 4512 section 5.1): what every server answers, without attributes. Any
// answer proves the connection, whatever its code.
func rootDSE() *ldap.SearchRequest {
	return ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)", []string{"1.1"}, nil)
}

// ping asks for a sign of life.
func (c *conn) ping(ctx context.Context, timeout time.Duration) error {
	_, err := c.search(ctx, timeout, rootDSE())
	return err
}

// exchange does one request by way of send and judges what came of it: by what the wire saw first, by what go-ldap
// says second. Its error is a *fault, or matches ErrInvalidRequest with nothing sent.
func (c *conn) exchange(ctx context.Context, timeout time.Duration, send func() error) (*Result, error) {
	began := time.Now()
	deadline := began.Add(timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := c.wire.begin(deadline); err != nil {
		e := c.wire.fail(RetiredPeerClosed, err)
		return nil, &fault{kind: ErrConnLost, reason: e.reason, err: e} // however it ended, nothing was sent
	}
	stop := context.AfterFunc(ctx, func() { c.abandon(ctx) })
	err := guard(send)
	if !stop() {
		c.abandon(ctx) // here, and not later in the middle of somebody else's exchange
	}
	x, ending := c.wire.finish()
	if r, ok := result(x, err); ok {
		c.quiet = time.Now()
		r.Server, r.Took = c.server.url, c.quiet.Sub(began)
		if c.swiftest == 0 || r.Took < c.swiftest {
			c.swiftest = r.Took
		}
		c.server.answered.Store(c.quiet.UnixNano())
		return r, nil
	}
	return nil, c.judge(ctx, x, ending, err)
}

// abandon ends the connection because ctx has ended in the middle of an exchange: its identity and the answer that
// may still come are nobody's.
func (c *conn) abandon(ctx context.Context) {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		c.wire.end(RetiredTimeout, errNoAnswer)
		return
	}
	c.wire.end(RetiredCanceled, ctx.Err())
}

// guard runs send and turns a panic of go-ldap's decoder, which a malformed answer can cause, into an error.
func guard(send func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic in the decoder: %v", r)
		}
	}()
	return send()
}

// result gives the directory's answer where there is one: complete on the wire, and read by go-ldap to the same
// result code. An answer that cannot be read whole is none, whatever code stands in it: what is attached to a success
// may take it back, and what is broken says nothing about a password.
func result(x exchange, err error) (*Result, bool) {
	if !x.final {
		return nil, false
	}
	if err == nil {
		return &Result{}, x.code == ldap.LDAPResultSuccess
	}
	var answer *ldap.Error
	if !errors.As(err, &answer) || int64(answer.ResultCode) != x.code || isGoLDAPs(answer.ResultCode) {
		return nil, false
	}
	return &Result{Code: answer.ResultCode, MatchedDN: answer.MatchedDN, Diagnostic: diagnostic(answer)}, true
}

// isGoLDAPs tells whether code is one that go-ldap gives to its own errors, which LDAP assigns to nothing: beside it
// an answer cannot be told from the failure to read it.
func isGoLDAPs(code uint16) bool {
	return code >= ldap.ErrorNetwork && code <= ldap.ErrorMalformedPacket
}

func diagnostic(answer *ldap.Error) string {
	if answer.Err == nil {
		return ""
	}
	return answer.Err.Error()
}

// errNoCode is what is wrong with an answer that has one of go-ldap's own codes.
var errNoCode = errors.New("a result code that LDAP assigns to nothing")

// judge says what it means that an exchange had no answer, and ends the connection unless nothing was sent on it.
func (c *conn) judge(ctx context.Context, x exchange, e *ending, err error) error {
	if e == nil {
		if x.request == 0 {
			return fmt.Errorf("%w: %w", ErrInvalidRequest, err)
		}
		// go-ldap could not read what the wire took for an answer, or gave up by itself.
		var answer *ldap.Error
		if errors.As(err, &answer) && int64(answer.ResultCode) == x.code {
			err = errNoCode // and not in the server's words, which may repeat a password
		}
		e = c.wire.fail(RetiredProtocol, fmt.Errorf("an answer that cannot be read: %w", err))
	}
	f := &fault{kind: ErrConnLost, reason: e.reason, err: e, sent: x.sent, answered: x.answered}
	switch {
	case e.reason == RetiredTimeout:
		f.kind = ErrTimeout
		if d, ok := ctx.Deadline(); ok && !time.Now().Before(d) {
			f.err = fmt.Errorf("%w: %w", e, context.DeadlineExceeded)
		}
	case e.reason == RetiredCanceled && ctx.Err() != nil:
		f.kind = ctx.Err()
	case e.reason == RetiredClosed:
		f.kind = ErrClosed
	}
	return f
}

// close ends the connection for a reason: with an unbind (RFC 4511 section 4.3) where it is in order, and in bounded
// time whatever the peer does.
func (c *conn) close(reason RetireReason) {
	if c.wire.begin(time.Now().Add(closeTimeout)) == nil {
		_ = guard(c.ldap.Unbind)
	}
	c.wire.end(reason, errors.New("closed by the pool"))
	c.wait()
}

// wait lets go-ldap's goroutines end. They do so at once when the socket is closed; should they not, that is no
// reason to hold up the pool.
func (c *conn) wait() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.ldap.Close()
	}()
	select {
	case <-done:
	case <-time.After(closeTimeout):
	}
}
