package connlimit

import (
	"container/list"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// handshakeBytes bounds what a peer sends until its first request has been read: 16 KiB of
// certificates, 20 KiB of headers, which is where net/http stops, a buffer of 4 KiB, and the rest
// of the handshake.
const handshakeBytes = 48 << 10

// errHandshakeTooLong ends a connection whose peer sends more than handshakeBytes without a
// request.
var errHandshakeTooLong = errors.New("TLS handshake of more than 48 KiB")

// Conn is a connection of a [Listener].
type Conn struct {
	net.Conn

	listener *Listener
	client   *client

	// Guarded by Listener.mu.
	quiet *list.Element // its place in client.quiet, or nil while it is held
	kind  int           // of client.quiet
	seen  uint64        // Listener.clock at its last sign of life
	gone  bool

	accepted time.Time
	// Of the goroutine that serves the connection, until the first request has been read.
	handshake bool
	budget    int

	computes  atomic.Bool // it has an element in both channels of handshakes
	closeOnce sync.Once
	done      chan struct{} // closed with the connection
}

// Read reads. During the handshake what follows it is computed under the bound on handshakes.
func (c *Conn) Read(p []byte) (int, error) {
	if !c.handshake {
		return c.Conn.Read(p)
	}
	c.leave()
	if c.budget <= 0 {
		return 0, errHandshakeTooLong
	}
	n, err := c.Conn.Read(p[:min(len(p), c.budget)])
	c.budget -= n
	if err == nil && !c.enter() {
		err = net.ErrClosed
	}
	return n, err
}

// Write writes. A peer that reads slowly does not hold up the handshakes of others.
func (c *Conn) Write(p []byte) (int, error) {
	if c.handshake {
		c.leave()
	}
	return c.Conn.Write(p)
}

// enter waits until the handshake may compute: first for the other handshakes of its address, then
// for those of the other addresses, so that it waits behind each address once for each read, of
// which a handshake has a few. It reports false if the connection was closed.
func (c *Conn) enter() bool {
	select {
	case c.client.handshakes <- struct{}{}:
	case <-c.done:
		return false
	}
	select {
	case c.listener.handshakes <- struct{}{}:
	case <-c.done:
		<-c.client.handshakes
		return false
	}
	c.computes.Store(true)
	select {
	case <-c.done: // perhaps before it was seen to compute
		c.leave()
		return false
	default:
		return true
	}
}

// leave lets the next handshake compute.
func (c *Conn) leave() {
	if c.computes.Swap(false) {
		<-c.listener.handshakes
		<-c.client.handshakes
	}
}

func (c *Conn) handshakeDone() {
	c.handshake = false
	c.leave()
}

// CloseWrite is for net/http, which so ends a connection whose request it did not read to the end.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close closes the connection.
func (c *Conn) Close() error {
	c.end()
	return c.Conn.Close()
}

// cut closes a connection that its peer may still use. That what was written gets lost is no
// matter.
func (c *Conn) cut() {
	c.end()
	_ = c.Conn.Close()
}

// end takes the connection out of the books.
func (c *Conn) end() {
	c.closeOnce.Do(func() { close(c.done) })
	c.leave()
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.listener.removeLocked(c)
}

// touch makes the connection the last one to be closed of its address and kind.
func (c *Conn) touch() {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	if c.quiet != nil {
		c.listener.heldLocked(c)
		c.listener.quietLocked(c)
	}
}

// Hold keeps the connection from being closed for another one until [Conn.Release], and afterwards
// makes it one of the last to be closed. A nil Conn does nothing.
func (c *Conn) Hold() {
	if c == nil {
		return
	}
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.listener.heldLocked(c)
	c.kind = known
}

// Release ends Hold.
func (c *Conn) Release() {
	if c == nil {
		return
	}
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	if !c.gone && c.quiet == nil {
		c.listener.quietLocked(c)
		c.listener.room.Signal()
	}
}
