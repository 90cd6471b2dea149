package ldappool

import (
	"slices"
	"time"
)

// Reconfigure puts another configuration in force, at once and with no failed login. What is zero in cfg takes its
// default, as with New. It fails where cfg is wrong, with every field that is, and on a pool that is closed, with
// ErrClosed; nothing has changed then. It waits for no directory: what is new in cfg is taken up in the background.
//
// Connections that were made to another server, with other TLS settings or, for searches, as another identity go on
// serving until their successors are there, and are retired one by one. While the directory refuses what is new, as it does
// when a new password reaches it later than the pool, they go on beyond their age, and Stat and Trace name the error.
// With MaxConns 1 or 2 there may be no room for a successor beside them: to another server or with other TLS
// settings they are then replaced when they end. Limits, timeouts and Trace hold from now on and replace no connection;
// surplus ones of a smaller MaxConns go as they come back.
//
// A server whose URL is in both configurations keeps what is known of it. One that refused the service identity is tried
// again at once, whether that is another or not.
func (p *Pool) Reconfigure(cfg Config) error {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.unlock()
	fresh, err := p.parseServers(cfg)
	switch {
	case err != nil:
		return err
	case p.closed:
		return &OpError{Op: "reconfigure", Kind: ErrClosed}
	}
	identity := !sameIdentity(p.config(), &cfg)
	p.cfg.Store(&cfg)
	if identity {
		p.admitted = time.Time{}
	}
	p.enlist(fresh, identity)
	p.lookUp()
	p.outdate()
	return nil
}

// outdate finds out which connections are outdated now, and begins to replace them. p.mu is held.
func (p *Pool) outdate() {
	p.hurry()
	p.reconfigured, p.adopting, p.outdated = time.Now(), true, 0
	for c := range p.live {
		c.stale.Store(uint32(p.staleness(c.lane, c.server, c.endpoint, c.with)))
		if c.stale.Load() != 0 {
			p.outdated++
		}
	}
	for _, l := range p.lanes {
		l.heirs = 0
	}
	p.adopted()
	p.kick()
}

// enlist has fresh be the servers: those known by their URL stay who they are, and those not named any more are dismissed.
// With identity, what refused the service is asked again. p.mu is held.
func (p *Pool) enlist(fresh []*server, identity bool) {
	known := p.known()
	p.servers = make([]*server, 0, len(fresh))
	for rank, s := range fresh {
		if i := slices.IndexFunc(known, func(o *server) bool { return o.url == s.url }); i >= 0 {
			old := known[i]
			known = slices.Delete(known, i, i+1)
			p.keep(old, s.endpoint, identity)
			s = old
		}
		s.rank = rank
		p.servers = append(p.servers, s)
	}
	p.leaving = known
	for _, s := range known {
		s.gone = true
		s.stop()
		if s.giveUp != nil {
			s.giveUp()
		}
		if s.probe == probeRunning {
			s.putOff()
		}
	}
}

// keep takes over a server that was known, with another endpoint perhaps. p.mu is held.
func (p *Pool) keep(s *server, e endpoint, identity bool) {
	same, gone := s.endpoint.same(e), s.gone
	if s.gone = false; !same {
		s.endpoint = e
		if s.giveUp != nil {
			s.giveUp() // what is being dialled, with an endpoint that is no more
		}
	}
	if identity = identity || s.refusals > 0; identity {
		s.refusals, s.faulty = 0, false
	}
	switch {
	case same && !gone && !identity:
	case s.probe == probeRunning:
		s.putOff()
		s.anew = true
	case s.is() != ServerUsable && s.refusals == 0:
		s.stop()
		s.probe = probeDue
	}
}

// stop stops the timer of the next probe. Pool.mu is held.
func (s *server) stop() {
	if s.timer != nil {
		s.timer.Stop()
	}
}

// known are the servers and those that were dismissed and still have connections. p.mu is held.
func (p *Pool) known() []*server { return slices.Concat(p.servers, p.leaving) }

// stale says in what a connection differs from what would be dialled now.
type stale uint32

const (
	staleLink     stale = 1 << iota // its server, or how that is reached
	staleIdentity                   // whom it searches as
)

// staleness compares what a connection of lane l to s was dialled with to what is in force. p.mu is held.
func (p *Pool) staleness(l *lane, s *server, e endpoint, with *Config) (is stale) {
	if s.gone || !e.same(s.endpoint) {
		is |= staleLink
	}
	if l.name == SearchLane && !sameIdentity(with, p.config()) {
		is |= staleIdentity
	}
	return is
}

func sameIdentity(a, b *Config) bool { return a.BindDN == b.BindDN && a.BindPassword == b.BindPassword }

// outdated tells whether c was made under an earlier configuration and has to go when its successor is there.
func (c *conn) outdated() bool { return c.stale.Load() != 0 }

// held counts the lane's connections without those being dialled. Pool.mu is held.
func (l *lane) held() int { return l.idle + l.inUse }

// outdated counts the lane's outdated connections that are still of use. Pool.mu is held.
func (l *lane) outdated() (n int) {
	for c := range l.pool.live {
		if c.lane == l && c.outdated() && c.retired == "" {
			n++
		}
	}
	return n
}

// adopt moves the pool towards its configuration: it retires what is more than MaxConns, and outdated connections as
// their successors are there, for which it dials. p.mu is held.
func (p *Pool) adopt() {
	for p.surplus() > 0 && p.shrink() {
	}
	if len(p.leaving) > 0 {
		p.leaving = slices.DeleteFunc(p.leaving, func(s *server) bool { return s.conns == [2]int{} && s.dialing == [2]int{} })
	}
	if !p.adopting {
		return
	}
	for _, l := range p.lanes {
		l.renew()
	}
}

// surplus is how many connections are more than MaxConns, which was lowered, and not yet on their way out. p.mu is held.
func (p *Pool) surplus() int { return p.conns - p.closing - p.config().MaxConns }

// shrink retires an idle connection of the larger lane. p.mu is held.
func (p *Pool) shrink() bool {
	for _, l := range p.lanes {
		if l.size() < l.other().size() {
			continue
		}
		for _, b := range l.takeIdle(1, func(*conn) bool { return true }) {
			p.retire(b, RetiredReplaced)
			return true
		}
	}
	return false
}

// renew retires outdated connections that have successors, and dials the next successor, one at a time. Pool.mu is held.
func (l *lane) renew() {
	p := l.pool
	for l.heirs > 0 {
		taken := l.takeIdle(1, (*conn).outdated)
		if len(taken) == 0 {
			break // all are in use: one goes when it comes back
		}
		l.heirs--
		p.retire(taken[0], RetiredReplaced)
	}
	wanted := p.wants == l // room was made
	if l.outdated() == 0 {
		l.heirs = 0
	}
	if l.outdated() == 0 || l.heirs > 0 || l.renewing || !p.mayDial(l) || time.Now().Before(l.patience) {
		if wanted && p.closing == 0 {
			p.wants = nil
		}
		return
	}
	// Callers that wait and have no more than they may come first, unless a place was made for the successor.
	o := l.other()
	if p.conns < p.config().MaxConns && (wanted || !o.hungry() || o.size() >= p.share()) {
		l.renewing = true
		p.wants = nil
		d := &dial{to: p.best(l), heir: true}
		p.dial(l, d)
		if wanted {
			p.bound(l, d)
		}
		return
	}
	if p.conns < p.config().MaxConns || p.closing > 0 || p.wants != nil && !wanted {
		return
	}
	p.wants = l
	for _, from := range []*lane{o, l} {
		for _, b := range from.takeIdle(1, func(c *conn) bool { return p.makesRoom(c) }) {
			p.giveRoom(b)
			return
		}
	}
}

// bound limits the dial of a successor whose place was somebody's: where it takes too long, callers have the place back
// before they give up waiting, and the next try is made later.
func (p *Pool) bound(l *lane, d *dial) {
	cancel := d.cancel
	timer := time.AfterFunc(p.config().MaxWait/2, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		l.patience = time.Now().Add(p.config().HealthCheckInterval)
		cancel()
	})
	d.cancel = func() {
		timer.Stop()
		cancel()
	}
}

// makesRoom tells whether c is closed so that the successor of an outdated connection has room: one of the same kind where
// another is left, and rather one that can be had again at once as long as it is not known that the new identity is
// let in. p.mu is held.
func (p *Pool) makesRoom(c *conn) bool {
	l := p.wants
	if l == nil || p.closing > 0 || p.conns != p.config().MaxConns {
		return false
	}
	if c.lane != l {
		return c.outdated() && c.lane.held() > 1 || !c.outdated() && !l.proven() && p.best(c.lane) != nil
	}
	return c.outdated() && l.held() > 1 && (l.proven() || stale(c.stale.Load())&staleLink != 0 || l.other().held() == 0)
}

// proven tells whether the lane has connections of the configuration in force. Pool.mu is held.
func (l *lane) proven() bool { return l.held() > l.outdated() }

// giveRoom retires what makes room. p.mu is held.
func (p *Pool) giveRoom(b lease) {
	if b.outdated() {
		b.lane.heirs-- // its successor comes after it
		p.retire(b, RetiredReplaced)
		return
	}
	p.retire(b, RetiredRebalanced)
}

// goes tells whether a connection that comes back has to go for the configuration's sake: it is more than MaxConns, its
// successor is there, or its successor needs the room. p.mu is held.
func (p *Pool) goes(b lease) bool {
	l := b.lane
	switch {
	case p.surplus() > 0 && l.size() >= l.other().size():
		p.retire(b, RetiredReplaced)
	case !p.adopting:
		return false
	case b.outdated() && l.heirs > 0:
		l.heirs--
		p.retire(b, RetiredReplaced)
	case p.makesRoom(b.conn):
		p.giveRoom(b)
	default:
		return false
	}
	return true
}

// dear tells whether a connection must not be closed to make room for a probe, or for what its lane need not give up:
// it cannot be had again, since its server refuses the service identity, or is the last of its lane and nothing is yet
// known to take its place. p.mu is held.
func (p *Pool) dear(c *conn) bool {
	if p.config().MaxConns == 1 {
		return false // the lanes take turns, whatever it costs
	}
	return c.lane.name == SearchLane && c.server.serving() || c.outdated() && c.lane.held() == 1
}

// spare tells whether c, of a server in doubt, is of no more use since others serve sooner than it can be asked.
func (p *Pool) spare(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	admitted := c.lane.name == SearchLane && c.server.serving() // it is; another may be refused as its successor would
	return p.usable() != nil && !admitted && (!c.outdated() || c.lane.proven())
}

// ageless tells whether a connection goes on beyond its age: there is no successor to be had, or none is known to be.
func (p *Pool) ageless(c *conn) bool {
	return p.heirless.Load() || stale(c.stale.Load())&staleIdentity != 0
}

// noteHeirs finds out whether nothing can be dialled in place of what grows old: no server works, and none waits to be
// tried for the first time. p.mu is held.
func (p *Pool) noteHeirs() {
	none := p.usable() == nil && !slices.ContainsFunc(p.servers, func(s *server) bool { return s.probe == probeDue && s.refusals == 0 })
	if none != p.heirless.Load() {
		p.heirless.Store(none)
	}
}

// adopted notes that no outdated connection is left, where that is so. p.mu is held.
func (p *Pool) adopted() {
	if !p.adopting || p.outdated > 0 {
		return
	}
	p.adopting, p.wants = false, nil
	if hook := p.config().Trace.Reconfigured; hook != nil {
		e := ReconfigureEvent{Took: time.Since(p.reconfigured)}
		p.later(func() { hook(e) })
	}
}
