package ldaptest

import (
	"fmt"
	"net"
	"sync"
)

// listener accepts connections on a claimed port, for the server and the
// proxy. It can be closed and opened again on the same port.
type listener struct {
	port  *port
	serve func(net.Conn) // runs in a goroutine of its own for each connection

	wg sync.WaitGroup // accept loops and serve calls

	mu       sync.Mutex
	ln       net.Listener          // guarded by mu; nil while closed
	hung     func()                // guarded by mu; ends what hang began
	done     bool                  // guarded by mu; set once by shutdown
	conns    map[net.Conn]struct{} // guarded by mu; connections being served
	accepted int                   // guarded by mu
	maxOpen  int                   // guarded by mu
}

// newListener claims a port and starts to accept.
func newListener(serve func(net.Conn)) (*listener, error) {
	p, err := claimPort(0)
	if err != nil {
		return nil, err
	}
	l := &listener{port: p, serve: serve, conns: make(map[net.Conn]struct{})}
	if err := l.open(); err != nil {
		p.release()
		return nil, err
	}
	return l, nil
}

// open listens. It does nothing if the listener is open.
func (l *listener) open() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ln != nil {
		return nil
	}
	l.unhang()
	if l.done {
		return fmt.Errorf("listen on %s: %w", l.port.addr(), net.ErrClosed)
	}
	ln, err := net.Listen("tcp", l.port.addr())
	if err != nil {
		return err
	}
	l.ln = ln
	l.wg.Go(func() { l.accept(ln) })
	return nil
}

// accept runs until ln is closed.
func (l *listener) accept(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		if !l.add(c) {
			_ = c.Close()
			return
		}
		l.wg.Go(func() {
			defer l.remove(c)
			l.serve(c)
		})
	}
}

// add counts a new connection; false says that the listener is shut down.
func (l *listener) add(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return false
	}
	l.conns[c] = struct{}{}
	l.accepted++
	l.maxOpen = max(l.maxOpen, len(l.conns))
	return true
}

func (l *listener) remove(c net.Conn) {
	_ = c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// close stops listening; the kernel refuses new connections from then on.
// Open ones stay. It does nothing if the listener is closed.
func (l *listener) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ln != nil {
		_ = l.ln.Close()
		l.ln = nil
	}
	l.unhang()
}

// unhang ends what hang began. l.mu is held.
func (l *listener) unhang() {
	if l.hung != nil {
		l.hung()
		l.hung = nil
	}
}

// shutdown stops listening for good, has abort close what is open, and waits
// for every goroutine.
func (l *listener) shutdown(abort func()) {
	l.mu.Lock()
	l.done = true
	l.mu.Unlock()
	l.close()
	abort()
	l.wg.Wait()
	l.port.release()
}

// counts are the connections accepted so far, open now, and most ever open.
func (l *listener) counts() (accepted, open, maxOpen int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.accepted, len(l.conns), l.maxOpen
}

// reset makes the kernel answer with RST instead of FIN, and closes c.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails only on a closed connection
	}
	_ = c.Close()
}
