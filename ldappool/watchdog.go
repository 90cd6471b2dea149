package ldappool

import (
	"errors"
	"time"
)

// How a server is found out that has stopped answering with operations under way, long before they time out.
const (
	// watchPace is how often the watchdog looks, while operations are under way.
	watchPace = 100 * time.Millisecond
	// askAfter is how long a server may answer nothing before it is asked for a sign of life beside its operations, and
	// silentAfter how long before it is down: then it has not given it.
	askAfter    = 500 * time.Millisecond
	silentAfter = askAfter + pingTimeout
)

var (
	errSilent     = errors.New("no answer to anything for a second, with operations under way")
	errServerDown = errors.New("cut because the server is down")
)

// watchOperations has the watchdog look after the servers while operations are under way. It costs an operation one load.
func (p *Pool) watchOperations() {
	if !p.watching.Load() && p.watching.CompareAndSwap(false, true) {
		time.AfterFunc(watchPace, p.watchdog)
	}
}

// watchdog looks once, and comes again as long as there are operations under way.
func (p *Pool) watchdog() {
	p.mu.Lock()
	silent, busy := p.lookAfter(time.Now())
	closed := p.closed
	if len(silent) > 0 {
		p.alarm(silent)
		p.unlock()
	} else {
		p.mu.Unlock() // to have looked is no change that anybody waits for
	}
	if closed {
		return // and nobody starts it again
	}
	if !busy {
		p.watching.Store(false)
		p.mu.Lock()
		busy = len(p.underWay()) > 0 // one that began before it could see that nobody watches
		p.mu.Unlock()
		if !busy || !p.watching.CompareAndSwap(false, true) {
			return
		}
	}
	time.AfterFunc(watchPace, p.watchdog)
}

// underWay tells since when each server has had an operation under way, in Unix nanoseconds. p.mu is held.
func (p *Pool) underWay() map[*server]int64 {
	var oldest map[*server]int64
	for c := range p.live {
		at := c.asked.Load()
		if at == 0 {
			continue
		}
		if oldest == nil {
			oldest = map[*server]int64{}
		}
		if known, ok := oldest[c.server]; !ok || at < known {
			oldest[c.server] = at
		}
	}
	return oldest
}

// lookAfter tells which servers are silent and for how long, where another is usable, and whether operations are under way.
// With one server there is nobody else to turn to, and one that stands still for a second is waited for. p.mu is held.
func (p *Pool) lookAfter(now time.Time) (silent map[*server]time.Duration, busy bool) {
	if now.Sub(p.looked) > 3*watchPace {
		p.awake = now // nobody watched, or this program stood still itself
	}
	p.looked = now
	for s, at := range p.underWay() {
		busy = true
		since := min(now.Sub(time.Unix(0, max(at, s.answered.Load()))), now.Sub(p.awake))
		if since < askAfter || p.closed || s.is() == ServerDown || p.instead(s) == nil {
			continue
		}
		if silent == nil {
			silent = map[*server]time.Duration{}
		}
		silent[s] = since
	}
	return silent, busy
}

// alarm asks servers that are silent for a sign of life, and takes down those that do not give it. p.mu is held.
func (p *Pool) alarm(silent map[*server]time.Duration) {
	for s, since := range silent {
		switch {
		case since < silentAfter:
			p.askAlive(s)
		case p.instead(s) != nil:
			p.setState(s, ServerDown, opPing, errSilent)
			if s.probe == probeNone && !s.gone {
				p.probeIn(s, pause(0))
			}
		}
	}
}

// askAlive has an idle connection to s ask for a sign of life, or else a new one where there is room. p.mu is held.
func (p *Pool) askAlive(s *server) {
	if s.asked {
		return
	}
	for _, l := range p.lanes {
		for _, b := range l.takeIdle(1, func(c *conn) bool { return c.server == s }) {
			p.tended++
			s.asked = true
			p.work.Go(func() {
				_ = p.tend(b) // who answers is no longer silent
				p.mu.Lock()
				defer p.unlock()
				s.asked = false
			})
			return
		}
	}
	if s.is() == ServerUsable && !s.gone && s.dialing == [2]int{} && p.conns < p.config().MaxConns && p.dialing < maxDials {
		p.dial(p.lanes[1], &dial{to: s})
	}
}

// cutSearches ends the searches under way at a server that went down, where another can do them: as lost with their
// connections, they are sent again. Binds may only be sent once and are left their time. p.mu is held.
func (p *Pool) cutSearches(s *server) {
	if p.instead(s) == nil {
		return
	}
	for c := range p.live {
		if c.server == s && c.lane.name == SearchLane && c.asked.Load() != 0 {
			c.wire.end(RetiredServerDown, errServerDown)
		}
	}
}
