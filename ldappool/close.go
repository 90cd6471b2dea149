package ldappool

import (
	"context"
	"time"

	"authsvc/ldappool/internal/core"
)

// closeGrace is how much longer than its context Close may take to tidy up when callers did not end
// in time.
const closeGrace = 100 * time.Millisecond

// Close refuses new operations, rejects callers that wait, lets those that have a connection
// finish, and closes every connection. When ctx ends first, it cuts the connections under them, and
// returns ctx's error at most a tenth of a second later. Close may be called again; each call waits
// for the end.
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
		p.cutAll()
	}
	if err == nil {
		select {
		case <-p.gone:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case <-p.gone:
	case <-time.After(closeGrace):
	}
	return err
}

// finish waits for everything of the pool's own, and for every connection to be closed.
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
	close(p.gone)
}

// cutAll ends every connection under whoever uses it.
func (p *Pool) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.core.Conns() {
		if conn.Phase == core.InUse || conn.Phase == core.Checking {
			shellOf(conn).cutBy(core.ReasonClosed)
		}
	}
}
