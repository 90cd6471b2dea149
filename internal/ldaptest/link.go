package ldaptest

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// link is one connection through a proxy.
type link struct {
	proxy  *Proxy
	client net.Conn

	last atomic.Int64 // when a byte last passed, in ns since proxy.start
	lost atomic.Bool  // nothing passes any more

	ctx    context.Context // ends with the link; bounds the dial
	cancel context.CancelFunc

	mu     sync.Mutex
	server net.Conn // guarded by mu; nil until dialled
	ended  bool     // guarded by mu
}

func newLink(p *Proxy, client net.Conn) *link {
	l := &link{proxy: p, client: client}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.last.Store(int64(time.Since(p.start)))
	return l
}

// run passes bytes until either side ends.
func (l *link) run() {
	if f, _ := l.proxy.current(); f.BlackHole {
		l.swallow()
		return
	}
	server, err := l.dial()
	if err != nil {
		l.end(true)
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { l.pump(server, l.client, false) })
	wg.Go(func() { l.pump(l.client, server, true) })
	wg.Go(l.watchIdle)
	wg.Wait()
}

// swallow reads from the client alone until it goes or is cut for idling.
func (l *link) swallow() {
	l.lost.Store(true)
	var wg sync.WaitGroup
	wg.Go(l.watchIdle)
	l.pump(nil, l.client, false)
	wg.Wait()
}

func (l *link) dial() (net.Conn, error) {
	dialer := net.Dialer{Timeout: patience}
	server, err := dialer.DialContext(l.ctx, "tcp", l.proxy.target)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		_ = server.Close()
		return nil, net.ErrClosed
	}
	l.server = server
	return server, nil
}

// end closes both sides, with RST if rst is set. Only the first call counts.
func (l *link) end(rst bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.ended = true
	l.cancel()
	for _, c := range []net.Conn{l.client, l.server} {
		switch {
		case c == nil:
		case rst:
			reset(c)
		default:
			_ = c.Close()
		}
	}
}

// pump passes what src sends to dst, and src's end to both. The end of the
// server is kept from the client of a lost link; the end of the client is not,
// so that a proxy's count of open connections is the count of its clients.
func (l *link) pump(dst, src net.Conn, fromServer bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		f := l.touch()
		if n > 0 && !l.lost.Load() && !l.forward(dst, buf[:n], fromServer, f) {
			return
		}
		if err == nil {
			continue
		}
		if !l.lost.Load() || !fromServer {
			l.end(errors.Is(err, syscall.ECONNRESET))
		}
		return
	}
}

// touch notes that something happened, and whether it came too late.
func (l *link) touch() Faults {
	f, _ := l.proxy.current()
	now := time.Since(l.proxy.start)
	idle := now - time.Duration(l.last.Swap(int64(now)))
	if f.BlackHole || f.IdleDrop > 0 && idle >= f.IdleDrop {
		l.lost.Store(true)
	}
	return f
}

// forward passes one chunk on; false says that the link has ended.
func (l *link) forward(dst net.Conn, b []byte, fromServer bool, f Faults) bool {
	if f.Delay > 0 && !wait(f.Delay, l.ctx.Done()) {
		return false
	}
	if fromServer && f.Corrupt {
		for i := range b {
			b[i] ^= 0x55
		}
	}
	half := fromServer && f.HalfAnswer
	if half {
		b = b[:len(b)/2]
	}
	if err := l.write(dst, b, f.BytesPerSecond); err != nil {
		l.end(errors.Is(err, syscall.ECONNRESET))
		return false
	}
	if half {
		l.end(false)
	}
	return !half
}

// write sends b, at most perSecond bytes in a second unless that is 0, in
// pieces of a fiftieth of a second.
func (l *link) write(dst net.Conn, b []byte, perSecond int) error {
	if perSecond == 0 {
		_, err := dst.Write(b)
		return err
	}
	piece := max(1, perSecond/50)
	for len(b) > 0 {
		n := min(piece, len(b))
		if !wait(time.Duration(n)*time.Second/time.Duration(perSecond), l.ctx.Done()) {
			return io.ErrClosedPipe
		}
		if _, err := dst.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// watchIdle cuts the link when it has been idle for too long, whatever that
// is at the time. It returns when the link has ended.
func (l *link) watchIdle() {
	for l.ctx.Err() == nil {
		f, changed := l.proxy.current()
		var due <-chan time.Time // never, while no limit is set
		if f.IdleCut > 0 {
			idle := time.Since(l.proxy.start) - time.Duration(l.last.Load())
			if idle >= f.IdleCut {
				l.end(f.IdleReset)
				return
			}
			due = time.After(f.IdleCut - idle)
		}
		select {
		case <-due:
		case <-changed:
		case <-l.ctx.Done():
		}
	}
}

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
