package ldaptest

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"authsvc/internal/ldapserver"
)

// Server is an LDAP server in this process, on a loopback port of its own. It
// counts requests and leaves the answers to its handler.
type Server struct {
	t        testing.TB
	tls      *tls.Config // ldaps, if set
	startTLS *tls.Config // StartTLS is answered, if set
	core     *ldapserver.Server
	listener *listener
	handler  atomic.Pointer[Handler]
	onAccept atomic.Pointer[func(*Conn)]

	mu     sync.Mutex
	counts map[Op]int // guarded by mu
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
	s := &Server{t: tb, counts: make(map[Op]int)}
	if handler == nil {
		handler = NewDirectory().Handle
	}
	s.SetHandler(handler)
	s.SetOnAccept(func(*Conn) {})
	for _, option := range options {
		option(s)
	}
	s.core = ldapserver.New(ldapserver.Config{
		Handler: s.handle, OnAccept: func(c *Conn) { (*s.onAccept.Load())(c) }, TLS: s.tls,
	})
	var err error
	if s.listener, err = newListener(s.core.ServeConn); err != nil {
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
func (s *Server) Conns() []*Conn { return s.core.Conns() }

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
func (s *Server) Close() { s.listener.shutdown(s.core.Close) }

// handle counts a request, answers StartTLS, and leaves the rest to the handler.
func (s *Server) handle(c *Conn, req Request) {
	s.mu.Lock()
	s.counts[req.Op]++
	s.mu.Unlock()
	if s.startTLS != nil && req.Op == OpExtended && req.Extended == StartTLSOID {
		if err := c.StartTLS(req, s.startTLS); err != nil {
			c.Close()
		}
		return
	}
	(*s.handler.Load())(c, req)
}
