package ldappool

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// dialOf is the context key of the dial that a connection is made by.
type dialOf struct{}

// dial is an attempt at a connection.
type dial struct {
	to    *server
	probe bool // it checks the server; callers are served by the way
	heir  bool // it is to succeed an outdated connection
	look  bool // it looks whether a server that is not used is still there
	brief bool // a probe with callers that wait for its place

	with     *Config // in force when it began, as is endpoint
	endpoint endpoint
	cancel   context.CancelFunc // of a probe or an heir; called under Pool.mu
}

// dial opens a connection in the background, in room that place found. p.mu is held.
func (p *Pool) dial(l *lane, d *dial) {
	d.with, d.endpoint = p.config(), d.to.endpoint
	p.conns++
	p.dialing++
	p.dials++
	l.dialing++
	d.to.dialing[l.index]++
	ended := p.watch(l, d.to)
	var ctx context.Context
	switch {
	case d.brief:
		ctx, d.cancel = context.WithTimeout(p.ctx, pingTimeout)
		d.to.putOff = func() {} // it is over soon
		d.to.deferred = false
	case d.probe:
		ctx, d.cancel = context.WithCancel(p.ctx)
		d.to.putOff = d.cancel
		d.to.deferred = false
	case d.heir:
		ctx, d.cancel = context.WithCancel(d.to.dialContext(p.ctx))
	default:
		ctx = d.to.dialContext(p.ctx)
	}
	p.work.Go(func() {
		began := time.Now()
		err := l.store.CreateResource(context.WithValue(ctx, dialOf{}, d))
		alive := err != nil && d.probe && !errors.Is(err, context.Canceled) && p.serves(d.to)
		p.mu.Lock()
		defer p.unlock()
		earlier := p.staleness(l, d.to, d.endpoint, d.with) != 0
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
			if l.name == SearchLane && !earlier {
				p.admitted = time.Now()
			}
		}
		switch {
		case d.look && err == nil:
			p.yield(l, d.to)
		case d.heir:
			d.cancel()
			l.renewing = false
			if err == nil && !earlier {
				l.heirs++
			}
		case d.probe && (earlier || d.to.anew):
			d.to.anew = false
			d.cancel()
			if d.to.probe = probeNone; d.to.is() != ServerUsable {
				d.to.probe = probeDue
			}
		case d.probe:
			d.cancel()
			p.probed(d.to, began, alive, err)
			p.yield(l, d.to)
		}
	})
}

// connect is puddle's constructor: a connection of lane l that has spoken LDAP with its server, and in the search lane
// is bound as the service identity. puddle's context has no deadline; the one here is DialTimeout.
func (p *Pool) connect(ctx context.Context, l *lane) (*conn, error) {
	d := ctx.Value(dialOf{}).(*dial)
	ctx, cancel := context.WithTimeout(ctx, d.with.DialTimeout)
	defer cancel()
	began := time.Now()
	c, err := p.handshake(ctx, l, d)
	if hook := p.config().Trace.Dialed; hook != nil {
		hook(DialEvent{Lane: l.name, Server: d.to.url, Took: time.Since(began), Err: err, Probe: d.probe})
	}
	p.mu.Lock()
	defer p.unlock()
	earlier := p.staleness(l, d.to, d.endpoint, d.with)
	if err != nil {
		if !errors.Is(ctx.Err(), context.Canceled) && earlier == 0 { // otherwise it was given up, and says nothing
			p.suspect(d.to, opDial, err)
		}
		return nil, err
	}
	p.live[c] = struct{}{}
	if earlier != 0 {
		c.stale.Store(uint32(earlier))
		p.outdated++
		p.adopting = true
	}
	d.to.conns[l.index]++
	d.to.ready, p.ready = true, true
	if d.to.limits.watch.news {
		p.kick() // what was cut before can be judged now
	}
	return c, nil
}

// handshake dials d's server and proves that it answers.
func (p *Pool) handshake(ctx context.Context, l *lane, d *dial) (*conn, error) {
	w, err := d.endpoint.dial(ctx, p.dialNet)
	if err != nil {
		return nil, err
	}
	c := newConn(l, d, w)
	err = p.introduce(ctx, c, d.probe)
	if err == nil && d.probe && l.name == SearchLane {
		err = p.examine(ctx, c)
	}
	if err == nil && errors.Is(ctx.Err(), context.Canceled) {
		err = ctx.Err() // it was given up with the last answer on its way, and the connection has ended
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
	began := time.Now()
	if c.lane.name == BindLane || c.with.BindDN == "" {
		r, err := c.search(ctx, c.with.DialTimeout, rootDSE())
		tell(ctx, began, DialStep{Name: "ping", Err: err})
		switch {
		case err != nil:
			return &stepError{"ping", err}
		case probe:
			return p.accept(c.server, r, false)
		}
		return nil
	}
	r, err := c.bind(ctx, c.with.DialTimeout, c.with.BindDN, c.with.BindPassword, nil)
	step := DialStep{Name: "service bind", Err: err}
	if err == nil {
		if strings.Contains(r.Diagnostic, c.with.BindPassword) {
			r.Diagnostic = "" // it repeats the password
		}
		step.Result = &r.Result
		if r.Code != ldap.LDAPResultSuccess {
			step.Err = &refused{r.Result}
		}
	}
	tell(ctx, began, step)
	if step.Err != nil {
		return &stepError{"service bind", step.Err}
	}
	return nil
}
