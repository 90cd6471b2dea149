package ldappool

import (
	"fmt"
	"slices"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"pgregory.net/rapid"
)

// plan is all that happens in one run of the model. It is drawn before the run begins, so that a
// run can be repeated and made smaller.
type plan struct {
	hosts          []string
	conns, idle    int
	waiters        int
	rule           BindRetry
	policy         Policy
	shortLifetimes bool // connections grow old in seconds
	faults         []plannedFault
	callers        [][]step
	turns          []turn        // Reconfigure is called
	closeAt        time.Duration // Close is called in the midst of it; 0: when all is over
	closeWithin    time.Duration
}

// step is something that a caller asks, after a pause.
type step struct {
	after time.Duration
	kind  string        // "search", "right", "wrong": a search, or a bind with that password
	limit time.Duration // the caller's deadline; 0: none
	leave bool          // the caller goes away at limit instead
	uid   string        // of the user that it is about, whom no other step is about
}

// turn is another configuration, after a pause.
type turn struct {
	after time.Duration
	kind  string
	conns int // MaxConns, where that is what changes
}

// turns are the kinds, the simplest first. The last makes the directory refuse the service
// identity.
var turns = []string{"as at first", "MaxConns", "first server only", "last server only", "servers reversed", "other policy", "other password", "wrong password"}

// apply makes the change to a configuration whose servers were those of hosts at first.
func (u *turn) apply(c *Config, p *plan) {
	all := urls(p.hosts)
	switch u.kind {
	case "MaxConns":
		c.MaxConns = u.conns
	case "first server only":
		c.Servers = all[:1]
	case "last server only":
		c.Servers = all[len(all)-1:]
	case "servers reversed":
		slices.Reverse(all)
		c.Servers = all
	case "other policy":
		c.Policy = RoundRobin - c.Policy
	case "other password":
		c.BindPassword = secondPassword
	case "wrong password":
		c.BindPassword = "wrong"
	default:
		c.Servers, c.BindPassword = all, ldaptest.ServicePassword
		p.configure(c)
	}
}

// secondPassword is one that the service may use in addition to its own.
const secondPassword = "second"

func urls(hosts []string) (all []string) {
	for _, name := range hosts {
		all = append(all, "ldap://"+name)
	}
	return all
}

// fair reports whether nothing happens for which a login may fail that has no deadline. With one or
// two connections there is no room for a successor in addition to what it replaces, and callers may
// wait in vain for it.
func (p *plan) fair() bool {
	return len(p.faults) == 0 && p.closeAt == 0 && p.waiters == 1000 && (p.conns > 2 || len(p.turns) == 0) &&
		!slices.ContainsFunc(p.turns, func(u turn) bool { return u.kind == "wrong password" || u.kind == "MaxConns" && u.conns <= 2 })
}

// plannedFault is a fault of a directory, after a pause.
type plannedFault struct {
	after time.Duration
	host  string
	kind  string
}

// faultKinds are the kinds, the simplest first: rapid looks for a failure in which they are as
// early in the list as can be.
var faults = []string{"be well", "cut one", "cut all", "accept", "refuse", "refuse and cut", "resume", "pause", "lose answers",
	"halve answers", "talk nonsense", "be busy", "say goodbye", "limit", "answer slowly", "break writes", "change the password",
	"change the password and cut", "change the password back"}

// oneOf draws one of them; the first is the simplest.
func oneOf[T any](t *rapid.T, what string, of ...T) T { return rapid.SampledFrom(of).Draw(t, what) }

// drawPlan draws a plan.
func drawPlan(t *rapid.T) *plan {
	after := func(t *rapid.T) time.Duration {
		return oneOf(t, "after", 0, 0, time.Millisecond, 20*time.Millisecond, 300*time.Millisecond, 1500*time.Millisecond, 4*time.Second)
	}
	p := &plan{hosts: oneOf(t, "hosts", []string{"one"}, []string{"one", "two"}, []string{"one", "two", "three"})}
	p.conns = rapid.IntRange(1, 6).Draw(t, "MaxConns")
	p.idle = oneOf(t, "MinIdleConns", -1, 1, 3)
	p.waiters = oneOf(t, "MaxWaiters", 1000, 2, -1)
	p.rule = oneOf(t, "BindRetry", RetryNoResponse, RetryUnsent)
	p.policy = oneOf(t, "Policy", Failover, RoundRobin)
	p.shortLifetimes = rapid.Bool().Draw(t, "short lifetimes")
	p.faults = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) plannedFault {
		return plannedFault{after(t), oneOf(t, "host", p.hosts...), oneOf(t, "kind", faults...)}
	}), 0, oneOf(t, "most faults", 14, 0)).Draw(t, "faults")
	p.turns = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) turn {
		return turn{after(t), oneOf(t, "turn", turns...), rapid.IntRange(1, 6).Draw(t, "conns")}
	}), 0, 6).Draw(t, "turns")
	steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		limit := oneOf(t, "limit", 0, 0, 0, time.Millisecond, 100*time.Millisecond, 700*time.Millisecond)
		return step{after: after(t), kind: oneOf(t, "kind", "search", "right", "wrong"), limit: limit, leave: rapid.Bool().Draw(t, "leave")}
	}), 1, 8)
	p.callers = rapid.SliceOfN(steps, 1, 10).Draw(t, "callers")
	for c, steps := range p.callers {
		for s := range steps {
			steps[s].uid = fmt.Sprintf("caller%d-step%d", c, s)
		}
	}
	if oneOf(t, "close", "at the end", "at the end", "at the end", "in the midst") == "in the midst" {
		p.closeAt = oneOf(t, "close at", time.Millisecond, 300*time.Millisecond, 4*time.Second, 10*time.Second)
		p.closeWithin = oneOf(t, "close within", 10*time.Second, time.Second, time.Millisecond, 0)
	}
	return p
}

// String describes a failure.
func (p *plan) String() string {
	return fmt.Sprintf("MaxConns %d, MinIdleConns %d, MaxWaiters %d, BindRetry %d, Policy %d, short lifetimes %t, close at %v within %v\nfaults %+v\nturns %+v\ncallers %+v",
		p.conns, p.idle, p.waiters, p.rule, p.policy, p.shortLifetimes, p.closeAt, p.closeWithin, p.faults, p.turns, p.callers)
}

// configure is the plan's part of a Config.
func (p *plan) configure(c *Config) {
	c.MaxConns, c.MinIdleConns, c.MaxWaiters, c.BindRetry, c.Policy = p.conns, p.idle, p.waiters, p.rule, p.policy
	if p.shortLifetimes {
		c.HealthCheckInterval, c.MaxIdleTime, c.MaxLifetime = time.Second, 2*time.Second, 5*time.Second
	}
}

// dn is the name of the user that the step is about.
func (st *step) dn() string { return "uid=" + st.uid + "," + ldaptest.PeopleDN }

// password is that user's.
func (st *step) password() string { return "password of " + st.uid }

// applyFault applies a fault to h, or ends it.
func applyFault(h *host, kind string) {
	switch kind {
	case "cut all":
		h.abortAll()
	case "cut one":
		if open := h.open(); len(open) > 0 {
			open[len(open)/2].cut()
		}
	case "break writes":
		for _, p := range h.open() {
			p.failNextWrite()
		}
	case "refuse":
		h.refuse(false)
	case "refuse and cut":
		h.refuse(true)
	case "accept":
		h.set(func(h *host) { h.refusing, h.limit = nil, 0 })
	case "limit":
		h.set(func(h *host) { h.limit = 1 })
	case "pause":
		h.set(func(h *host) {
			if isClosed(h.resumed) {
				h.resumed = make(chan struct{})
			}
		})
	case "resume":
		h.set(func(h *host) {
			if !isClosed(h.resumed) {
				close(h.resumed)
			}
		})
	case "say goodbye":
		for _, p := range h.open() {
			go p.write(ldaptest.NoticeOfDisconnection(ldap.LDAPResultUnavailable, ""))
		}
	case "change the password":
		h.changePassword("another")
	case "change the password and cut":
		h.changePassword("another")
		h.abortAll()
	case "change the password back":
		h.changePassword(ldaptest.ServicePassword)
	default:
		h.on(failureModes[kind])
	}
}

// changePassword gives the service another password.
func (h *host) changePassword(to string) {
	h.set(func(h *host) { h.passwords[ldaptest.ServiceDN] = to })
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
