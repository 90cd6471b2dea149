package demo

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// relay copies the bytes of one client to the core and back.
type relay struct {
	client, server *net.TCPConn
	idle           *idleWatch // nil: may idle for ever
	born           time.Time
	// lastTraffic is when a byte last went either way, as a duration since born.
	lastTraffic atomic.Int64
}

// idleWatch says what is too long without traffic, and what to do then.
type idleWatch struct {
	limit time.Duration
	cut   func(idle time.Duration)
}

// newRelay takes over both connections.
func newRelay(client, server *net.TCPConn) *relay {
	return &relay{client: client, server: server, born: time.Now()}
}

// run copies until both directions have ended, and closes both connections. A
// client that only closes its writing side still gets its answers.
func (r *relay) run() {
	var copies sync.WaitGroup
	copies.Go(func() {
		_, _ = io.Copy(r.server, &observed{r.client, r})
		_ = r.server.CloseWrite()
	})
	copies.Go(func() {
		_, _ = io.Copy(r.client, &observed{r.server, r})
		r.close()
	})
	done := make(chan struct{})
	var watch sync.WaitGroup
	if r.idle != nil {
		watch.Go(func() { r.watch(done) })
	}
	copies.Wait()
	close(done)
	watch.Wait()
}

// watch cuts the relay once it has idled for the limit, or returns when done.
func (r *relay) watch(done <-chan struct{}) {
	timer := time.NewTimer(r.idle.limit)
	defer timer.Stop()
	for {
		select {
		case <-done:
			return
		case <-timer.C:
		}
		idle := time.Since(r.born) - time.Duration(r.lastTraffic.Load())
		if idle >= r.idle.limit {
			r.idle.cut(idle)
			return
		}
		timer.Reset(r.idle.limit - idle)
	}
}

// reset makes the client see a reset connection rather than an orderly end: with
// SO_LINGER 0 the kernel sends RST.
func (r *relay) reset() {
	_ = r.client.SetLinger(0)
	r.close()
}

// close closes both connections, which ends run. It may be called repeatedly.
func (r *relay) close() {
	_ = r.client.Close()
	_ = r.server.Close()
}

// observed reads from a connection and notes the traffic.
type observed struct {
	io.Reader
	relay *relay
}

// Read implements io.Reader.
func (o *observed) Read(p []byte) (int, error) {
	n, err := o.Reader.Read(p)
	if n > 0 {
		o.relay.lastTraffic.Store(int64(time.Since(o.relay.born)))
	}
	return n, err
}
