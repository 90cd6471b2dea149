package ldaptest

import (
	"crypto/tls"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// Handler answers a request, or does not. It runs in the connection's own
// goroutine: until it returns, nothing more is read from that connection. It
// must not outlive the server: whatever it waits for, it waits for
// [Conn.Done] too.
type Handler func(c *Conn, req Request)

// Server is an LDAP server in this process, on a loopback port of its own. It
// decodes requests, counts them, and leaves the answers to its handler.
type Server struct {
	t        testing.TB
	tls      *tls.Config // ldaps, if set
	startTLS *tls.Config // StartTLS is answered, if set
	listener *listener
	handler  atomic.Pointer[Handler]
	onAccept atomic.Pointer[func(*Conn)]

	mu       sync.Mutex
	conns    map[*Conn]struct{} // guarded by mu
	numbered int                // guarded by mu; connections given a number
	counts   map[Op]int         // guarded by mu
	closed   bool               // guarded by mu; new connections end at once
}

// ServerOption changes a server before it starts.
type ServerOption func(*Server)

// WithTLS makes the server speak TLS from the first byte (ldaps).
func WithTLS(cfg *tls.Config) ServerOption { return func(s *Server) { s.tls = cfg } }

// WithStartTLS makes the server answer StartTLS by itself; the handler does
// not see that request.
func WithStartTLS(cfg *tls.Config) ServerOption { return func(s *Server) { s.startTLS = cfg } }

// WithOnAccept is [Server.SetOnAccept] before the first connection.
func WithOnAccept(f func(*Conn)) ServerOption { return func(s *Server) { s.SetOnAccept(f) } }

// NewServer starts a server that lives until the test ends. A nil handler is
// that of [NewDirectory].
func NewServer(tb testing.TB, handler Handler, options ...ServerOption) *Server {
	tb.Helper()
	s := &Server{t: tb, conns: make(map[*Conn]struct{}), counts: make(map[Op]int)}
	if handler == nil {
		handler = NewDirectory().Handle
	}
	s.SetHandler(handler)
	s.SetOnAccept(func(*Conn) {})
	for _, option := range options {
		option(s)
	}
	var err error
	if s.listener, err = newListener(s.serve); err != nil {
		tb.Fatalf("start the LDAP server: %v", err)
	}
	tb.Cleanup(s.Close)
	return s
}

// URL is "ldap://127.0.0.1:port", or "ldaps://localhost:port" of a server
// with TLS.
func (s *Server) URL() string {
	if s.tls != nil {
		_, port, _ := net.SplitHostPort(s.Addr())
		return "ldaps://" + net.JoinHostPort("localhost", port)
	}
	return "ldap://" + s.Addr()
}

// Addr is the host and port, "127.0.0.1:port".
func (s *Server) Addr() string { return s.listener.port.addr() }

// SetHandler changes who answers from the next request on.
func (s *Server) SetHandler(h Handler) { s.handler.Store(&h) }

// SetOnAccept has f called for each new connection before anything is read
// from it: to send something unasked, to [Conn.Stall], to close. With TLS the
// handshake has not taken place yet, so what f writes goes out in the clear.
func (s *Server) SetOnAccept(f func(*Conn)) { s.onAccept.Store(&f) }

// Accepted is how many connections there have been.
func (s *Server) Accepted() int { n, _, _ := s.listener.counts(); return n }

// Open is how many connections are open now. A connection that the client has
// closed counts until the server has read that.
func (s *Server) Open() int { _, n, _ := s.listener.counts(); return n }

// MaxOpen is how many connections were open at once, at most.
func (s *Server) MaxOpen() int { _, _, n := s.listener.counts(); return n }

// Count is how many requests of that operation were read, StartTLS included.
func (s *Server) Count(op Op) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[op]
}

// Conns are the open connections, oldest first, for messages that nobody
// asked for and for closing them one by one.
func (s *Server) Conns() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	conns := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	slices.SortFunc(conns, func(a, b *Conn) int { return a.number - b.number })
	return conns
}

// CloseAll closes every connection with FIN.
func (s *Server) CloseAll() {
	for _, c := range s.Conns() {
		c.Close()
	}
}

// ResetAll closes every connection with RST.
func (s *Server) ResetAll() {
	for _, c := range s.Conns() {
		c.Reset()
	}
}

// StopListening has new connections refused. Open ones stay; a directory that
// goes away whole is this and [Server.ResetAll] or [Server.CloseAll].
func (s *Server) StopListening() { s.listener.close() }

// Listen accepts connections again, on the same port.
func (s *Server) Listen() {
	s.t.Helper()
	if err := s.listener.open(); err != nil {
		s.t.Fatalf("listen again: %v", err)
	}
}

// Close ends the server and waits for its goroutines. The test's cleanup
// calls it.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.listener.shutdown(s.CloseAll)
}

// serve runs one connection to its end.
func (s *Server) serve(nc net.Conn) {
	c := s.newConn(nc)
	defer s.forget(c)
	(*s.onAccept.Load())(c)
	if s.tls != nil {
		if err := c.upgrade(s.tls); err != nil {
			return
		}
	}
	for {
		req, err := c.read()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.counts[req.Op]++
		s.mu.Unlock()
		if s.startTLS != nil && req.Op == OpExtended && req.Extended == StartTLSOID {
			if err := c.StartTLS(req, s.startTLS); err != nil {
				return
			}
			continue
		}
		(*s.handler.Load())(c, req)
	}
}

func (s *Server) newConn(nc net.Conn) *Conn {
	c := newConn(nc)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.numbered++
	c.number = s.numbered
	s.conns[c] = struct{}{}
	if s.closed {
		c.Close()
	}
	return c
}

// forget closes c and waits for what its handlers started.
func (s *Server) forget(c *Conn) {
	c.Close()
	c.wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}
