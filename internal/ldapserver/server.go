package ldapserver

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync"
	"time"
)

// Handler answers a request, or does not. It runs in the connection's own goroutine: until it
// returns, nothing more is read from that connection. Wherever it waits, it also waits for
// [Conn.Done], so that it ends when the server closes.
type Handler func(c *Conn, req Request)

// Config configures a Server.
type Config struct {
	// Handler answers the requests.
	Handler Handler
	// OnAccept, unless it is nil, is called for each new connection before anything is read from
	// it. With TLS the handshake has not taken place yet.
	OnAccept func(c *Conn)
	// TLS, unless it is nil, is spoken from the first byte (ldaps).
	TLS *tls.Config
}

// Server serves connections. Its methods may be called from several goroutines at once.
type Server struct {
	cfg     Config
	serving sync.WaitGroup // calls of ServeConn

	mu       sync.Mutex
	conns    map[*Conn]struct{} // guarded by mu
	accepted int                // guarded by mu; the number of the last connection
	closed   bool               // guarded by mu; new connections end at once
}

// New returns a Server without connections.
func New(cfg Config) *Server { return &Server{cfg: cfg, conns: make(map[*Conn]struct{})} }

// acceptPause is the wait after a failed accept, for example for lack of descriptors.
const acceptPause = 50 * time.Millisecond

// Serve accepts connections from l and serves each in a goroutine, until l is closed and the
// connections have ended. It calls failed with other errors of l, and goes on.
func (s *Server) Serve(l net.Listener, failed func(error)) {
	var serving sync.WaitGroup
	defer serving.Wait()
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			failed(err)
			time.Sleep(acceptPause)
			continue
		}
		serving.Go(func() { s.ServeConn(c) })
	}
}

// ServeConn serves one connection to its end, and closes it.
func (s *Server) ServeConn(nc net.Conn) {
	c := s.add(nc)
	if c == nil {
		_ = nc.Close()
		return
	}
	defer s.remove(c)
	if s.cfg.OnAccept != nil {
		s.cfg.OnAccept(c)
	}
	if s.cfg.TLS != nil && c.upgrade(s.cfg.TLS) != nil {
		return
	}
	for {
		req, err := c.read()
		if err != nil {
			return
		}
		s.cfg.Handler(c, req)
	}
}

// add registers a connection. It returns nil if the server is closed.
func (s *Server) add(nc net.Conn) *Conn {
	c := newConn(nc)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.serving.Add(1)
	s.accepted++
	c.number = s.accepted
	s.conns[c] = struct{}{}
	return c
}

// remove closes c and waits for what its handlers started.
func (s *Server) remove(c *Conn) {
	c.Close()
	c.started.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.serving.Done()
}

// Conns returns the open connections, oldest first.
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

// Close closes every connection and waits for the calls of ServeConn to return. New connections are
// closed at once. It does not close listeners, and may be called repeatedly.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	for _, c := range s.Conns() {
		c.Close()
	}
	s.serving.Wait()
}
