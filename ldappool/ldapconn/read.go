package ldapconn

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"authsvc/ldappool/tlscause"
)

var errPanic = errors.New("the answer makes the decoder panic")

// readBuffer is the size of a connection's buffer for what it reads. It grows with the bytes that
// arrive.
const readBuffer = 4 << 10

// read reads what the server sends until the connection ends.
func (c *Conn) read() {
	defer close(c.readerDone)
	defer func() {
		if r := recover(); r != nil { // an answer must not crash the process
			c.refuse(errPanic)
		}
	}()
	buffer := make([]byte, 0, readBuffer)
	for c.end.Load() == nil {
		if len(buffer) == cap(buffer) {
			buffer = append(make([]byte, 0, 2*cap(buffer)), buffer...)
		}
		n, err := c.conn.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		if n > 0 {
			c.received.Store(true)
			used := c.receive(buffer)
			if used > 0 {
				buffer = append(buffer[:0], buffer[used:]...)
			}
			if len(buffer) == 0 && cap(buffer) > maxKeptBuffer {
				buffer = make([]byte, 0, readBuffer)
			}
		}
		if err != nil && !c.late(err) {
			c.finish(c.readFailure(err))
		}
	}
}

// late reports whether err is the deadline of an operation that has already ended. Then the
// connection is still good.
func (c *Conn) late(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var next time.Time
	if c.op.open && !c.op.complete {
		next = c.op.deadline
	}
	if !next.IsZero() && !time.Now().Before(next) {
		return false
	}
	return c.raw.SetReadDeadline(next) == nil
}

func (c *Conn) readFailure(err error) (Reason, error) {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Timeout, errNoAnswer
	case errors.Is(err, io.EOF):
		if failure := c.tlsFailure(err); failure.cause.Cause != tlscause.Other {
			return PeerClosed, failure
		}
		return PeerClosed, errPeerClosed
	}
	return PeerClosed, c.tlsFailure(err) // TLS also exchanges messages of its own
}

// tlsFailure returns the error of a connection. With TLS 1.3 it may still be the result of the
// handshake.
func (c *Conn) tlsFailure(err error) *tlsError {
	if c.received.Load() {
		return newTLSError(err, tlscause.Seen{})
	}
	return newTLSError(err, c.seen)
}

// receive reads the messages at the beginning of b and returns how many bytes they were. It ends
// the connection if b is not a part of the answer to the operation under way.
func (c *Conn) receive(b []byte) (used int) {
	for used < len(b) {
		size, err := messageSize(b[used:])
		switch {
		case err != nil:
			c.refuse(err)
			return used
		case size == 0 || used+size > len(b):
			c.arriving(b[used:], size)
			c.admit(len(b) - used)
			return used
		}
		if !c.admit(size) || !c.accept(b[used:used+size]) {
			return used
		}
		used += size
	}
	return used
}

// refuse ends the connection because the server broke the protocol.
func (c *Conn) refuse(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.op.answered = c.op.request != 0 // though not by a valid answer
	c.finishLocked(Protocol, err)
}

// arriving checks a message of which only the part b has arrived. size is its size, or 0 while it
// is not known.
func (c *Conn) arriving(b []byte, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.expectLocked(operationTag(b), max(size, len(b))); err != nil {
		c.finishLocked(Protocol, err)
	}
}

// expectLocked checks that a message can belong to the answer of the operation under way. op is its
// operation, or 0 while that is not known, and size is at least its size.
func (c *Conn) expectLocked(op byte, size int) error {
	if !c.op.open || c.op.request == 0 || c.op.complete {
		return errUnsolicited
	}
	c.op.answered = true
	entry := op == tagSearchEntry && c.op.request == tagSearchRequest
	switch {
	case op != 0 && !entry && size > maxResult:
		return errResult
	case c.op.size+size > maxAnswer:
		return errTooLong
	}
	return nil
}

// accept adds a whole message to the answer to the operation under way. If the message does not
// belong to it, accept ends the connection and returns false.
func (c *Conn) accept(b []byte) bool {
	c.mu.Lock()
	elements := c.op.elements // no other goroutine uses it while the operation is open
	c.mu.Unlock()
	m, err := readMessage(b, &elements)
	if err == nil && m.isNotice() {
		c.notice(&m)
		return false
	}
	c.mu.Lock()
	if mismatch := c.expectLocked(m.op, len(b)); mismatch != nil {
		err = mismatch
	}
	answer, id, request := c.op.answer, c.op.id, c.op.request
	c.mu.Unlock()
	complete := false
	if err == nil {
		// Decoding can take long, so the lock is not held. If the operation is abandoned meanwhile,
		// so is its answer.
		complete, err = answer.decode(&m, id, request)
	}
	if err != nil {
		c.refuse(err)
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.op.messages++
	c.op.size += len(b)
	c.op.elements = elements
	if complete && c.end.Load() == nil {
		c.op.complete = true
		c.answered <- struct{}{}
	}
	return true
}

// notice ends the connection because of the server's notice of disconnection.
func (c *Conn) notice(m *message) {
	code, err := m.body.integer(tagEnumerated)
	if err != nil {
		c.refuse(err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.op.answered = c.op.messages > 0 // a notice is not an answer
	c.finishLocked(Notice, fmt.Errorf("%w, result code %d", errNotice, code))
}
