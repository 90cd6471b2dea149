package ldappool

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// How the results of operations open a server's breaker: half of the last breakerWindow failed, of those of the last
// breakerSpan, and at least breakerLeast are known.
const (
	breakerWindow = 20
	breakerSpan   = 10 * time.Second
	breakerLeast  = 5
	// breakerLatest bounds the pause between probes of a server whose breaker is open.
	breakerLatest = 30 * time.Second
)

// breaker finds out a server that answers probes and does not do its work. It is open while the server is in doubt or
// down for that.
type breaker struct {
	mu     sync.Mutex // guards these; taken for each operation, so it is not the pool's
	recent [breakerWindow]attempt
	next   int
	closed time.Time // when it last was closed by a probe

	// Guarded by Pool.mu.
	open  bool
	pause time.Duration // from the opening to the next probe; grows with each closing that was too early
}

// attempt is one operation and whether it went wrong.
type attempt struct {
	at     time.Time
	failed bool
}

// note takes one more attempt, and tells how many of how many recent ones failed where that is too many. Soon after it was
// closed the first ones decide: a probe was mistaken before.
func (b *breaker) note(now time.Time, failed bool) (bad, all int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recent[b.next] = attempt{now, failed}
	b.next = (b.next + 1) % breakerWindow
	if !failed {
		return 0, 0
	}
	bad, all = b.count(now)
	least := breakerLeast
	if now.Sub(b.closed) < settled {
		least = 1
	}
	if all < least || 2*bad < all {
		return 0, 0
	}
	return bad, all
}

// count tells how many of how many recent attempts failed. b.mu is held.
func (b *breaker) count(now time.Time) (bad, all int) {
	for _, a := range b.recent {
		if now.Sub(a.at) < breakerSpan {
			all++
			if a.failed {
				bad++
			}
		}
	}
	return bad, all
}

// falters tells whether more went wrong of late than one operation.
func (b *breaker) falters() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	bad, _ := b.count(time.Now())
	return bad > 1
}

// close begins anew.
func (b *breaker) close(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recent, b.closed = [breakerWindow]attempt{}, now
}

// wasClosed tells when it last was closed by a probe.
func (b *breaker) wasClosed() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// declined is an answer by which a server says that it does not do what it was asked, now.
type declined struct {
	op     string
	result Result
}

func (d *declined) Error() string {
	msg := fmt.Sprintf("%s: %s (%d)", d.op, ldap.LDAPResultCodeMap[d.result.Code], d.result.Code)
	if d.result.Diagnostic != "" {
		msg += ": " + d.result.Diagnostic
	}
	return msg
}

// isDeclined tells whether err is a server's own word that it does not serve, now.
func isDeclined(err error) bool {
	var d *declined
	var r *refused
	return errors.As(err, &d) || errors.As(err, &r) && declines(r.result.Code)
}

// declines tells whether a result code says that the server did not process a request for a reason of its own, and
// another server may.
func declines(code uint16) bool {
	return code == ldap.LDAPResultBusy || code == ldap.LDAPResultUnavailable
}

// ailment is what an operation that took so long says against its server; nil where it says nothing. unwillingToPerform does so for a
// search: for a bind it may be about that user's account. operationsError and other do not: they are about the request
// or the configuration as often, and the same of every server then.
func ailment(op string, took time.Duration, r *Result, err error) error {
	var f *fault
	switch {
	case err == nil && (declines(r.Code) || op == "search" && r.Code == ldap.LDAPResultUnwillingToPerform):
		said := *r
		if op == "bind" {
			said.Diagnostic = "" // which may repeat a user's password, and this is told of the server, in the log and to probes
		}
		return &declined{op, said}
	case err == nil:
		return nil
	case !errors.As(err, &f) || !f.sent:
	case errors.Is(f.kind, ErrConnLost), errors.Is(f.kind, ErrTimeout) && took >= pingTimeout: // and not the caller's haste
		return &stepError{op, f.err}
	}
	return nil
}

// heed has the server's breaker know how an operation went that took so long.
func (p *Pool) heed(s *server, op string, took time.Duration, r *Result, err error) {
	why := ailment(op, took, r, err)
	if err != nil && why == nil {
		return
	}
	bad, all := s.breaker.note(time.Now(), why != nil)
	if bad == 0 {
		return
	}
	p.mu.Lock()
	defer p.unlock()
	p.trip(s, op, fmt.Errorf("%d of the last %d operations failed, at last %w", bad, all, why))
}

// trip opens the breaker of a server that does not do its work, where another server may do it: a bad answer is better
// than none. One that comes to that again soon after a probe found it well is down at once, and for longer. p.mu is held.
func (p *Pool) trip(s *server, op string, err error) {
	if p.closed || s.gone || s.is() != ServerUsable || p.instead(s) == nil {
		return
	}
	b := &s.breaker
	b.open = true
	if time.Since(b.wasClosed()) < settled+b.pause {
		b.pause = min(2*b.pause, breakerLatest)
		p.setState(s, ServerDown, op, err)
	} else {
		b.pause = probeSoonest
		p.setState(s, ServerSuspect, op, err)
	}
	p.probeIn(s, jittered(b.pause))
}

// mend closes the breaker after a probe that went well. p.mu is held.
func (s *server) mend() {
	if s.breaker.open {
		s.breaker.open = false
		s.breaker.close(time.Now())
	}
}

// hurry has the servers probed at once that are not in use for their results, or whose probes had to wait, when no other is left. Callers wait for what
// the probes tell. p.mu is held.
func (p *Pool) hurry() {
	if p.usable() != nil {
		return
	}
	for _, s := range p.servers {
		if (s.breaker.open || s.deferred) && s.probe == probeNone {
			s.stop()
			s.probe = probeDue
			p.setState(s, ServerSuspect, "", nil)
		}
	}
}

// instead is a usable server other than s, or nil. p.mu is held.
func (p *Pool) instead(s *server) *server {
	for _, o := range p.servers {
		if o != s && o.is() == ServerUsable {
			return o
		}
	}
	return nil
}

// hasInstead is instead for those who do not hold p.mu.
func (p *Pool) hasInstead(s *server) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.instead(s) != nil
}

// examine has a connection of the search lane that a probe made do what a login does beside the bind: a search where the
// last login searched.
func (p *Pool) examine(ctx context.Context, c *conn) error {
	base := p.base.Load()
	if base == nil {
		return nil // there was none yet
	}
	req := rootDSE()
	req.BaseDN = *base
	r, err := c.search(ctx, p.config().DialTimeout, req)
	if err != nil {
		return &stepError{"search", err}
	}
	return p.accept(c.server, r, true)
}

// accept judges what a server answered to a probe's search. What it does not let anybody read of its root DSE says nothing
// of logins; and where no other server is usable, any answer will do.
func (p *Pool) accept(s *server, r *SearchResult, asLogin bool) error {
	ill := declines(r.Code) || asLogin && r.Code == ldap.LDAPResultUnwillingToPerform
	if ill && p.hasInstead(s) {
		return &declined{"search", r.Result}
	}
	return nil
}

// searched notes where logins search.
func (p *Pool) searched(base string) {
	if last := p.base.Load(); last == nil || *last != base {
		base = strings.Clone(base)
		p.base.Store(&base)
	}
}
