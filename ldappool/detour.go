package ldappool

import (
	"context"
	"time"
)

// takeElsewhere is take for a caller that server avoid could not serve: it gets a connection to another server that is
// usable, idle or dialled for it.
func (l *lane) takeElsewhere(ctx context.Context, until time.Time, avoid *server) (resource, error) {
	p := l.pool
	p.mu.Lock()
	if err := l.admit(ctx); err != nil {
		p.refused++
		p.unlock()
		return nil, err
	}
	w := &waiter{since: time.Now(), got: make(chan grant, 1), avoid: avoid}
	place := l.detours.PushBack(w)
	p.unlock() // which serves it where it can
	return l.await(ctx, w, &l.detours, place, until)
}

// detour serves the callers that want another server: by idle connections, or else by dials of their own. p.mu is held.
func (p *Pool) detour(l *lane) {
	wanted := map[*server]int{}
	for e := l.detours.Front(); e != nil; {
		w, next := e.Value.(*waiter), e.Next()
		to := p.instead(w.avoid)
		idle := l.takeIdle(1, func(c *conn) bool { return c.server != w.avoid && c.server.is() == ServerUsable })
		switch {
		case len(idle) > 0:
			l.detours.Remove(e)
			l.acquired++
			w.got <- grant{res: idle[0].res}
		case to == nil:
			l.detours.Remove(e)
			p.refused++
			w.got <- grant{err: p.whyNot(string(l.name))}
		default:
			wanted[to]++
		}
		e = next
	}
	for to, n := range wanted {
		for n > to.dialing[l.index] && p.mayDial(l) && p.place(l, false) {
			p.dial(l, &dial{to: to})
		}
	}
}
