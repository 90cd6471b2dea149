package ldaptest

import (
	"bufio"
	"crypto/tls"
	"net"
	"sync"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// Conn is a client's connection, seen from the server. Its methods may be
// called from any goroutine, also after the handler has returned. A write to
// a connection that is gone is dropped: the other side's absence is often
// what a test is about.
type Conn struct {
	raw    net.Conn // the TCP connection, under whatever TLS there is
	number int      // in order of acceptance
	done   chan struct{}
	wg     sync.WaitGroup // what Go started
	once   sync.Once      // closes done

	reader *bufio.Reader // used by the serving goroutine alone

	mu       sync.Mutex
	out      net.Conn   // guarded by mu; raw or TLS over it
	identity string     // guarded by mu
	writing  sync.Mutex // held during a write, so that messages do not mix
}

func newConn(raw net.Conn) *Conn {
	return &Conn{raw: raw, out: raw, reader: bufio.NewReader(raw), done: make(chan struct{})}
}

// read waits for the next request.
func (c *Conn) read() (Request, error) {
	p, err := ber.ReadPacket(c.reader)
	if err != nil {
		return Request{}, err
	}
	return parseRequest(p)
}

// Done is closed when the server closes this connection, and when it has read
// that the client did. A handler that does not return reads nothing.
func (c *Conn) Done() <-chan struct{} { return c.done }

// RemoteAddr is the client's address.
func (c *Conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// Go runs f beside the connection's reading, for an answer that comes late
// while other requests are read. The server waits for f, so f must watch
// [Conn.Done] wherever it waits.
func (c *Conn) Go(f func()) { c.wg.Go(f) }

// Identity is the DN of the last successful bind that [Conn.ReplyBind]
// answered; empty is anonymous, which any failed bind makes it (RFC 4511,
// section 4.2.1).
func (c *Conn) Identity() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.identity
}

// ReplyBind answers a bind and records whom the connection now belongs to.
func (c *Conn) ReplyBind(req Request, code uint16, diagnostic string, controls ...Control) {
	c.mu.Lock()
	c.identity = ""
	if code == ldap.LDAPResultSuccess {
		c.identity = req.DN
	}
	c.mu.Unlock()
	c.WriteRaw(BindResponse(req.MessageID, code, diagnostic, controls...))
}

// ReplySearch answers a search with entries and the end of the search, in one
// write.
func (c *Conn) ReplySearch(req Request, code uint16, entries ...Entry) {
	var b []byte
	for _, e := range entries {
		b = append(b, SearchEntry(req.MessageID, e)...)
	}
	c.WriteRaw(append(b, SearchDone(req.MessageID, code, "")...))
}

// ReplyExtended answers an extended request, without name and with value
// unless that is nil.
func (c *Conn) ReplyExtended(req Request, code uint16, diagnostic string, value []byte) {
	c.WriteRaw(ExtendedResponse(req.MessageID, code, diagnostic, "", value))
}

// Notice sends a Notice of Disconnection and leaves the connection open.
func (c *Conn) Notice(code uint16, diagnostic string) {
	c.WriteRaw(NoticeOfDisconnection(code, diagnostic))
}

// WriteRaw sends bytes as they are, in one write.
func (c *Conn) WriteRaw(b []byte) {
	c.mu.Lock()
	out := c.out
	c.mu.Unlock()
	c.writing.Lock()
	defer c.writing.Unlock()
	_, _ = out.Write(b)
}

// WriteSlowly sends bytes one by one with a pause before each but the first.
// It returns early when the connection ends.
func (c *Conn) WriteSlowly(b []byte, pause time.Duration) {
	for i := range b {
		if i > 0 && !wait(pause, c.done) {
			return
		}
		c.WriteRaw(b[i : i+1])
	}
}

// StartTLS answers a StartTLS request with success and does the handshake
// (RFC 4511, section 4.14). Only a handler may call it.
func (c *Conn) StartTLS(req Request, cfg *tls.Config) error {
	c.WriteRaw(ExtendedResponse(req.MessageID, ldap.LDAPResultSuccess, "", StartTLSOID, nil))
	return c.upgrade(cfg)
}

// upgrade does the server's side of a TLS handshake.
func (c *Conn) upgrade(cfg *tls.Config) error {
	secure := tls.Server(buffered{c.raw, c.reader}, cfg)
	if err := secure.Handshake(); err != nil {
		return err
	}
	c.reader = bufio.NewReader(secure)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = secure
	return nil
}

// Stall reads nothing more and returns when the server closes the connection:
// call it last in a handler. The client is not told anything; its requests
// fill the kernel's buffers.
func (c *Conn) Stall() { <-c.done }

// Close ends the connection with FIN, or with RST if the kernel holds bytes
// that were not read yet. With TLS there is no close_notify.
func (c *Conn) Close() { c.end(func() { _ = c.raw.Close() }) }

// Reset ends the connection with RST.
func (c *Conn) Reset() { c.end(func() { reset(c.raw) }) }

func (c *Conn) end(how func()) {
	c.once.Do(func() {
		how()
		close(c.done)
	})
}

// buffered reads through a buffer that may hold the first bytes already.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// wait lets d pass; false says that stop was closed before.
func wait(d time.Duration, stop <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-stop:
		return false
	}
}
