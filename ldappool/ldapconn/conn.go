package ldapconn

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"authsvc/ldappool/tlscause"

	"github.com/go-ldap/ldap/v3"
)

const (
	// closeTimeout bounds each part of closing a connection.
	closeTimeout = 250 * time.Millisecond
	// maxKeptBuffer is the largest buffer that a connection keeps from one operation to the next.
	maxKeptBuffer = 64 << 10
	// sendBuffer is less than the send buffer of any socket. A request of that size is written
	// without waiting: when it is sent, nothing else is on its way.
	sendBuffer = 4 << 10
)

var (
	errNotice      = errors.New("notice of disconnection")
	errUnsolicited = errors.New("bytes that were not requested")
	errNoAnswer    = errors.New("no answer in time")
	errPeerClosed  = errors.New("closed by the peer")
	errClosed      = errors.New("closed by this side")
)

// Conn is a connection to a server. Its operations, Bind, BindExternal and Search, are called by
// one goroutine at a time; the other methods by any.
type Conn struct {
	conn   net.Conn // carries the messages: TLS, or raw itself
	raw    net.Conn // the socket
	system bool     // raw is the kernel's, with a send buffer

	large    *LargeAnswers // nil: no bound
	seen     tlscause.Seen // of the handshake
	received atomic.Bool   // the server sent a message, so that a later failure is not one of the handshake

	out []byte // the request of the operation under way

	answered   chan struct{} // one value when the answer of the operation under way is complete
	done       chan struct{} // closed when the connection has ended
	readerDone chan struct{} // closed when the reader has returned
	end        atomic.Pointer[EndError]

	mu     sync.Mutex // guards what follows, and the first write to end
	lastID int
	op     operation
}

// operation is one request and its answer.
type operation struct {
	open     bool // it is under way
	id       int
	request  byte // tag of the request; 0 before it is written
	deadline time.Time
	sent     bool // some of the request may have been sent
	answered bool // some of an answer arrived
	complete bool // all of it did
	messages int  // of the answer, so far
	size     int  // of these messages
	elements int  // of these messages
	large    bool // it has a place of Conn.large
	answer   *SearchResult
}

// start makes a Conn of a socket, and of the TLS connection over it if there is one, on which
// lastID requests have been sent.
func start(conn, raw net.Conn, lastID int, o *Options, seen tlscause.Seen) *Conn {
	c := &Conn{
		conn: conn, raw: raw, lastID: lastID, large: o.Large, seen: seen,
		answered: make(chan struct{}, 1), done: make(chan struct{}), readerDone: make(chan struct{}),
	}
	switch raw.(type) {
	case *net.TCPConn, *net.UnixConn:
		c.system = true
	}
	go c.read()
	return c
}

// Bind does a simple bind (RFC 4511 section 4.2). The connection has the identity of dn afterwards
// if the result's code is success, and an unknown one otherwise. It waits for the answer until
// deadline or until ctx ends, whichever is first; a zero deadline is none. An error is a [*Fault],
// or wraps [ErrInvalidRequest].
func (c *Conn) Bind(ctx context.Context, deadline time.Time, dn, password string, controls ...Control) (*Result, error) {
	if dn == "" || password == "" {
		return nil, fmt.Errorf("%w: a bind needs a DN and a password", ErrInvalidRequest)
	}
	r, err := c.do(ctx, deadline, tagBindRequest, func(b []byte) ([]byte, error) {
		return appendBind(b, dn, password, controls), nil
	}, bindSize(dn, password, controls))
	if err != nil {
		return nil, err
	}
	return &r.Result, nil
}

// BindExternal does a SASL bind with the mechanism EXTERNAL (RFC 4513 section 5.2.3): the server
// takes the identity of the connection's client certificate or, on a Unix socket, of this process.
// A dn that is not empty is asserted: a server that derives another identity should refuse it. The
// mechanism has one step, so the code saslBindInProgress (14) is a refusal like any other. It waits
// and fails as Bind does.
func (c *Conn) BindExternal(ctx context.Context, deadline time.Time, dn string) (*Result, error) {
	r, err := c.do(ctx, deadline, tagBindRequest, func(b []byte) ([]byte, error) {
		return appendBindExternal(b, dn), nil
	}, 0)
	if err != nil {
		return nil, err
	}
	return &r.Result, nil
}

// Search does a search (RFC 4511 section 4.5.1) as the identity that the connection has. A filter
// that is not zero is sent in place of the request's text. EnforceSizeLimit has no effect. It waits
// and fails as Bind does.
func (c *Conn) Search(ctx context.Context, deadline time.Time, req *ldap.SearchRequest, filter Filter) (*SearchResult, error) {
	return c.do(ctx, deadline, tagSearchRequest, func(b []byte) ([]byte, error) {
		return appendSearch(b, req, filter)
	}, 0)
}

// Done returns a channel that is closed when the connection has ended, for whatever reason.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err returns nil while the connection is open, and then an [*EndError], always the same one.
func (c *Conn) Err() error {
	if e := c.end.Load(); e != nil {
		return e
	}
	return nil
}

// Close ends the connection for the reason Closed and waits until its goroutine has ended. While no
// operation is under way, it sends an unbind first (RFC 4511 section 4.3). Each of the two takes at
// most 250 ms, whatever the server does. Closing a connection that has ended does nothing more.
func (c *Conn) Close() {
	c.unbind()
	c.Abort()
	select {
	case <-c.readerDone:
	case <-time.After(closeTimeout):
	}
}

// unbind sends an unbind if no operation is under way.
func (c *Conn) unbind() {
	id, err := c.reserve()
	if err != nil || c.raw.SetDeadline(time.Now().Add(closeTimeout)) != nil {
		return
	}
	b, err := appendMessage(nil, id, func(b []byte) ([]byte, error) { return appendUnbind(b), nil })
	if err == nil {
		_, _ = c.conn.Write(b) // an error is the end of the connection, which is next anyway
	}
}

// Abort ends the connection for the reason Closed, at once and without an unbind. An operation that
// is under way fails.
func (c *Conn) Abort() { c.finish(Closed, errClosed) }

// finish ends the connection for a reason. The first reason stays.
func (c *Conn) finish(reason Reason, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finishLocked(reason, err)
}

func (c *Conn) finishLocked(reason Reason, err error) {
	if c.end.Load() != nil {
		return
	}
	// Only the socket is closed: a TLS connection would send an alert and could wait for that. It
	// is closed before the end can be seen, so that a caller that sees the end can rely on it.
	_ = c.raw.Close()
	c.end.Store(&EndError{Reason: reason, Time: time.Now(), Idle: !c.op.open, Err: err})
	close(c.done)
}

// do sends one request and waits for its answer. encode appends the operation and its controls to a
// buffer that has room for size bytes.
func (c *Conn) do(ctx context.Context, deadline time.Time, request byte, encode func([]byte) ([]byte, error), size int) (*SearchResult, error) {
	id, err := c.reserve()
	if err != nil {
		return nil, err
	}
	c.out, err = appendMessage(slices.Grow(c.out[:0], size), id, encode)
	if err != nil {
		c.wipe(true)
		c.release()
		return nil, err
	}
	if d, ok := ctx.Deadline(); ok && (deadline.IsZero() || d.Before(deadline)) {
		deadline = d
	}
	if c.begin(request, deadline) {
		c.write(ctx, id)
	}
	c.wipe(request == tagBindRequest)
	select {
	case <-c.answered:
	case <-c.done:
	case <-ctx.Done():
		c.abandon(id, ctx.Err())
	}
	return c.settle()
}

// reserve reserves the connection for an operation and returns the message ID of its request.
func (c *Conn) reserve() (id int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.end.Load(); e != nil {
		return 0, &Fault{End: e}
	}
	if c.op.open {
		return 0, fmt.Errorf("%w: another operation is under way", ErrInvalidRequest)
	}
	c.lastID = c.lastID%math.MaxInt32 + 1
	c.op = operation{open: true, id: c.lastID, answer: &SearchResult{}}
	return c.lastID, nil
}

// release cancels an operation of which nothing was sent.
func (c *Conn) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.op.open = false
}

// begin sets the deadline of an operation, and reports whether its request can be written. From
// then on it counts as sent.
func (c *Conn) begin(request byte, deadline time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end.Load() != nil {
		return false
	}
	if err := c.raw.SetDeadline(deadline); err != nil {
		c.finishLocked(PeerClosed, err)
		return false
	}
	c.op.request, c.op.deadline, c.op.sent = request, deadline, true
	return true
}

// write sends the request.
func (c *Conn) write(ctx context.Context, id int) {
	if !c.system || len(c.out) > sendBuffer {
		// The write may wait for the server, and ctx must end that too.
		defer context.AfterFunc(ctx, func() { c.abandon(id, ctx.Err()) })()
	}
	n, err := c.conn.Write(c.out)
	if err == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n == 0 && c.conn == c.raw {
		c.op.sent = false // under TLS it is not known
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.finishLocked(Timeout, errNoAnswer)
	} else {
		c.finishLocked(PeerClosed, c.tlsFailure(err))
	}
}

// wipe clears the buffer of requests if it holds a secret, and drops it if it has become too large.
func (c *Conn) wipe(secret bool) {
	if secret {
		clear(c.out)
	}
	if cap(c.out) > maxKeptBuffer {
		c.out = nil
	}
}

// abandon ends the connection because the context of an operation has ended: the connection's
// identity is unknown, and an answer may still arrive. It does nothing if the answer has arrived.
func (c *Conn) abandon(id int, err error) {
	reason := Canceled
	if errors.Is(err, context.DeadlineExceeded) {
		reason, err = Timeout, errNoAnswer
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.op.id == id && c.op.open && !c.op.complete {
		c.finishLocked(reason, err)
	}
}

// settle ends the operation under way and returns its result.
func (c *Conn) settle() (*SearchResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	op := &c.op
	op.open = false
	answer := op.answer
	op.answer = nil
	if op.large {
		op.large = false
		<-c.large.places
	}
	if !op.complete {
		return nil, &Fault{End: c.end.Load(), Sent: op.sent, Answered: op.answered}
	}
	select {
	case <-c.answered:
	default:
	}
	if c.end.Load() == nil {
		// While the connection is idle, TLS may have to write: the answer to a change of keys. An
		// error here is also seen by the reader.
		_ = c.raw.SetDeadline(time.Time{})
	}
	return answer, nil
}
