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

// lab is a directory that injects a cell's fault into its connections. Its network is net.Pipe, so
// that it works in a synctest bubble. A write blocks until it is read, as on a socket whose buffers
// are full.
type lab struct {
	cell
	certs  matrixCerts
	users  *host         // the directory itself
	ended  chan struct{} // closed when the test ends
	gate   chan struct{} // a search under way gets the fault when this is closed
	served sync.WaitGroup

	mu       sync.Mutex // guards what follows
	armed    bool
	injected int
	lines    []*line // all there ever were
}

func newLab(c cell, certs matrixCerts) *lab {
	return &lab{cell: c, certs: certs, users: newFakeNet().hosts["one"], ended: make(chan struct{}), gate: make(chan struct{})}
}

// line is a connection, seen from the directory.
type line struct {
	lab          *lab
	raw          *lineEnd // the directory's end
	client       *lineEnd
	peer         *peer         // answers by way of raw, or TLS over it
	first        string        // kind of the first request
	clientClosed chan struct{} // closed when the client has closed its end

	mu         sync.Mutex // guards what follows
	faultNext  bool       // the next request gets the fault
	notReading bool       // no more requests are read
	slow       bool
	reset      bool
}

// lineEnd is one end of a line.
type lineEnd struct {
	net.Conn
	line *line
	once sync.Once
}

// dial is a dialFunc.
func (b *lab) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if b.fault == faultDrop && b.dialling() && b.takeFault() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	l := &line{lab: b, clientClosed: make(chan struct{})}
	ours, theirs := net.Pipe()
	l.client, l.raw = &lineEnd{Conn: ours, line: l}, &lineEnd{Conn: theirs, line: l}
	b.mu.Lock()
	b.lines = append(b.lines, l)
	b.mu.Unlock()
	b.served.Go(l.serve)
	return l.client, nil
}

// takeFault reports whether to inject the fault now, and counts it.
func (b *lab) takeFault() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.armed || b.injected > 0 && !b.lasting {
		return false
	}
	b.injected++
	return true
}

// open are the lines that the client has not closed, oldest first.
func (b *lab) open() []*line {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.lines), func(l *line) bool { return isClosed(l.clientClosed) })
}

// arm injects the fault from now on: at the moment's request, or immediately into open connections
// if the fault does not need a request.
func (b *lab) arm() {
	b.mu.Lock()
	b.armed = true
	b.mu.Unlock()
	for _, l := range b.open() {
		idle := b.at == atIdle
		if (idle || b.stopsReading() && l.next(b.at)) && b.takeFault() {
			l.faultIdle(idle)
		}
	}
}

// clear ends the fault for later requests.
func (b *lab) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.armed = false
}

// end ends every goroutine of the lab.
func (b *lab) end() {
	close(b.ended)
	for _, l := range b.open() {
		_ = l.raw.Close()
	}
	b.served.Wait()
}

// stopsReading reports whether the fault begins before the request is read.
func (b *lab) stopsReading() bool { return b.fault == faultDrop || b.fault == faultStallBefore }

// isPredictable reports whether a connection's next request follows from those before it. A ping
// does not.
func (b *lab) isPredictable() bool { return b.at != atSearchPing && b.at != atBindPing }

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

// faultIdle injects the fault into a connection without a request under way: with idle at the
// moment itself, otherwise before the moment's request.
func (l *line) faultIdle(idle bool) {
	switch {
	case l.lab.stopsReading():
		l.set(func() { l.notReading = true })
		_ = l.raw.SetReadDeadline(time.Unix(1, 0)) // wakes serve
	case l.lab.fault == faultStallAfter:
		l.set(func() { l.faultNext = true })
	case idle:
		l.injectFault(&request{id: 99, kind: "bind"})
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
	early := l.lab.dialling() && l.lab.fault != faultTLSCut && (l.lab.over != overStartTLS || l.lab.fault == faultStallBefore)
	if early && l.lab.takeFault() && l.faultFirstExchange() {
		return
	}
	conn, err := l.secure()
	if err != nil {
		return
	}
	l.peer = &peer{host: l.lab.users, conn: conn}
	in := bufio.NewReader(conn)
	for {
		if l.lab.stopsReading() && l.lab.isPredictable() && l.next(l.lab.at) && !l.get(&l.notReading) && l.lab.takeFault() {
			l.set(func() { l.notReading = true })
		}
		if l.get(&l.notReading) {
			l.stopReading()
			return
		}
		packet, err := ber.ReadPacket(in)
		if err != nil && !l.get(&l.notReading) {
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
	if l.get(&l.faultNext) || l.lab.at.asks(l.first, &r) && l.lab.takeFault() {
		if l.lab.at == atBusyClose {
			wait(l.lab.gate, l.lab.ended)
		}
		if done, over := l.injectFault(&r); done {
			return over
		}
	}
	if r.kind == "unbind" {
		return true
	}
	l.peer.answer(&r)
	return false
}

// faultFirstExchange injects the fault before a byte is read, or after the ClientHello if the fault
// is in an answer. It reports whether the connection has ended.
func (l *line) faultFirstExchange() (over bool) {
	answers := !l.lab.stopsReading() && l.lab.fault != faultFIN && l.lab.fault != faultRST
	switch {
	case l.lab.over == overTLS && answers:
		_, _ = l.raw.Read(make([]byte, 4096))
	case l.lab.fault == faultStallAfter:
		l.set(func() { l.faultNext = true })
		return false
	}
	if l.lab.fault == faultHalf || l.lab.fault == faultHalfFIN {
		_, _ = l.raw.Write([]byte{22, 3, 3, 0, 80, 2}) // of a ServerHello, RFC 8446 section 5.1
	}
	l.peer = &peer{host: l.lab.users, conn: l.raw}
	done, over := l.injectFault(&request{kind: "nothing"})
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
		if l.lab.fault != faultTLSCut && l.lab.dialling() && l.lab.takeFault() {
			r.kind = "starttls"
			if done, _ := l.injectFault(&r); done {
				return nil, io.EOF
			}
		}
		l.peer.write(ldaptest.ExtendedResponse(r.id, ldap.LDAPResultSuccess, "", "", nil))
	}
	if l.lab.fault == faultTLSCut && l.lab.takeFault() {
		_, _ = l.raw.Read(make([]byte, 4096)) // the ClientHello
		return nil, io.EOF
	}
	conn := tls.Server(l.raw, l.lab.certs.server)
	return conn, conn.Handshake()
}

// injectFault injects the fault in answer to r. done reports that r is answered, or never will be;
// over, that the line is not read any more.
func (l *line) injectFault(r *request) (done, over bool) {
	answer := codeAnswer(r, ldap.LDAPResultSuccess)
	switch l.lab.fault {
	case faultFIN, faultTLSCut:
		_ = l.raw.Close()
	case faultRST:
		l.set(func() { l.reset = true })
		_ = l.raw.Close()
	case faultDrop:
		l.swallow()
	case faultStallBefore, faultStallAfter:
		l.waitForClose()
	case faultHalf:
		l.send(answer[:len(answer)/2])
		if r.id == 99 {
			return true, false // on an idle connection, which is still read
		}
		l.waitForClose()
	case faultHalfFIN:
		l.send(answer[:len(answer)/2])
		_ = l.raw.Close()
	case faultGarbage:
		l.peer.write(ldaptest.Garbage())
		return true, false
	case faultNotice:
		l.peer.write(ldaptest.NoticeOfDisconnection(ldap.LDAPResultUnavailable, ""))
		return true, false
	case faultBusy:
		l.peer.write(codeAnswer(r, ldap.LDAPResultBusy))
		return true, false
	case faultNoStartTLS:
		l.peer.write(codeAnswer(r, ldap.LDAPResultProtocolError))
		return true, false
	case faultSlow:
		l.set(func() { l.slow = true })
		return false, false
	}
	return true, true
}

// send writes b if it is not empty: an empty write to a pipe also blocks until it is read.
func (l *line) send(b []byte) {
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

// stopReading reads nothing more, or drops what it reads, until the client closes the line.
func (l *line) stopReading() {
	_ = l.raw.SetReadDeadline(time.Time{})
	if l.lab.fault == faultDrop {
		l.swallow()
		return
	}
	l.waitForClose()
}

func (l *line) swallow()      { _, _ = io.Copy(io.Discard, l.raw.Conn) }
func (l *line) waitForClose() { wait(l.clientClosed, l.lab.ended) }

// wait waits for either.
func wait(a, b <-chan struct{}) {
	select {
	case <-a:
	case <-b:
	}
}

// Read returns the kernel's error of a reset.
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
		case <-e.line.clientClosed:
		}
		if _, err := e.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

// Close reports to the directory's end that the client has closed.
func (e *lineEnd) Close() error {
	if e == e.line.client {
		e.once.Do(func() { close(e.line.clientClosed) })
	}
	return e.Conn.Close()
}
