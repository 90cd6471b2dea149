package ldappool

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// matrixCerts are both ends of TLS. Within a bubble it is another year, so both use that of the
// certificate.
type matrixCerts struct{ server, client *tls.Config }

func newMatrixCerts(t testing.TB) matrixCerts {
	t.Helper()
	ca, now := ldaptest.NewCA(t), time.Now()
	certs := matrixCerts{ca.ServerTLS(t, "one"), ca.ClientTLS("one")}
	certs.client.Time = func() time.Time { return now }
	return certs
}

// lab is a directory that harms its connections as a cell has it. Its network is net.Pipe, so that
// it lives in a bubble; a write is stuck there until it is read, as on a socket whose buffers are
// full.
type lab struct {
	cell
	certs  matrixCerts
	users  *host         // the directory itself
	ended  chan struct{} // closed when the test ends
	gate   chan struct{} // a search under way is harmed when this is closed
	served sync.WaitGroup

	mu    sync.Mutex // guards what follows
	armed bool
	hits  int
	lines []*line // all there ever were
}

func newLab(c cell, certs matrixCerts) *lab {
	return &lab{cell: c, certs: certs, users: newMemory().hosts["one"], ended: make(chan struct{}), gate: make(chan struct{})}
}

// line is a connection, seen from the directory.
type line struct {
	lab    *lab
	raw    *lineEnd // the directory's end
	client *lineEnd
	peer   *peer         // answers by way of raw, or TLS over it
	first  string        // kind of the first request
	gone   chan struct{} // closed when the client has closed its end

	mu     sync.Mutex // guards what follows
	doomed bool       // whatever is asked next is harmed
	hushed bool       // nothing is read any more
	slow   bool
	reset  bool
}

// lineEnd is one end of a line.
type lineEnd struct {
	net.Conn
	line *line
	once sync.Once
}

// dial is a dialFunc.
func (b *lab) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if b.fault == harmDrop && b.dialling() && b.strikes() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	l := &line{lab: b, gone: make(chan struct{})}
	ours, theirs := net.Pipe()
	l.client, l.raw = &lineEnd{Conn: ours, line: l}, &lineEnd{Conn: theirs, line: l}
	b.mu.Lock()
	b.lines = append(b.lines, l)
	b.mu.Unlock()
	b.served.Go(l.serve)
	return l.client, nil
}

// strikes reports whether the fault happens now, and counts it.
func (b *lab) strikes() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.armed || b.hits > 0 && !b.lasting {
		return false
	}
	b.hits++
	return true
}

// open are the lines that the client has not closed, oldest first.
func (b *lab) open() []*line {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.lines), func(l *line) bool { return isClosed(l.gone) })
}

// arm makes the fault happen from now on: at the moment's request, or at once to connections that
// are there where the fault is not one of an answer.
func (b *lab) arm() {
	b.mu.Lock()
	b.armed = true
	b.mu.Unlock()
	for _, l := range b.open() {
		idle := b.at == atIdle
		if (idle || b.hushes() && l.next(b.at)) && b.strikes() {
			l.befall(idle)
		}
	}
}

// clear ends the fault for all that comes.
func (b *lab) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.armed = false
}

// end lets every goroutine of the lab end.
func (b *lab) end() {
	close(b.ended)
	for _, l := range b.open() {
		_ = l.raw.Close()
	}
	b.served.Wait()
}

// hushes reports whether the fault is there before the request is read.
func (b *lab) hushes() bool { return b.fault == harmDrop || b.fault == harmStallBefore }

// foreseen reports whether a connection's next request follows from those before it: a ping may be
// due or not.
func (b *lab) foreseen() bool { return b.at != atSearchPing && b.at != atBindPing }

// next reports whether the line's next request is that of the moment, as far as can be known before
// it comes.
func (l *line) next(at moment) bool {
	switch at {
	case atServiceBind:
		return l.first == ""
	case atSearchPing, atSearch, atBusyClose:
		return l.first == "bind"
	case atBindPing, atBind, atFreshBind, atUnsentBind, atWrongBind:
		return l.first == "ping"
	case atClose:
		return l.first != ""
	}
	return false
}

// asks reports whether r is the moment's request. first is the kind of the first that came on the
// connection: a service bind is that of one that searches.
func (at moment) asks(first string, r *request) bool {
	switch at {
	case atServiceBind:
		return r.kind == "bind" && r.dn == ldaptest.ServiceDN
	case atSearchPing:
		return r.kind == "ping" && first == "bind"
	case atBindPing:
		return r.kind == "ping" && first == "ping"
	case atSearch, atBusyClose:
		return r.kind == "search"
	case atBind, atFreshBind, atUnsentBind, atWrongBind:
		return r.kind == "bind" && r.dn != ldaptest.ServiceDN
	case atClose:
		return r.kind == "unbind"
	}
	return false
}

// befall harms a connection on which nothing is being asked. Where idle, that is the moment;
// otherwise it is before the moment's request.
func (l *line) befall(idle bool) {
	switch {
	case l.lab.hushes():
		l.set(func() { l.hushed = true })
		_ = l.raw.SetReadDeadline(time.Unix(1, 0)) // wakes serve
	case l.lab.fault == harmStallAfter:
		l.set(func() { l.doomed = true })
	case idle:
		l.suffer(&request{id: 99, kind: "bind"})
	}
}

func (l *line) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

func (l *line) get(field *bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return *field
}

// serve answers the line until it ends.
func (l *line) serve() {
	defer l.raw.Close()
	early := l.lab.dialling() && l.lab.fault != harmTLSCut && (l.lab.over != overStartTLS || l.lab.fault == harmStallBefore)
	if early && l.lab.strikes() && l.greet() {
		return
	}
	conn, err := l.secure()
	if err != nil {
		return
	}
	l.peer = &peer{host: l.lab.users, conn: conn}
	in := bufio.NewReader(conn)
	for {
		if l.lab.hushes() && l.lab.foreseen() && l.next(l.lab.at) && !l.get(&l.hushed) && l.lab.strikes() {
			l.set(func() { l.hushed = true })
		}
		if l.get(&l.hushed) {
			l.hush()
			return
		}
		packet, err := ber.ReadPacket(in)
		if err != nil && !l.get(&l.hushed) {
			return
		}
		if err == nil && l.handle(packet) {
			return
		}
	}
}

// handle answers a request, and reports whether the line is over.
func (l *line) handle(packet *ber.Packet) (over bool) {
	r := readRequest(packet)
	if l.first == "" {
		l.first = r.kind
	}
	if l.get(&l.doomed) || l.lab.at.asks(l.first, &r) && l.lab.strikes() {
		if l.lab.at == atBusyClose {
			wait(l.lab.gate, l.lab.ended)
		}
		if done, over := l.suffer(&r); done {
			return over
		}
	}
	if r.kind == "unbind" {
		return true
	}
	l.peer.answer(&r)
	return false
}

// greet harms a connection before a byte of it was read, or behind the ClientHello where it is by
// an answer, and reports whether it is over.
func (l *line) greet() (over bool) {
	answers := !l.lab.hushes() && l.lab.fault != harmFIN && l.lab.fault != harmRST
	switch {
	case l.lab.over == overTLS && answers:
		_, _ = l.raw.Read(make([]byte, 4096))
	case l.lab.fault == harmStallAfter:
		l.set(func() { l.doomed = true })
		return false
	}
	if l.lab.fault == harmHalf || l.lab.fault == harmHalfFIN {
		_, _ = l.raw.Write([]byte{22, 3, 3, 0, 80, 2}) // of a ServerHello, RFC 8446 section 5.1
	}
	l.peer = &peer{host: l.lab.users, conn: l.raw}
	done, over := l.suffer(&request{kind: "nothing"})
	return done && over
}

// secure does what the transport asks for.
func (l *line) secure() (net.Conn, error) {
	switch l.lab.over {
	case overPlain:
		return l.raw, nil
	case overStartTLS:
		packet, err := ber.ReadPacket(l.raw)
		if err != nil {
			return nil, err
		}
		r := readRequest(packet)
		l.peer = &peer{host: l.lab.users, conn: l.raw}
		if l.lab.fault != harmTLSCut && l.lab.dialling() && l.lab.strikes() {
			r.kind = "starttls"
			if done, _ := l.suffer(&r); done {
				return nil, io.EOF
			}
		}
		l.peer.write(ldaptest.ExtendedResponse(r.id, ldap.LDAPResultSuccess, "", "", nil))
	}
	if l.lab.fault == harmTLSCut && l.lab.strikes() {
		_, _ = l.raw.Read(make([]byte, 4096)) // the ClientHello
		return nil, io.EOF
	}
	conn := tls.Server(l.raw, l.lab.certs.server)
	return conn, conn.Handshake()
}

// suffer does the fault to the line, in answer to r. done says that r is answered by that, or
// never; over, that the line is not read any more.
func (l *line) suffer(r *request) (done, over bool) {
	answer := codeAnswer(r, ldap.LDAPResultSuccess)
	switch l.lab.fault {
	case harmFIN, harmTLSCut:
		_ = l.raw.Close()
	case harmRST:
		l.set(func() { l.reset = true })
		_ = l.raw.Close()
	case harmDrop:
		l.swallow()
	case harmStallBefore, harmStallAfter:
		l.hang()
	case harmHalf:
		l.say(answer[:len(answer)/2])
		if r.id == 99 {
			return true, false // on an idle connection, whose reading goes on
		}
		l.hang()
	case harmHalfFIN:
		l.say(answer[:len(answer)/2])
		_ = l.raw.Close()
	case harmGarbage:
		l.peer.write(ldaptest.Garbage())
		return true, false
	case harmNotice:
		l.peer.write(ldaptest.NoticeOfDisconnection(ldap.LDAPResultUnavailable, ""))
		return true, false
	case harmBusy:
		l.peer.write(codeAnswer(r, ldap.LDAPResultBusy))
		return true, false
	case harmNoStartTLS:
		l.peer.write(codeAnswer(r, ldap.LDAPResultProtocolError))
		return true, false
	case harmSlow:
		l.set(func() { l.slow = true })
		return false, false
	}
	return true, true
}

// say sends b, if there is any: the other end of a pipe takes note of nothing, too.
func (l *line) say(b []byte) {
	if len(b) > 0 {
		l.peer.write(b)
	}
}

// codeAnswer answers r with a result code alone.
func codeAnswer(r *request, code uint16) []byte {
	switch r.kind {
	case "bind":
		return ldaptest.BindResponse(r.id, code, "")
	case "search", "ping":
		return ldaptest.SearchDone(r.id, code, "")
	case "starttls":
		return ldaptest.ExtendedResponse(r.id, code, "", "", nil)
	}
	return nil
}

// hush reads nothing more, or loses what it reads, until the client closes the line.
func (l *line) hush() {
	_ = l.raw.SetReadDeadline(time.Time{})
	if l.lab.fault == harmDrop {
		l.swallow()
		return
	}
	l.hang()
}

func (l *line) swallow() { _, _ = io.Copy(io.Discard, l.raw.Conn) }
func (l *line) hang()    { wait(l.gone, l.lab.ended) }

// wait waits for either.
func wait(a, b <-chan struct{}) {
	select {
	case <-a:
	case <-b:
	}
}

// Read tells of a reset as the kernel does.
func (e *lineEnd) Read(b []byte) (int, error) {
	n, err := e.Conn.Read(b)
	if e == e.line.client && errors.Is(err, io.EOF) && e.line.get(&e.line.reset) {
		err = &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	}
	return n, err
}

// Write is slow where the line is, in the direction of the client.
func (e *lineEnd) Write(b []byte) (int, error) {
	for i := range b {
		if e != e.line.raw || !e.line.get(&e.line.slow) {
			n, err := e.Conn.Write(b[i:])
			return i + n, err
		}
		select {
		case <-time.After(time.Second):
		case <-e.line.gone:
		}
		if _, err := e.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

// Close tells the directory's end.
func (e *lineEnd) Close() error {
	if e == e.line.client {
		e.once.Do(func() { close(e.line.gone) })
	}
	return e.Conn.Close()
}
