package ldappool

import (
	"context"
	"errors"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// dialOf is the context key of the dial that a connection is made by.
type dialOf struct{}

// dial is an attempt at a connection.
type dial struct {
	to    *server
	probe bool // it checks the server; callers are served by the way
}

// dial opens a connection in the background, in room that place found. p.mu is held.
func (p *Pool) dial(l *lane, d dial) {
	p.conns++
	p.dialing++
	p.dials++
	l.dialing++
	d.to.dialing[l.index]++
	ended := p.watch(l, d.to)
	var ctx context.Context
	if d.probe {
		ctx, d.to.putOff = context.WithCancel(p.ctx)
	} else {
		ctx = d.to.dialContext(p.ctx)
	}
	p.work.Go(func() {
		began := time.Now()
		err := l.store.CreateResource(context.WithValue(ctx, dialOf{}, d))
		alive := err != nil && d.probe && !errors.Is(err, context.Canceled) && p.serves(d.to)
		p.mu.Lock()
		defer p.unlock()
		p.dialing--
		l.dialing--
		d.to.dialing[l.index]--
		ended()
		if err != nil {
			p.conns--
			p.dialErrors++
		} else {
			l.idle++
			if l.waiting.Len() == 0 && l.hedging.Len() > 0 {
				l.rescue(l.pop())
			}
			if l.name == SearchLane {
				p.admitted = time.Now()
			}
		}
		if d.probe {
			d.to.putOff()
			p.probed(d.to, began, alive, err)
			p.yield(l, d.to)
		}
	})
}

// connect is puddle's constructor: a connection of lane l that has spoken LDAP with its server, and in the search lane
// is bound as the service identity. puddle's context has no deadline; the one here is DialTimeout.
func (p *Pool) connect(ctx context.Context, l *lane) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.config().DialTimeout)
	defer cancel()
	d := ctx.Value(dialOf{}).(dial)
	began := time.Now()
	c, err := p.handshake(ctx, l, d.to, d.probe)
	if hook := p.config().Trace.Dialed; hook != nil {
		hook(DialEvent{Lane: l.name, Server: d.to.url, Took: time.Since(began), Err: err, Probe: d.probe})
	}
	p.mu.Lock()
	defer p.unlock()
	if err != nil {
		if !errors.Is(ctx.Err(), context.Canceled) { // then it was given up, and says nothing
			p.suspect(d.to, err)
		}
		return nil, err
	}
	p.live[c] = struct{}{}
	d.to.conns[l.index]++
	d.to.ready = true
	if d.to.limits.watch.news {
		p.kick() // what was cut before can be judged now
	}
	return c, nil
}

// handshake dials s and proves that it answers.
func (p *Pool) handshake(ctx context.Context, l *lane, s *server, probe bool) (*conn, error) {
	generation := p.generation.Load() // before the dial: what it is dialled with
	w, err := s.endpoint.dial(ctx, p.dialNet)
	if err != nil {
		return nil, err
	}
	c := newConn(l, s, w, generation)
	err = p.introduce(ctx, c, probe)
	if err == nil && probe && l.name == SearchLane {
		err = p.examine(ctx, c)
	}
	if err != nil {
		c.close(RetiredProtocol)
		return nil, err
	}
	return c, nil
}

// introduce does the first exchange on a connection: the service bind, or where there is none a ping. A server that
// takes connections and does not answer is found out here and not by a login; and one that closes connections which
// never asked anything (Active Directory does after 120 s) has been asked.
func (p *Pool) introduce(ctx context.Context, c *conn, probe bool) error {
	if c.lane.name == BindLane || p.config().BindDN == "" {
		r, err := c.search(ctx, p.config().DialTimeout, rootDSE())
		switch {
		case err != nil:
			return &stepError{"ping", err}
		case probe:
			return p.accept(c.server, r, false)
		}
		return nil
	}
	r, err := c.bind(ctx, p.config().DialTimeout, p.config().BindDN, p.config().BindPassword, nil)
	if err != nil {
		return &stepError{"service bind", err}
	}
	if r.Code != ldap.LDAPResultSuccess {
		return &stepError{"service bind", &refused{r.Result}}
	}
	return nil
}
