package ldappool

import (
	"context"
	"errors"
	"time"
)

// closeGrace is how much longer than its context Close may take to tidy up when callers did not end in time.
const closeGrace = 100 * time.Millisecond

// Close refuses new operations, turns away callers that wait, lets those that have a connection end, and closes every
// connection. When ctx ends first, it cuts the connections under them, and returns ctx's error a tenth of a second later at
// the latest. Close may be called again; each call waits for the end.
func (p *Pool) Close(ctx context.Context) error {
	if p.shut() {
		go p.finish()
	}
	var err error
	select {
	case <-p.drained:
	case <-ctx.Done():
		err = ctx.Err()
		p.cut()
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

// shut closes the pool to callers and retires what is idle, and tells whether it was open. What it does is done before
// finish closes the lanes' stores, which give nothing back then.
func (p *Pool) shut() bool {
	p.mu.Lock()
	defer p.unlock()
	if p.closed {
		return false
	}
	p.closed = true
	p.cancel()
	for _, s := range p.known() {
		s.stop()
	}
	if p.again != nil {
		p.again.Stop()
	}
	for _, l := range p.lanes {
		for l.waiting.Len() > 0 {
			l.grant(grant{err: &OpError{Op: string(l.name), Kind: ErrClosed}})
		}
		for l.detours.Len() > 0 {
			l.detours.Remove(l.detours.Front()).(*waiter).got <- grant{err: &OpError{Op: string(l.name), Kind: ErrClosed}}
		}
	}
	return true
}

// finish waits for everything of the pool's own, and for every connection to be closed.
func (p *Pool) finish() {
	p.work.Wait()
	for _, l := range p.lanes {
		l.store.Close()
	}
	close(p.gone)
}

// returned notes that a caller gave a connection back, which Close may be waiting for. p.mu is held.
func (p *Pool) returned() {
	if !p.closed || p.lanes[0].inUse+p.lanes[1].inUse > 0 {
		return
	}
	select {
	case <-p.drained:
	default:
		close(p.drained)
	}
}

// cut ends every connection under whoever has it.
func (p *Pool) cut() {
	p.mu.Lock()
	defer p.unlock()
	for c := range p.live {
		c.wire.end(RetiredClosed, errors.New("the pool was closed"))
	}
}
