// Package discovery finds the servers behind the URLs of a configuration: those that the DNS names
// for a domain, and the addresses of a name.
package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"authsvc/ldappool/ldapconn"
	"authsvc/ldappool/ldapurl"
)

const (
	// Interval is how often names are looked up: the resolver reports no TTL.
	Interval = 30 * time.Second

	minRetry = 100 * time.Millisecond
	maxRetry = time.Second
)

// Server is a server that was found.
type Server struct {
	URL      string // of the server; with its address if its name has several
	Tier     int    // addresses of one name are equals, and have the same tier; earlier names have lower tiers
	Endpoint ldapconn.Endpoint
	Domain   string // the ldap+srv URL that it was found by; empty for others
}

// Domain is an ldap+srv URL and what is known of it.
type Domain struct {
	URL   string
	Tried bool      // a lookup has ended
	Since time.Time // since when lookups have failed; zero if they do not
	Err   error     // of the last lookup
	Known int       // servers known, also from earlier lookups
}

// State is everything that is known.
type State struct {
	Servers []Server
	Domains []Domain
	Pending bool // a first lookup is running; servers may come of it
}

// Lookups has the DNS lookups of net.Resolver. With a nil Host, names are not resolved to
// addresses.
type Lookups struct {
	SRV  func(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
	Host func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Resolver looks names up again and again.
type Resolver struct {
	lookups  Lookups
	onChange func(State)  // called after a lookup that changed something
	onLookup func(Domain) // called after each lookup of a domain
	wake     chan struct{}

	mu      sync.Mutex // guards what follows
	urls    []string
	timeout time.Duration
	domains map[string]*domain // by URL
	names   map[string]*name   // by host
}

// domain is the last DNS answer about a domain.
type domain struct {
	Domain
	canonical []string // the records of the last answer, in an order that does not depend on it
	urls      []string // of the servers, first choice first
}

// name is the last DNS answer about a host name.
type name struct {
	tried     bool
	addresses []string // sorted
}

// New returns a resolver without URLs. found is called when something has changed, and looked after
// each lookup of a domain.
func New(lookups Lookups, found func(State), looked func(Domain)) *Resolver {
	return &Resolver{
		lookups: lookups, onChange: found, onLookup: looked, wake: make(chan struct{}, 1),
		domains: map[string]*domain{}, names: map[string]*name{},
	}
}

// Configure replaces the URLs, and returns what is known of them. Run looks the others up.
func (r *Resolver) Configure(urls []string, timeout time.Duration) State {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.urls, r.timeout = slices.Clone(urls), timeout
	for url := range r.domains {
		if !slices.Contains(urls, url) {
			delete(r.domains, url)
		}
	}
	for _, url := range urls {
		if ldapurl.SchemeOf(url) == ldapurl.Domain && r.domains[url] == nil {
			r.domains[url] = &domain{Domain: Domain{URL: url}}
		}
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return r.stateLocked()
}

// State returns what is known.
func (r *Resolver) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stateLocked()
}

// Run looks names up until ctx ends.
func (r *Resolver) Run(ctx context.Context) {
	timer := time.NewTimer(Interval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
		}
		timer.Reset(r.lookUpAll(ctx))
	}
}

// lookUpAll looks everything up once, and returns when to do so again.
func (r *Resolver) lookUpAll(ctx context.Context) time.Duration {
	next := Interval
	r.mu.Lock()
	urls := slices.Clone(r.urls)
	r.mu.Unlock()
	for _, url := range urls {
		if ldapurl.SchemeOf(url) == ldapurl.Domain {
			next = min(next, r.lookUpDomain(ctx, url))
		}
	}
	for _, host := range r.hosts() {
		r.lookUpHost(ctx, host)
	}
	return next
}

// hosts returns the names whose addresses are to be looked up.
func (r *Resolver) hosts() (hosts []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lookups.Host == nil {
		return nil
	}
	for _, url := range r.serverURLsLocked() {
		e, err := ldapconn.ParseURL(url.url)
		if err == nil && isName(e) && !slices.Contains(hosts, e.Name) {
			hosts = append(hosts, e.Name)
		}
	}
	return hosts
}

// isName reports whether an endpoint has a name with addresses to be looked up. Both addresses of
// localhost are this machine.
func isName(e ldapconn.Endpoint) bool {
	_, err := netip.ParseAddr(e.Name)
	return e.Network == "tcp" && err != nil && !strings.EqualFold(e.Name, "localhost")
}

// lookUpHost looks up the addresses of a name. A lookup that fails changes nothing.
func (r *Resolver) lookUpHost(ctx context.Context, host string) {
	ctx, cancel := r.withTimeout(ctx)
	defer cancel()
	addrs, err := r.lookups.Host(ctx, host)
	var addresses []string
	for _, a := range addrs {
		addresses = append(addresses, a.Unmap().String())
	}
	slices.Sort(addresses)
	addresses = slices.Compact(addresses)
	addresses = addresses[:min(len(addresses), maxTargets)]
	r.mu.Lock()
	n := r.names[host]
	if n == nil {
		n = &name{}
		r.names[host] = n
	}
	changed := !n.tried || err == nil && len(addresses) > 0 && !slices.Equal(addresses, n.addresses)
	if n.tried = true; changed && err == nil {
		n.addresses = addresses
	}
	state := r.stateLocked()
	r.mu.Unlock()
	if changed && ctx.Err() != context.Canceled {
		r.onChange(state)
	}
}

func (r *Resolver) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return context.WithTimeout(ctx, r.timeout)
}

// lookUpDomain looks up the servers of a domain, and returns when to do so again.
func (r *Resolver) lookUpDomain(ctx context.Context, url string) time.Duration {
	within, cancel := r.withTimeout(ctx)
	host := DomainName(url)
	_, records, err := r.lookups.SRV(within, "ldap", "tcp", host)
	cancel()
	if ctx.Err() != nil {
		return Interval
	}
	r.mu.Lock()
	d := r.domains[url]
	if d == nil {
		r.mu.Unlock()
		return Interval
	}
	first := !d.Tried
	changed, next := d.update(host, records, err, time.Now())
	reported, state := d.Domain, r.stateLocked()
	r.mu.Unlock()
	if changed || first || reported.Err != nil {
		r.onChange(state)
	}
	if reported.Since.IsZero() && reported.Known > 0 {
		reported.Err = nil // it is about one of several records
	}
	r.onLookup(reported)
	return next
}

// ErrNoService is the answer of a domain that has no such service: a single record with the target
// "." (RFC 2782).
var ErrNoService = errors.New("the domain has no LDAP service")

// LookupDomain looks up the servers of an ldap+srv URL once.
func LookupDomain(ctx context.Context, lookups Lookups, url string) ([]string, error) {
	host := DomainName(url)
	_, records, err := lookups.SRV(ctx, "ldap", "tcp", host)
	var d domain
	d.update(host, records, err, time.Now())
	return d.urls, d.Err
}

// LookupError says that the servers of a domain could not be looked up.
type LookupError struct {
	Name string
	Err  error
}

func (e *LookupError) Error() string { return "lookup of " + e.Name + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *LookupError) Unwrap() error { return e.Err }

// update applies the result of a lookup. A lookup that fails or finds nothing keeps the known
// servers: a directory is more likely to be available than a resolver.
func (d *domain) update(host string, records []*net.SRV, err error, now time.Time) (changed bool, next time.Duration) {
	d.Tried = true
	label := "_ldap._tcp." + host
	if len(records) == 0 { // if there are records, err is about others whose targets are not names
		if err == nil {
			err = errors.New("no such records")
		}
		d.Err = &LookupError{label, err}
		if d.Since.IsZero() {
			d.Since = now
		}
		if len(d.urls) > 0 {
			return false, Interval
		}
		return false, min(max(now.Sub(d.Since)/10, minRetry), maxRetry)
	}
	urls, canonical := Targets(records)
	d.Err, d.Since = nil, time.Time{}
	if len(urls) == 0 {
		d.Err = &LookupError{label, ErrNoService}
	}
	for _, url := range urls {
		if _, err := ldapconn.ParseURL(url); err != nil {
			d.Err = fmt.Errorf("lookup of %s: %w", label, err)
		}
	}
	// The order among equal weights is drawn when the records change and not at each lookup, or
	// connections would move.
	if slices.Equal(canonical, d.canonical) {
		return false, Interval
	}
	urls = slices.DeleteFunc(urls, func(url string) bool { _, err := ldapconn.ParseURL(url); return err != nil })
	d.canonical, d.urls, d.Known = canonical, urls, len(urls)
	return true, Interval
}

// DomainName returns the domain of an ldap+srv URL.
func DomainName(url string) string {
	u, _ := ldapurl.Parse(url) // the pool has checked it
	return u.Host
}

// Bounds of what is taken from the DNS, and so of what is dialed: each server is probed and has
// connections of its own.
const (
	maxRecords = 256 // looked at, first choice first
	maxTargets = 32  // servers of one domain, and addresses of one name
	maxHost    = 253 // bytes of a name (RFC 1035 section 2.3.4)
)

// isTarget reports whether a record names a server: by a name, since no record may have an address
// there (RFC 2782), and with a port.
func isTarget(port uint16, host string) bool {
	_, err := netip.ParseAddr(host)
	return port != 0 && host != "" && len(host) <= maxHost && err != nil
}

// Targets returns the URLs of SRV records in their order, as many as are used, and the records in
// an order that does not depend on theirs.
func Targets(records []*net.SRV) (urls, canonical []string) {
	for _, rec := range records[:min(len(records), maxRecords)] {
		host := strings.ToLower(strings.TrimSuffix(rec.Target, "."))
		canonical = append(canonical, fmt.Sprint(rec.Priority, rec.Weight, rec.Port, host))
		url := "ldap://" + net.JoinHostPort(host, strconv.Itoa(int(rec.Port)))
		if isTarget(rec.Port, host) && len(urls) < maxTargets && !slices.Contains(urls, url) {
			urls = append(urls, url)
		}
	}
	slices.Sort(canonical)
	return urls, canonical
}

// serverURL is the URL of a server, and of the domain that it was found by.
type serverURL struct{ url, domain string }

// serverURLsLocked are the servers before their names are looked up.
func (r *Resolver) serverURLsLocked() (urls []serverURL) {
	for _, url := range r.urls {
		d := r.domains[url]
		if d == nil {
			urls = append(urls, serverURL{url: url})
			continue
		}
		for _, u := range d.urls {
			urls = append(urls, serverURL{u, url})
		}
	}
	return urls
}

// stateLocked returns the current State. A name with one address is dialed by its name, which is
// looked up at each dial.
func (r *Resolver) stateLocked() State {
	var s State
	for _, url := range r.urls {
		if d := r.domains[url]; d != nil {
			s.Domains = append(s.Domains, d.Domain)
			s.Pending = s.Pending || !d.Tried
		}
	}
	for tier, url := range r.serverURLsLocked() {
		e, err := ldapconn.ParseURL(url.url)
		if err != nil {
			continue
		}
		server := Server{URL: url.url, Tier: tier, Endpoint: e, Domain: url.domain}
		if r.lookups.Host == nil || !isName(e) {
			s.Servers = append(s.Servers, server)
			continue
		}
		n := r.names[e.Name]
		switch {
		case n == nil || !n.tried:
			s.Pending = true
		case len(n.addresses) < 2:
			s.Servers = append(s.Servers, server)
		default:
			s.Servers = append(s.Servers, addresses(server, n.addresses)...)
		}
	}
	return s
}

// addresses makes a server of each address. TLS still verifies the name.
func addresses(server Server, addresses []string) (servers []Server) {
	_, port, err := net.SplitHostPort(server.Endpoint.Address)
	if err != nil {
		return []Server{server}
	}
	for _, a := range addresses {
		s := server
		s.URL = fmt.Sprintf("%s (%s)", server.URL, a)
		s.Endpoint.Address = net.JoinHostPort(a, port)
		servers = append(servers, s)
	}
	return servers
}
