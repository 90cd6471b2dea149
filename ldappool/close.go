package ldappool

import (
	"context"
	"time"

	"authsvc/ldappool/internal/core"
)

// closeGrace is how much longer than its context Close may take to close connections that callers
// still use.
const closeGrace = 100 * time.Millisecond

// Close rejects new operations and waiting callers, waits for the operations under way, and closes
// every connection. If ctx ends first, Close aborts the operations under way, and returns ctx's
// error at most a tenth of a second later. Close may be called again; each call waits for the end.
func (p *Pool) Close(ctx context.Context) error {
	first := false
	p.update(func(now time.Time) {
		first = !p.core.IsClosed()
		p.core.Close(now)
		p.timer.Stop()
	})
	p.cancel()
	if first {
		go p.finish()
	}
	var err error
	select {
	case <-p.drained:
	case <-ctx.Done():
		err = ctx.Err()
		p.abortAll()
	}
	if err == nil {
		select {
		case <-p.closed:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case <-p.closed:
	case <-time.After(closeGrace):
	}
	return err
}

// finish waits for the pool's goroutines to return, and for every connection to be closed.
func (p *Pool) finish() {
	p.work.Wait()
	p.mu.Lock()
	stores := p.stores
	p.stores = map[*core.Server]*[2]*store{}
	p.mu.Unlock()
	for _, both := range stores {
		for _, s := range both {
			s.pool.Close()
		}
	}
	p.watchers.Wait()
	close(p.closed)
}

// abortAll ends every connection that is in use.
func (p *Pool) abortAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.core.Conns() {
		if conn.Phase == core.InUse || conn.Phase == core.Checking {
			shellOf(conn).abort(core.ReasonClosed)
		}
	}
}
