package ldapserver

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Conn is a client's connection, seen from the server. Its methods may be called from any
// goroutine, also after the handler has returned. A write to a connection that has ended is
// dropped.
type Conn struct {
	raw     net.Conn // the TCP connection, under whatever TLS there is
	number  int      // in order of acceptance
	done    chan struct{}
	started sync.WaitGroup // what Go started
	once    sync.Once      // closes done

	opened  time.Time
	traffic atomic.Int64 // when a byte last went either way, as a duration since opened

	reader *bufio.Reader // used by the serving goroutine alone

	mu       sync.Mutex
	out      net.Conn   // guarded by mu; raw or TLS over it
	identity string     // guarded by mu
	writing  sync.Mutex // held during a write, so that messages do not mix
}

func newConn(raw net.Conn) *Conn {
	c := &Conn{raw: raw, opened: time.Now(), done: make(chan struct{})}
	c.out = observed{raw, c}
	c.reader = bufio.NewReader(c.out)
	return c
}

// read waits for the next request.
func (c *Conn) read() (Request, error) {
	p, err := readPacket(c.reader)
	if err != nil {
		return Request{}, err
	}
	return parseRequest(p)
}

// LastTraffic returns when a byte last went either way.
func (c *Conn) LastTraffic() time.Time { return c.opened.Add(time.Duration(c.traffic.Load())) }

// observed is the TCP connection, and notes its traffic.
type observed struct {
	net.Conn

	c *Conn
}

func (o observed) Read(p []byte) (int, error)  { return o.note(o.Conn.Read(p)) }
func (o observed) Write(p []byte) (int, error) { return o.note(o.Conn.Write(p)) }

func (o observed) note(n int, err error) (int, error) {
	if n > 0 {
		o.c.traffic.Store(int64(time.Since(o.c.opened)))
	}
	return n, err
}

// Done is closed when the server closes this connection, and when it has read
// that the client did. A handler that does not return reads nothing.
func (c *Conn) Done() <-chan struct{} { return c.done }

// RemoteAddr is the client's address.
func (c *Conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// Go runs f in a goroutine, for example for a late answer while other requests are read. The server
// waits for f, so f must watch [Conn.Done] wherever it waits. Only a handler may call Go, or what
// Go started.
func (c *Conn) Go(f func()) { c.started.Go(f) }

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
	if code == ldap.LDAPResultSuccess {
		c.setIdentity(req.DN)
	} else {
		c.setIdentity("")
	}
	c.WriteRaw(BindResponse(req.MessageID, code, diagnostic, controls...))
}

// Reply answers a request with a result alone, whatever its operation. A bind leaves the connection
// anonymous. There is no answer to an unbind or an abandon.
func (c *Conn) Reply(req Request, r Result) {
	if req.Op == OpBind {
		c.setIdentity("")
	}
	if b := Response(req.MessageID, req.Op, r); b != nil {
		c.WriteRaw(b)
	}
}

func (c *Conn) setIdentity(dn string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.identity = dn
}

// ReplySearch answers a search with entries and the end of the search, in one write.
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
		if i > 0 {
			select {
			case <-time.After(pause):
			case <-c.done:
				return
			}
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
	secure := tls.Server(buffered{c.out, c.reader}, cfg)
	// Close ends the connection under it, and so the handshake.
	if err := secure.HandshakeContext(context.Background()); err != nil {
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
func (c *Conn) Reset() {
	c.end(func() {
		if tcp, ok := c.raw.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // then the kernel sends RST instead of FIN; fails on a closed connection only
		}
		_ = c.raw.Close()
	})
}

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
