package connlimit

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"time"
)

// Config says what a listener allows.
type Config struct {
	// MaxConns bounds the open connections. It must be positive.
	MaxConns int
	// Handshakes bounds the bytes and the processor time of TLS handshakes. It is for listeners
	// whose server speaks TLS.
	Handshakes bool
	// Dropped, if not nil, is called after a connection was closed to make room for another one.
	Dropped func()
}

// Listener bounds the connections that it accepts. Its server must call [Listener.ConnState].
//
// While MaxConns are open, each further one is accepted, and another one is closed for it: of the
// address that has the most open connections the one that has been quiet for longest, which may be
// one in the middle of a request. Connections that were held once ([Conn.Hold]) are closed only
// when there is no other. One that is held is never closed: while all are, further ones wait until
// one is released.
//
// An address that has a large part of all connections gets no place at the cost of another that has
// fewer: a further connection of it is closed if only such places are left.
type Listener struct {
	net.Listener

	cfg        Config
	handshakes chan struct{} // one element for each handshake that computes

	mu      sync.Mutex
	clients map[netip.Addr]*client // guarded by mu: those with open connections
	open    int                    // guarded by mu
	clock   uint64                 // guarded by mu; counts signs of life, see Conn.seen
	dropped uint64                 // guarded by mu
	room    *sync.Cond             // on mu: a connection was closed or released, or the listener was closed
	closed  bool                   // guarded by mu
	none    chan struct{}          // guarded by mu; closed while no connection is open
}

// client is one address and what it has.
type client struct {
	addr       netip.Addr
	handshakes chan struct{} // one element for each of its handshakes that computes or is the next one to
	open       int           // guarded by Listener.mu

	// Those that are not held, quiet for longest first. Guarded by Listener.mu.
	quiet [kinds]list.List // of *Conn
}

const (
	// largePart is the part of all connections, an eighth, above which an address does not get the
	// places of those that have fewer.
	largePart = 8
	// firstRequest is how long a stranger is given to send its first request.
	firstRequest = time.Second
)

// The kinds of connections, in the order in which they are closed.
const (
	stranger = iota // never held
	known           // held once
	kinds
)

// New returns a listener over l.
func New(l net.Listener, cfg Config) *Listener {
	// Half of the processors compute handshakes, the other half always serves those whose handshake
	// is done.
	computing := max(runtime.GOMAXPROCS(0)/2, 1)
	limited := &Listener{
		Listener: l, cfg: cfg, handshakes: make(chan struct{}, computing),
		clients: make(map[netip.Addr]*client), none: make(chan struct{}),
	}
	limited.room = sync.NewCond(&limited.mu)
	close(limited.none)
	return limited
}

// Accept returns the next connection, for which it closes another one when there are too many.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		inner, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		boundBuffers(inner)
		c := &Conn{
			Conn: inner, listener: l, accepted: time.Now(), handshake: l.cfg.Handshakes, budget: handshakeBytes,
			done: make(chan struct{}),
		}
		dropped, err := l.admit(c, addressOf(inner.RemoteAddr()))
		for _, d := range dropped {
			d.cut()
			l.notifyDropped()
		}
		if err == nil {
			return c, nil
		}
		_ = inner.Close() // nothing was said on it
		if !errors.Is(err, errNoPlace) {
			return nil, err
		}
		l.notifyDropped()
	}
}

func (l *Listener) notifyDropped() {
	if l.cfg.Dropped != nil {
		l.cfg.Dropped()
	}
}

// errNoPlace rejects a connection of an address that has many, when all other places are those of
// addresses that have fewer.
var errNoPlace = errors.New("connlimit: the address has too many connections")

// kernelBuffer is what the kernel keeps for one connection, each way, in bytes. Left alone it keeps
// megabytes of answers that a peer does not read, which count as the container's memory.
const kernelBuffer = 64 << 10

func boundBuffers(nc net.Conn) {
	if tcp, ok := nc.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(kernelBuffer)  // a connection that has ended meanwhile
		_ = tcp.SetWriteBuffer(kernelBuffer) // shows it when it is read
	}
}

// admit makes room for c and enters it. The caller must close the connections that were dropped.
func (l *Listener) admit(c *Conn, addr netip.Addr) (dropped []*Conn, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.open >= l.cfg.MaxConns && !l.closed {
		victim, spared := l.victimLocked(c, addr)
		if victim == nil && spared {
			l.dropped++
			return dropped, errNoPlace
		}
		if victim != nil {
			l.removeLocked(victim)
			l.dropped++
			dropped = append(dropped, victim)
			continue
		}
		l.room.Wait()
	}
	if l.open >= l.cfg.MaxConns { // closed: one that was accepted before has its place, if there is one
		return dropped, net.ErrClosed
	}
	c.client = l.clients[addr]
	if c.client == nil {
		c.client = &client{addr: addr, handshakes: make(chan struct{}, max(cap(l.handshakes)/2, 1))}
		l.clients[addr] = c.client
	}
	if l.open == 0 {
		l.none = make(chan struct{})
	}
	l.open++
	c.client.open++
	l.quietLocked(c)
	return dropped, nil
}

// quietLocked makes c the last one of its address and kind to be closed.
func (l *Listener) quietLocked(c *Conn) {
	l.clock++
	c.seen = l.clock
	c.quiet = c.client.quiet[c.kind].PushBack(c)
}

// heldLocked keeps c from being closed for another one.
func (l *Listener) heldLocked(c *Conn) {
	if c.quiet != nil {
		c.client.quiet[c.kind].Remove(c.quiet)
		c.quiet = nil
	}
}

// victimLocked returns the connection that is closed for a new one from an address, or nil while
// all are held. spared reports whether one was left alone because its address has fewer. It looks
// at every address, of which there are at most MaxConns.
func (l *Listener) victimLocked(c *Conn, addr netip.Addr) (_ *Conn, spared bool) {
	own := 0
	if client := l.clients[addr]; client != nil {
		own = client.open
	}
	for kind := range kinds {
		var victim *Conn
		for _, client := range l.clients {
			front := client.quiet[kind].Front()
			if front == nil || victim != nil && client.open < victim.client.open {
				continue
			}
			oldest := front.Value.(*Conn)
			if own > l.cfg.MaxConns/largePart && client.open < own && (kind == known || c.accepted.Sub(oldest.accepted) < firstRequest) {
				spared = true
				continue
			}
			if victim == nil || client.open > victim.client.open || oldest.seen < victim.seen {
				victim = oldest
			}
		}
		if victim != nil {
			return victim, false
		}
	}
	return nil, spared
}

// removeLocked takes c out of the books, once.
func (l *Listener) removeLocked(c *Conn) {
	if c.gone {
		return
	}
	c.gone = true
	l.heldLocked(c)
	if c.client.open--; c.client.open == 0 {
		delete(l.clients, c.client.addr)
	}
	if l.open--; l.open == 0 {
		close(l.none)
	}
	l.room.Signal()
}

// ConnState is the hook for [http.Server.ConnState].
func (l *Listener) ConnState(nc net.Conn, state http.ConnState) {
	c := Of(nc)
	if c == nil {
		return
	}
	switch state {
	case http.StateActive:
		c.handshakeDone() // its first request has been read
		c.touch()
	case http.StateIdle:
		c.touch()
	case http.StateClosed, http.StateHijacked:
		c.end()
	case http.StateNew:
	}
}

// Close stops accepting. Open connections stay.
func (l *Listener) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.room.Broadcast()
	return l.Listener.Close()
}

// Mark returns the present moment, for [Listener.CloseQuiet].
func (l *Listener) Mark() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clock
}

// CloseQuiet closes the connections that are not held and gave no sign of life since mark: those on
// which a request has not come to its end since, or an answer is not read.
func (l *Listener) CloseQuiet(mark uint64) {
	for _, c := range l.quietSince(mark) {
		c.cut()
	}
}

func (l *Listener) quietSince(mark uint64) (quiet []*Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, client := range l.clients {
		for kind := range kinds {
			for e := client.quiet[kind].Front(); e != nil; e = e.Next() {
				if c := e.Value.(*Conn); c.seen <= mark {
					quiet = append(quiet, c)
				}
			}
		}
	}
	return quiet
}

// Stat is a snapshot of a [Listener].
type Stat struct {
	Open, Max int
	Dropped   uint64 // connections closed to make room for others, since the start
}

// Stat returns a snapshot.
func (l *Listener) Stat() Stat {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stat{Open: l.open, Max: l.cfg.MaxConns, Dropped: l.dropped}
}

// Wait returns when no connection is open, or when ctx ends.
func (l *Listener) Wait(ctx context.Context) {
	l.mu.Lock()
	none := l.none
	l.mu.Unlock()
	select {
	case <-none:
	case <-ctx.Done():
	}
}

// Of returns the connection that a Listener accepted and a server passes to its hooks, with or
// without TLS around it; nil if it is another listener's.
func Of(nc net.Conn) *Conn {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	c, _ := nc.(*Conn)
	return c
}

// ipv6Network is how much of an IPv6 address its holder did not choose.
const ipv6Network = 64

// addressOf returns what connections are counted by. Peers without an IP address are one.
func addressOf(peer net.Addr) netip.Addr {
	tcp, ok := peer.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	if addr.Is6() {
		network, _ := addr.Prefix(ipv6Network) // never fails for IPv6
		addr = network.Addr()
	}
	return addr
}
