package ldappool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// resolveEvery is how often a domain's servers are looked up. net's resolver tells no TTL.
const resolveEvery = 30 * time.Second

// srvScheme begins the URL of a domain whose servers the DNS knows.
const srvScheme = "ldap+srv://"

// lookupFunc looks up SRV records, by priority and, within one, at random by weight, as net.Resolver does.
type lookupFunc func(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)

// domain is what the DNS said of one. It is guarded by Pool.mu.
type domain struct {
	tried   bool      // there was an answer, or none in time
	failing time.Time // since when there is none; zero while there is one
	err     error     // of the last lookup
	records []string  // of the last answer, sorted
	servers []string  // their URLs, first choice first
}

// errNoService is the answer of a domain that has no such service: a single record with the target "." (RFC 2782).
var errNoService = errors.New("the domain says that it has no LDAP service")

// domainOf gives the domain of an ldap+srv URL.
func domainOf(raw string) (name string, is bool) {
	name, is = strings.CutPrefix(raw, srvScheme)
	return strings.TrimSuffix(name, "/"), is
}

// checkDomain tells what is wrong with an ldap+srv URL.
func checkDomain(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.Port() != "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return errors.New("an ldap+srv URL is ldap+srv://domain and nothing else")
	}
	return nil
}

// domains are those that c names.
func (c *Config) domains() (names []string) {
	for _, raw := range c.Servers {
		if name, is := domainOf(raw); is && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// parseServers makes a server of each URL of cfg, of which nothing is known yet; for a domain, of those that were found
// last. p.mu is held, or p is not in use yet.
func (p *Pool) parseServers(cfg Config) ([]*server, error) {
	var servers []*server
	var errs []error
	for _, raw := range cfg.Servers {
		urls := []string{raw}
		if name, is := domainOf(raw); is {
			if err := checkDomain(raw); err != nil {
				errs = append(errs, fmt.Errorf("ldappool: Config.Servers: %q: %w", raw, err))
			}
			if urls = nil; p.domains[name] != nil {
				urls = p.domains[name].servers
			}
		}
		for _, url := range urls {
			e, err := parseEndpoint(url, cfg)
			if err != nil {
				errs = append(errs, fmt.Errorf("ldappool: Config.Servers: %w", err))
			}
			servers = append(servers, &server{url: url, endpoint: e, since: time.Now(), probe: probeDue})
		}
	}
	return servers, errors.Join(errs...)
}

// lookUp has the domains of the configuration looked up now. p.mu is held.
func (p *Pool) lookUp() {
	names := p.config().domains()
	for _, name := range names {
		if p.domains[name] == nil {
			p.domains[name] = &domain{}
		}
	}
	for name := range p.domains {
		if !slices.Contains(names, name) {
			delete(p.domains, name)
		}
	}
	if len(names) == 0 {
		return
	}
	if !p.resolving {
		p.resolving = true
		p.work.Go(p.resolve)
	}
	select {
	case p.renamed <- struct{}{}:
	default:
	}
}

// resolve looks up the domains, again and again. It is one goroutine, from the first domain until Close.
func (p *Pool) resolve() {
	timer := time.NewTimer(resolveEvery)
	defer timer.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.renamed:
		case <-timer.C:
		}
		next := resolveEvery
		for _, name := range p.config().domains() {
			ctx, cancel := context.WithTimeout(p.ctx, p.config().DialTimeout)
			_, records, err := p.lookupSRV(ctx, "ldap", "tcp", name)
			cancel()
			next = min(next, p.found(name, records, err))
		}
		timer.Reset(next)
	}
}

// found takes over what a lookup found, and tells when to look again. What fails or finds nothing leaves the servers that
// are known.
func (p *Pool) found(name string, records []*net.SRV, err error) time.Duration {
	p.mu.Lock()
	defer p.unlock()
	d := p.domains[name]
	if d == nil || p.closed {
		return resolveEvery
	}
	d.tried = true
	defer p.lookedUp(name, d)
	if len(records) == 0 { // with some, err tells of others that are no names
		if err == nil {
			err = errors.New("there are no such records")
		}
		d.err = &stepError{"lookup of _ldap._tcp." + name, err}
		if d.failing.IsZero() {
			d.failing = time.Now()
		}
		for _, s := range p.servers {
			if slices.Contains(d.servers, s.url) {
				s.lastOp, s.lastErr = opLookup, d.err
			}
		}
		if len(d.servers) > 0 {
			return resolveEvery
		}
		return pause(time.Since(d.failing))
	}
	d.err, d.failing = nil, time.Time{}
	servers, canonical := targets(records)
	if len(servers) == 0 {
		d.err = &stepError{"lookup of _ldap._tcp." + name, errNoService}
	}
	// The weights' lots are drawn anew for new records alone, or connections would move with each lookup.
	if slices.Equal(canonical, d.records) {
		return resolveEvery
	}
	d.records, d.servers = canonical, servers
	fresh, err := p.parseServers(*p.config())
	if err != nil { // a target that is no host
		d.err = err
		fresh = slices.DeleteFunc(fresh, func(s *server) bool { return s.endpoint.addr == "" })
	}
	p.enlist(fresh, false)
	if len(p.live) > 0 {
		p.outdate()
	}
	return resolveEvery
}

// lookedUp tells the hook what a lookup of the domain came to. p.mu is held.
func (p *Pool) lookedUp(name string, d *domain) {
	if hook := p.config().Trace.LookedUp; hook != nil {
		e := LookupEvent{Server: srvScheme + name, Known: len(d.servers)}
		if !d.failing.IsZero() || e.Known == 0 { // otherwise it is about one of several records
			e.Err = d.err
		}
		p.later(func() { hook(e) })
	}
}

// targets gives the URLs of records in their order, and the records in one that does not depend on it.
func targets(records []*net.SRV) (urls, canonical []string) {
	for _, r := range records {
		host := strings.ToLower(strings.TrimSuffix(r.Target, "."))
		canonical = append(canonical, fmt.Sprint(r.Priority, r.Weight, r.Port, host))
		url := "ldap://" + net.JoinHostPort(host, strconv.Itoa(int(r.Port)))
		if host != "" && !slices.Contains(urls, url) {
			urls = append(urls, url)
		}
	}
	slices.Sort(canonical)
	return urls, canonical
}

// lookingUp tells whether a domain's first lookup is under way. p.mu is held.
func (p *Pool) lookingUp() bool {
	for _, d := range p.domains {
		if !d.tried {
			return true
		}
	}
	return false
}

// lookupErrors are those of the domains of which no server is known. p.mu is held.
func (p *Pool) lookupErrors() (errs []error) {
	for _, name := range p.config().domains() {
		if d := p.domains[name]; d != nil && d.err != nil && len(d.servers) == 0 {
			errs = append(errs, &serverError{srvScheme + name, d.err})
		}
	}
	return errs
}

// unknown are domains of which no server is known, as servers of a snapshot. p.mu is held.
func (p *Pool) unknown() (stats []ServerStat) {
	for _, name := range p.config().domains() {
		d := p.domains[name]
		if d == nil || len(d.servers) > 0 {
			continue
		}
		s := ServerStat{URL: srvScheme + name, State: ServerSuspect, LastErr: d.err, Since: d.failing}
		if d.tried {
			s.State = ServerDown
		}
		stats = append(stats, s)
	}
	return stats
}
