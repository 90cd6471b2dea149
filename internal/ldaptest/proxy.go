package ldaptest

import (
	"net"
	"sync"
	"testing"
	"time"
)

// Faults are what a [Proxy] does to its connections. The zero value passes
// everything through. They apply to open connections as well as to new ones.
type Faults struct {
	// IdleCut ends a connection that carried nothing for this time, on both
	// sides, as a directory's idle limit or a firewall with manners does: with
	// FIN, or with RST if IdleReset is set. 0 is never.
	IdleCut   time.Duration
	IdleReset bool
	// IdleDrop makes the proxy forget a connection that carried nothing for this
	// time, as a firewall without manners does: it stays open, and whatever is
	// sent from then on is lost. The client does not learn of the server's
	// FIN. 0 is never.
	IdleDrop time.Duration
	// BlackHole accepts and swallows. A connection from which anything was
	// swallowed never works again; new ones do once this is false.
	BlackHole bool
	// Delay holds back each chunk read, in both directions.
	Delay time.Duration
	// BytesPerSecond limits each direction; 0 does not.
	BytesPerSecond int
	// Corrupt changes every byte that the server sends.
	Corrupt bool
	// HalfAnswer passes half of what the server sends next on a connection,
	// then ends that connection with FIN.
	HalfAnswer bool
}

// Proxy passes TCP connections to another address and breaks them on demand.
// Its methods may be called from any goroutine.
type Proxy struct {
	t        testing.TB
	target   string
	listener *listener
	start    time.Time // origin of the links' clocks

	mu      sync.Mutex
	faults  Faults             // guarded by mu
	changed chan struct{}      // guarded by mu; closed and replaced with faults
	links   map[*link]struct{} // guarded by mu
	closed  bool               // guarded by mu; new links end at once
}

// NewProxy starts a proxy before target, "host:port", that lives until the
// test ends. Nothing need listen there yet: the proxy dials for each
// connection, and resets the client if that fails.
func NewProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	p := &Proxy{
		t: tb, target: target, start: time.Now(),
		changed: make(chan struct{}), links: make(map[*link]struct{}),
	}
	var err error
	if p.listener, err = newListener(p.serve); err != nil {
		tb.Fatalf("start the proxy: %v", err)
	}
	tb.Cleanup(p.Close)
	return p
}

// Addr is where the proxy listens, "127.0.0.1:port".
func (p *Proxy) Addr() string { return p.listener.port.addr() }

// URL is "ldap://127.0.0.1:port".
func (p *Proxy) URL() string { return "ldap://" + p.Addr() }

// TLSURL is "ldaps://localhost:port", for a target that speaks TLS: the proxy
// itself does not.
func (p *Proxy) TLSURL() string {
	_, port, _ := net.SplitHostPort(p.Addr())
	return "ldaps://" + net.JoinHostPort("localhost", port)
}

// SetFaults replaces the faults at once.
func (p *Proxy) SetFaults(f Faults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = f
	close(p.changed)
	p.changed = make(chan struct{})
}

// current is the faults of now, and a channel that is closed when they change.
func (p *Proxy) current() (Faults, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults, p.changed
}

// StopListening has new connections refused. Open ones stay; see
// [Proxy.ResetAll].
func (p *Proxy) StopListening() { p.listener.close() }

// HangDials has new connections neither accepted nor refused, as a firewall
// does that drops SYN. Open ones stay. [Proxy.Listen] ends it.
func (p *Proxy) HangDials() {
	p.t.Helper()
	if err := p.listener.hang(); err != nil {
		p.t.Fatalf("have dials hang: %v", err)
	}
}

// Listen accepts connections again, on the same port.
func (p *Proxy) Listen() {
	p.t.Helper()
	if err := p.listener.open(); err != nil {
		p.t.Fatalf("listen again: %v", err)
	}
}

// CloseAll ends every connection with FIN on both sides.
func (p *Proxy) CloseAll() { p.endAll(false) }

// ResetAll ends every connection with RST on both sides.
func (p *Proxy) ResetAll() { p.endAll(true) }

// Accepted is how many connections there have been.
func (p *Proxy) Accepted() int { n, _, _ := p.listener.counts(); return n }

// Open is how many connections are open now. One that the client has closed
// counts until the proxy has read that.
func (p *Proxy) Open() int { _, n, _ := p.listener.counts(); return n }

// MaxOpen is how many connections were open at once, at most.
func (p *Proxy) MaxOpen() int { _, _, n := p.listener.counts(); return n }

// Close ends the proxy and waits for its goroutines. The test's cleanup calls
// it.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.listener.shutdown(p.CloseAll)
}

func (p *Proxy) endAll(rst bool) {
	p.mu.Lock()
	links := make([]*link, 0, len(p.links))
	for l := range p.links {
		links = append(links, l)
	}
	p.mu.Unlock()
	for _, l := range links {
		l.end(rst)
	}
}

// serve runs one connection to its end.
func (p *Proxy) serve(client net.Conn) {
	l := newLink(p, client)
	p.mu.Lock()
	p.links[l] = struct{}{}
	closed := p.closed
	p.mu.Unlock()
	defer func() {
		l.end(false)
		p.mu.Lock()
		delete(p.links, l)
		p.mu.Unlock()
	}()
	if !closed {
		l.run()
	}
}
