package demo

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// acceptPause is waited after an accept that failed, for lack of descriptors say.
const acceptPause = 50 * time.Millisecond

// front accepts the clients and relays each to the core. It owns their sockets.
type front struct {
	listener *net.TCPListener
	core     *core
	cutIdle  time.Duration // 0: never
	log      *slog.Logger
	cuts     atomic.Int64
	closing  chan struct{} // closed by stop
	wg       sync.WaitGroup

	mu     sync.Mutex
	relays map[*relay]struct{} // guarded by mu; nil once stopped
}

// startFront accepts on the listener, which it owns from now on.
func startFront(listener *net.TCPListener, c *core, cutIdle time.Duration, log *slog.Logger) *front {
	f := &front{
		listener: listener, core: c, cutIdle: cutIdle, log: log,
		closing: make(chan struct{}),
		relays:  make(map[*relay]struct{}),
	}
	f.wg.Go(f.accept)
	return f
}

// accept serves clients until the listener is closed.
func (f *front) accept() {
	for {
		client, err := f.listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			f.log.Error("demo directory: accept", "err", err)
			select {
			case <-time.After(acceptPause):
			case <-f.closing:
				return
			}
			continue
		}
		f.wg.Go(func() { f.serve(client) })
	}
}

// serve relays one client until either side ends or idles too long.
func (f *front) serve(client *net.TCPConn) {
	server, err := f.core.dial()
	if err != nil {
		f.log.Error("demo directory: connect a client", "client", client.RemoteAddr().String(), "err", err)
		_ = client.Close()
		return
	}
	r := newRelay(client, server)
	if !f.track(r) {
		r.close()
		return
	}
	defer f.untrack(r)
	if f.cutIdle > 0 {
		r.idle = &idleWatch{limit: f.cutIdle, cut: func(idle time.Duration) { f.cut(r, idle) }}
	}
	r.run()
}

// cut resets a client's connection and tells the operator.
func (f *front) cut(r *relay, idle time.Duration) {
	total := f.cuts.Add(1)
	f.log.Info("demo directory: reset an idle connection",
		"client", r.client.RemoteAddr().String(), "idle", idle.Round(time.Millisecond), "cuts", total)
	r.reset()
}

// track registers a relay to be closed by stop; false where stop has been called.
func (f *front) track(r *relay) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.relays == nil {
		return false
	}
	f.relays[r] = struct{}{}
	return true
}

// untrack forgets a relay that has ended.
func (f *front) untrack(r *relay) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.relays, r)
}

// stop closes the listener and every client, and waits for the relays to end.
func (f *front) stop() error {
	close(f.closing)
	err := f.listener.Close()
	f.mu.Lock()
	for r := range f.relays {
		r.close()
	}
	f.relays = nil
	f.mu.Unlock()
	f.wg.Wait()
	return err
}
