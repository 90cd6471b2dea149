package ldappool

import (
	"authsvc/ldappool/internal/core"
	"authsvc/ldappool/internal/discovery"
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// fakeNet is a network of directories joined by net.Pipe instead of sockets, so that it lives
// within a synctest bubble.
type fakeNet struct {
	hosts     map[string]*host // by name; fixed before the first dial
	serve     sync.WaitGroup   // one goroutine for each connection
	over      chan struct{}    // closed when the test ends
	addresses func(ctx context.Context, host string) ([]netip.Addr, error)
	lookup    func(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
	rebinds   bool // connections of users' binds may bind as the service as well

	mu            sync.Mutex // guards what follows
	open, maxOpen int        // connections that neither end has closed
	mixed         []string   // requests on connections of the wrong identity
}

// host is a directory on that network: the users of ldaptest, and the service identity, which alone
// may search.
type host struct {
	net  *fakeNet
	name string

	mu         sync.Mutex // guards what follows
	passwords  map[string]string
	second     string                     // another password of the service identity, if not empty
	refusing   error                      // dials fail with this
	limit      int                        // connections that it takes; 0: any number
	resumed    chan struct{}              // closed while it answers; a dial succeeds either way
	tls        *tls.Config                // of new connections to port 636
	dropsDials bool                       // dials end with their context
	script     func(*peer, *request) bool // true: it answered, or there is to be no answer
	peers      []*peer                    // open connections, oldest first
	accepted   int
	dialled    []time.Time // every attempt
	seen       []seen
	refusals   int // service binds that it turned down, and the pool heard of it
}

// peer is a connection as the directory has it.
type peer struct {
	host   *host
	number int      // in order of acceptance, from 1
	conn   net.Conn // raw, or TLS over it
	raw    net.Conn
	client *pipeEnd
	// Of the goroutine that serves it.
	identity       string // of the last bind that succeeded, if none followed
	service, users bool   // it was asked to bind as the service, as somebody else
	born           time.Time
	quiet          time.Time // since when it asked nothing; guarded by host.mu
}

// request is what a client sent.
type request struct {
	id           int64
	kind         string // "bind", "search", "ping", "unbind"
	dn, password string // a bind's; a search's base
	external     bool   // a bind by SASL
	uid          string // whom a search is for
	attributes   []string
	controls     []string // object identifiers
}

// seen is a request that arrived.
type seen struct {
	at   time.Time
	peer int
	request
}

var errConnRefused = fmt.Errorf("connect: %w", syscall.ECONNREFUSED)

// newFakeNet is a network with a directory for each name; "one" alone if none is given.
func newFakeNet(names ...string) *fakeNet {
	m := &fakeNet{hosts: map[string]*host{}, over: make(chan struct{})}
	if len(names) == 0 {
		names = []string{"one"}
	}
	for _, name := range names {
		h := &host{net: m, name: name, passwords: maps.Clone(ldaptest.NewDirectory().Passwords), resumed: make(chan struct{})}
		close(h.resumed)
		m.hosts[name] = h
	}
	return m
}

// url is where the pool finds the directory of that name.
func (h *host) url() string { return "ldap://" + h.name }

// dial is a dialFunc.
func (m *fakeNet) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	name, port, _ := strings.Cut(addr, ":")
	h := m.hosts[name]
	h.mu.Lock()
	h.dialled = append(h.dialled, time.Now())
	refusing, deaf := h.refusing, h.dropsDials
	if h.limit > 0 && len(h.peers) >= h.limit {
		refusing = errConnRefused
	}
	if deaf || refusing != nil {
		h.mu.Unlock()
		if deaf {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return nil, refusing
	}
	ours, theirs := net.Pipe()
	h.accepted++
	p := &peer{host: h, number: h.accepted, conn: theirs, raw: theirs, client: &pipeEnd{Conn: ours, net: m}, born: time.Now(), quiet: time.Now()}
	h.peers = append(h.peers, p)
	if port == "636" {
		p.conn = tls.Server(theirs, h.tls)
	}
	h.mu.Unlock()
	m.count(1)
	m.serve.Go(p.serve)
	return p.client, nil
}

func (m *fakeNet) count(change int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open += change
	m.maxOpen = max(m.maxOpen, m.open)
}

// used says how many connections are open now, and how many were at most.
func (m *fakeNet) used() (open, most int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.open, m.maxOpen
}

// pipeEnd is the client's end of a connection.
type pipeEnd struct {
	net.Conn
	net  *fakeNet
	once sync.Once

	mu   sync.Mutex
	fail bool // the next write fails and no byte of it leaves
}

func (e *pipeEnd) Close() error {
	e.closed() // first: whoever sees the connection end may look at the count
	return e.Conn.Close()
}

// closed counts the connection's end, by whichever side.
func (e *pipeEnd) closed() { e.once.Do(func() { e.net.count(-1) }) }

func (e *pipeEnd) Write(b []byte) (int, error) {
	e.mu.Lock()
	fail := e.fail
	e.fail = false
	e.mu.Unlock()
	if fail {
		return 0, syscall.EPIPE
	}
	return e.Conn.Write(b)
}

// failNextWrite makes the client's kernel refuse the next request, as it does when a reset arrived
// meanwhile.
func (p *peer) failNextWrite() {
	p.client.mu.Lock()
	defer p.client.mu.Unlock()
	p.client.fail = true
}

// serve answers one connection until it ends.
func (p *peer) serve() {
	h := p.host
	defer func() {
		p.cut()
		h.mu.Lock()
		defer h.mu.Unlock()
		h.peers = slices.DeleteFunc(h.peers, func(o *peer) bool { return o == p })
	}()
	in := bufio.NewReader(p.conn)
	for {
		packet, err := ber.ReadPacket(in)
		if err != nil {
			return
		}
		r := readRequest(packet)
		h.mu.Lock()
		h.seen = append(h.seen, seen{time.Now(), p.number, r})
		p.quiet = time.Now()
		script, awake := h.script, h.resumed
		h.mu.Unlock()
		p.note(&r)
		p.await(awake)
		if r.kind == "unbind" {
			return
		}
		if script == nil || !script(p, &r) {
			p.answer(&r)
		}
	}
}

// note keeps the rule of the two lanes: no connection that was ever asked to bind as a user
// searches, and none of the service's own binds users.
func (p *peer) note(r *request) {
	if r.kind == "search" && p.users || r.kind == "bind" && !p.host.net.rebinds && (p.service || r.dn == ldaptest.ServiceDN && p.users) {
		p.host.net.mu.Lock()
		defer p.host.net.mu.Unlock()
		p.host.net.mixed = append(p.host.net.mixed, fmt.Sprintf("%s %s on connection %d to %s", r.kind, r.dn, p.number, p.host.name))
	}
	if r.kind == "bind" {
		p.service, p.users = p.service || r.dn == ldaptest.ServiceDN, p.users || r.dn != ldaptest.ServiceDN
	}
}

// await waits for c or the test's end.
func (p *peer) await(c <-chan struct{}) {
	select {
	case <-c:
	case <-p.host.net.over:
	}
}

func readRequest(packet *ber.Packet) request {
	op := packet.Children[1]
	r := request{id: packet.Children[0].Value.(int64)}
	switch op.Tag {
	case ldap.ApplicationBindRequest:
		r.kind, r.dn, r.password = "bind", op.Children[1].Data.String(), op.Children[2].Data.String()
		if op.Children[2].Tag == 3 { // SASL: the certificate of every client is the service's
			r.external, r.dn, r.password = true, ldaptest.ServiceDN, ldaptest.ServicePassword
		}
	case ldap.ApplicationSearchRequest:
		r.kind, r.dn = "search", op.Children[0].Data.String()
		if r.dn == "" {
			r.kind = "ping"
		}
		for _, a := range op.Children[7].Children {
			r.attributes = append(r.attributes, a.Data.String())
		}
		if filter := op.Children[6]; filter.Tag == ldap.FilterEqualityMatch {
			r.uid = filter.Children[1].Data.String()
		}
	case ldap.ApplicationUnbindRequest:
		r.kind = "unbind"
	}
	if len(packet.Children) > 2 {
		for _, control := range packet.Children[2].Children {
			r.controls = append(r.controls, control.Children[0].Data.String())
		}
	}
	return r
}

// answer is what a directory in order says.
func (p *peer) answer(r *request) {
	switch r.kind {
	case "bind":
		p.host.mu.Lock()
		password, known := p.host.passwords[r.dn]
		second := p.host.second
		p.host.mu.Unlock()
		p.identity = ""
		code := uint16(ldap.LDAPResultInvalidCredentials)
		if known && (password == r.password || r.dn == ldaptest.ServiceDN && second != "" && second == r.password) {
			p.identity, code = r.dn, ldap.LDAPResultSuccess
		}
		if p.write(ldaptest.BindResponse(r.id, code, "")) && r.dn == ldaptest.ServiceDN && code != ldap.LDAPResultSuccess {
			p.host.set(func(h *host) { h.refusals++ })
		}
	case "ping":
		p.write(ldaptest.SearchDone(r.id, ldap.LDAPResultSuccess, ""))
	case "search":
		if p.identity != ldaptest.ServiceDN {
			p.write(ldaptest.SearchDone(r.id, ldap.LDAPResultNoSuchObject, ""))
			return
		}
		entry := ldaptest.SearchEntry(r.id, ldaptest.Entry{DN: "uid=" + r.uid + "," + ldaptest.PeopleDN, Attributes: map[string][]string{"uid": {r.uid}}})
		p.write(append(entry, ldaptest.SearchDone(r.id, ldap.LDAPResultSuccess, "")...))
	}
}

// write sends bytes, and reports whether the client read them; what one that is gone does not read
// is lost.
func (p *peer) write(b []byte) bool {
	_, err := p.conn.Write(b)
	return err == nil
}

// cut ends the connection.
func (p *peer) cut() {
	p.client.closed()
	_ = p.raw.Close()
}

// set changes the directory.
func (h *host) set(change func(h *host)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(h)
}

// on has script answer from the next request on; it falls to the directory what script returns
// false for.
func (h *host) on(script func(p *peer, r *request) bool) { h.set(func(h *host) { h.script = script }) }

// refuse makes the directory refuse further connections. With cut, those that are open end.
func (h *host) refuse(cut bool) {
	h.set(func(h *host) { h.refusing = errConnRefused })
	if cut {
		h.abortAll()
	}
}

// accept takes refuse back.
func (h *host) accept() { h.set(func(h *host) { h.refusing = nil }) }

// pause makes the directory accept and read, and answer nothing.
func (h *host) pause() { h.set(func(h *host) { h.resumed = make(chan struct{}) }) }

// resume makes it answer again, first what it read meanwhile.
func (h *host) resume() { h.set(func(h *host) { close(h.resumed) }) }

// abortAll ends every connection.
func (h *host) abortAll() {
	for _, p := range h.open() {
		p.cut()
	}
}

// open are the connections, oldest first.
func (h *host) open() []*peer {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.peers)
}

// requests are those that arrived so far, of the kinds given or all.
func (h *host) requests(kinds ...string) []seen {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []seen
	for _, s := range h.seen {
		if len(kinds) == 0 || slices.Contains(kinds, s.kind) {
			found = append(found, s)
		}
	}
	return found
}

// bindsOf are the binds as dn.
func (h *host) bindsOf(dn string) []seen {
	return slices.DeleteFunc(h.requests("bind"), func(s seen) bool { return s.dn != dn })
}

// refusedDials says how many service binds were, and the pool heard of it.
func (h *host) refusedDials() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.refusals
}

// attempts are the times of all dials.
func (h *host) attempts() []time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.dialled)
}

// tester is a test, of the standard library's kind or rapid's.
type tester interface {
	require.TestingT
	Helper()
	Error(args ...any)
	Cleanup(f func())
}

// start makes a pool on the network, with all its hosts in the order of their names unless change
// says otherwise. The books are checked at every hook, and when the test ends the pool must close
// and leave nothing.
func (m *fakeNet) start(t tester, changes ...func(*Config)) *Pool {
	t.Helper()
	cfg := Config{BindDN: ldaptest.ServiceDN, BindPassword: ldaptest.ServicePassword}
	for _, name := range slices.Sorted(maps.Keys(m.hosts)) {
		cfg.Servers = append(cfg.Servers, m.hosts[name].url())
	}
	for _, change := range changes {
		change(&cfg)
	}
	var p *Pool
	made := make(chan struct{})
	audit := func() {
		<-made
		if err := p.audit(); err != nil {
			t.Error(err)
		}
	}
	cfg.Trace = audited(cfg.Trace, audit)
	cfg.Dial = m.dial
	p, err := newPool(cfg, discovery.Lookups{SRV: m.lookup, Host: m.addresses})
	close(made)
	require.NoError(t, err)
	t.Cleanup(func() {
		defer m.end()
		closePool(t, p)
		open, _ := m.used()
		require.Zero(t, open, "sockets left open")
		m.mu.Lock()
		defer m.mu.Unlock()
		require.Empty(t, m.mixed, "lanes mixed up")
	})
	return p
}

// end ends every goroutine of the network, and waits for them.
func (m *fakeNet) end() {
	close(m.over)
	for _, h := range m.hosts {
		h.abortAll()
	}
	m.serve.Wait()
}

// audited has audit run after every hook.
func audited(trace Trace, audit func()) Trace {
	out := trace
	out.Acquired = func(ctx context.Context, e AcquireEvent) {
		if trace.Acquired != nil {
			trace.Acquired(ctx, e)
		}
		audit()
	}
	out.Operated = func(ctx context.Context, e OperationEvent) {
		if trace.Operated != nil {
			trace.Operated(ctx, e)
		}
		audit()
	}
	out.Dialed = alsoAudit(trace.Dialed, audit)
	out.Pinged = alsoAudit(trace.Pinged, audit)
	out.Retired = alsoAudit(trace.Retired, audit)
	out.ServerChanged = alsoAudit(trace.ServerChanged, audit)
	return out
}

func alsoAudit[E any](hook func(E), audit func()) func(E) {
	return func(e E) {
		if hook != nil {
			hook(e)
		}
		audit()
	}
}

// audit checks what must hold whenever the pool's lock is free: that the core and puddle agree on
// what is idle, and that counts add up. The core's own model test checks more.
func (p *Pool) audit() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	wrong := func(holds bool, format string, args ...any) {
		if !holds {
			errs = append(errs, fmt.Errorf("books: "+format, args...))
		}
	}
	var phases [core.Closed + 1]int
	idle := map[*core.Server]map[core.Lane]int{}
	for _, c := range p.core.Conns() {
		phases[c.Phase]++
		if idle[c.Server] == nil {
			idle[c.Server] = map[core.Lane]int{}
		}
		if c.Phase == core.Available {
			idle[c.Server][c.Lane]++
		}
	}
	for s, lanes := range idle {
		for l, n := range lanes {
			st := p.stores[s]
			wrong(st != nil && int(st[l].pool.Stat().IdleResources()) >= n, "%s: fewer connections idle in puddle than in the core, %d", s.URL, n)
		}
	}
	open := phases[core.Available] + phases[core.InUse] + phases[core.Checking] + phases[core.Closing]
	dialing := phases[core.Dialing] + phases[core.DialingSlow]
	gone := 0
	stats := p.core.Stats()
	for reason, n := range stats.Closed {
		gone += int(n)
		wrong(slices.Contains(RetireReasons(), RetireReason(reason)), "retired for the reason %q", reason)
	}
	wrong(int(stats.Dials-stats.DialErrors)-gone == open+dialing, "%d dials, %d failed, %d retired, but %d open, %d dialing",
		stats.Dials, stats.DialErrors, gone, open, dialing)
	wrong(dialing <= core.MaxDials, "%d dials at one time", dialing)
	return errors.Join(errs...)
}

// closePool closes p and checks that nothing is left of it.
func closePool(t tester, p *Pool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(t, p.Close(ctx))
	require.NoError(t, p.audit())
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Empty(t, p.core.Conns(), "connections after Close")
}

// base is a search of an entry, as it is configured for probes.
func base(dn string) *ldap.SearchRequest {
	return ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)", []string{"1.1"}, nil)
}

// people is the search of a login.
func people() *ldap.SearchRequest {
	return ldap.NewSearchRequest(ldaptest.PeopleDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, 0, false, "(uid=user1)", []string{"uid"}, nil)
}

// mustSearch does a search that must succeed.
func mustSearch(t testing.TB, p *Pool) *SearchResult {
	t.Helper()
	r, err := p.Search(context.Background(), people())
	require.NoError(t, err)
	require.EqualValues(t, ldap.LDAPResultSuccess, r.Code)
	require.Len(t, r.Entries, 1)
	return r
}

// mustBind does a bind with the right password, which must succeed.
func mustBind(t testing.TB, p *Pool) *BindResult {
	t.Helper()
	r, err := p.Bind(context.Background(), ldaptest.UserDN(1), ldaptest.Password(1))
	require.NoError(t, err)
	require.EqualValues(t, ldap.LDAPResultSuccess, r.Code)
	return r
}

// until polls for what the pool's own goroutines bring about outside a bubble.
func until(t testing.TB, p *Pool, what string, cond func(s *Stat) bool) {
	t.Helper()
	ldaptest.Eventually(t, what, func() bool { return cond(p.Stat()) })
}

// sizes sets the limits that matter most.
func sizes(maxConns, minIdle int) func(*Config) {
	return func(c *Config) { c.MaxConns, c.MinIdleConns = maxConns, minIdle }
}
