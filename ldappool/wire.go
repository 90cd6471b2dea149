package ldappool

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// wire is the net.Conn beneath go-ldap. It follows the messages both ways, so that it knows of every exchange
// what go-ldap does not tell: whether the request left, whether any of an answer came, and with which result
// code. It ends the connection at once when the peer does, says goodbye, or sends anything that nobody asked for.
type wire struct {
	net.Conn          // carries the messages: TLS, or raw itself
	raw      net.Conn // the socket
	onEnd    func()   // called once, when the connection has ended, by whoever ended it

	owing error // of the reading goroutine: what Read returns next

	mu       sync.Mutex // guards what follows
	in       framer
	x        exchange
	open     bool      // an exchange is under way
	deadline time.Time // of the exchange; zero without one
	ending   *ending
}

// exchange is one request and its answer, as seen on the wire.
type exchange struct {
	id       int64
	request  byte  // tag of the request; 0 before it is written
	sent     bool  // some of it may have left this machine
	answered bool  // some of an answer came
	final    bool  // the answer is complete
	code     int64 // its result code
	excused  bool  // it was complete when the deadline came
	messages int   // whole ones of it
	size     int   // bytes of it
}

// ending is why a connection is over.
type ending struct {
	reason RetireReason
	err    error
	at     time.Time
	idle   bool // no exchange was under way
}

func (e *ending) Error() string { return e.err.Error() }
func (e *ending) Unwrap() error { return e.err }

var (
	errNotice     = errors.New("notice of disconnection")
	errUnasked    = errors.New("bytes that nobody asked for")
	errWrongReply = errors.New("an answer that does not fit the request")
	errNoAnswer   = errors.New("no answer in time")
)

func newWire(conn, raw net.Conn) *wire {
	return &wire{Conn: conn, raw: raw, onEnd: func() {}}
}

// begin opens an exchange that must be over by deadline. It fails where the connection is over already.
func (w *wire) begin(deadline time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ending != nil {
		return w.ending
	}
	w.x, w.open, w.deadline, w.in.elements.count = exchange{code: -1}, true, deadline, 0
	return w.raw.SetDeadline(deadline)
}

// finish closes the exchange and tells what it was, and how the connection ended if it did.
func (w *wire) finish() (exchange, *ending) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open, w.deadline = false, time.Time{}
	if w.ending == nil {
		// An error here is the socket's end, which the reader sees too.
		_ = w.raw.SetDeadline(time.Time{})
	}
	return w.x, w.ending
}

// over tells how the connection ended, or nil while it lives.
func (w *wire) over() *ending {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ending
}

// end closes the socket for a reason. The first reason stays.
func (w *wire) end(reason RetireReason, err error) {
	w.mu.Lock()
	first := w.ending == nil
	if first {
		w.ending = &ending{reason, err, time.Now(), !w.open}
		// Only the socket: a TLS connection would try to say goodbye and might wait for that. And under the lock: who sees
		// the ending may count on the socket being closed.
		_ = w.raw.Close()
	}
	w.mu.Unlock()
	if first {
		w.onEnd()
	}
}

// fail is end, and gives the reason that stayed.
func (w *wire) fail(reason RetireReason, err error) *ending {
	w.end(reason, err)
	return w.over()
}

// Close ends the connection; go-ldap calls it when it gives up for a reason of its own.
func (w *wire) Close() error {
	w.end(RetiredPeerClosed, net.ErrClosed)
	return nil
}

// Read gives go-ldap what the peer sent, as far as it is what was asked for.
func (w *wire) Read(b []byte) (int, error) {
	for {
		if w.owing != nil {
			return 0, w.owing
		}
		n, err := w.Conn.Read(b)
		if n > 0 {
			n, w.owing = w.receive(b[:n])
		}
		if err != nil && w.owing == nil && !w.late(err) {
			w.owing = w.fail(readFailure(err))
		}
		if n > 0 {
			return n, nil
		}
	}
}

// late tells whether err is the deadline of an exchange that is over: the connection has nothing wrong then.
func (w *wire) late(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open && !time.Now().Before(w.deadline) {
		if !w.x.final || w.x.excused {
			return false
		}
		// go-ldap has what it needs and only has to get round to it. That may not take for ever.
		w.x.excused = true
		w.deadline = time.Now().Add(closeTimeout)
	}
	return w.raw.SetReadDeadline(w.deadline) == nil
}

func readFailure(err error) (RetireReason, error) {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return RetiredTimeout, errNoAnswer
	case errors.Is(err, io.EOF):
		return RetiredPeerClosed, errors.New("closed by the peer")
	}
	return RetiredPeerClosed, err
}

// receive looks at bytes that came and says how many of them go-ldap may have. An answer that is complete
// is handed over even where the connection ends right behind it.
func (w *wire) receive(b []byte) (int, error) {
	w.mu.Lock()
	good, reason, err := w.follow(b)
	w.mu.Unlock()
	if err != nil {
		return good, w.fail(reason, err)
	}
	return good, nil
}

// follow moves the exchange on by b. w.mu is held.
func (w *wire) follow(b []byte) (good int, reason RetireReason, err error) {
	for good < len(b) {
		used, m, done, err := w.in.next(b[good:])
		switch {
		case err != nil:
			w.x.answered = true // by what is no answer; where no request is under way nobody asks
			return good, RetiredProtocol, err
		case done && m.id == 0 && m.op == tagExtendedAnswer:
			w.x.answered = w.x.messages > 0 // a notice, in one piece or several, is no answer
			return good, RetiredNotice, fmt.Errorf("%w, result code %d", errNotice, m.code)
		case !w.open || w.x.request == 0 || w.x.final:
			return good, RetiredProtocol, errUnasked
		}
		w.x.answered = true
		w.x.size += used
		if w.x.size > maxAnswer {
			return good, RetiredProtocol, errTooLong
		}
		if done {
			if err := w.x.accept(m); err != nil {
				return good, RetiredProtocol, err
			}
			w.x.messages++
		}
		good += used
	}
	return good, "", nil
}

// accept takes a message as part of the answer, or says why it is none.
func (x *exchange) accept(m message) error {
	if m.id != x.id {
		return fmt.Errorf("%w: message id %d, not %d", errWrongReply, m.id, x.id)
	}
	switch {
	case x.request == tagBindRequest && m.op == tagBindResponse,
		x.request == tagSearchRequest && m.op == tagSearchDone:
		x.final, x.code = true, m.code
	case x.request == tagSearchRequest && (m.op == tagSearchEntry || m.op == tagSearchRef):
	default:
		return fmt.Errorf("%w: operation %#x to request %#x", errWrongReply, m.op, x.request)
	}
	return nil
}

// Write sends a request; go-ldap writes each in one piece.
func (w *wire) Write(b []byte) (int, error) {
	if err := w.request(b); err != nil {
		return 0, err
	}
	n, err := w.Conn.Write(b)
	if n == 0 && err != nil && w.Conn == w.raw {
		w.unsent()
	}
	if err != nil {
		reason := RetiredPeerClosed
		if errors.Is(err, os.ErrDeadlineExceeded) {
			reason, err = RetiredTimeout, errNoAnswer
		}
		return n, w.fail(reason, err)
	}
	return n, nil
}

// request notes the request that is about to leave. From here on it counts as sent.
func (w *wire) request(b []byte) error {
	var f framer
	_, m, done, err := f.next(b)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.ending != nil:
		return w.ending
	case err != nil:
		return err
	case !done || !w.open || w.x.request != 0:
		return errors.New("ldappool: a write that is not one request of the exchange under way")
	}
	w.x.id, w.x.request, w.x.sent = m.id, m.op, true
	return nil
}

// unsent takes back that the request left: the socket took no byte of it.
func (w *wire) unsent() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.x.sent = false
}
