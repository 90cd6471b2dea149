package ldappool

import (
	"context"
	"net"
	"net/netip"
	"time"

	"authsvc/ldappool/internal/core"
	"authsvc/ldappool/internal/discovery"
	"authsvc/ldappool/ldapconn"
)

// lookupHost looks up the addresses of a name.
func lookupHost(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// core returns the part of the configuration that the core uses.
func (c *Config) core(identity int) core.Config {
	return core.Config{
		MaxConns: c.MaxConns, MinIdleConns: c.MinIdleConns, MaxWaiters: c.MaxWaiters, MaxWait: c.MaxWait, RequestTimeout: c.RequestTimeout,
		MaxIdleTime: c.MaxIdleTime, MaxLifetime: c.MaxLifetime, HealthCheckInterval: c.HealthCheckInterval,
		RoundRobin: c.Policy == RoundRobin, BindOnly: c.BindOnly, ServiceBind: c.HasIdentity(), Identity: identity,
		BindLane: core.ServiceBindRule(c.BindLaneServiceBind),
	}
}

// endpoints returns the core's endpoints of the resolved servers.
func (c *Config) endpoints(servers []discovery.Server) (all []core.Endpoint) {
	for _, s := range servers {
		l := link{endpoint: s.Endpoint}
		if c.StartTLS && l.endpoint.Network == "tcp" && l.endpoint.Security == ldapconn.Plain {
			l.endpoint.Security = ldapconn.StartTLS
		}
		if l.endpoint.Security != ldapconn.Plain {
			l.tls = c.TLS
		}
		all = append(all, core.Endpoint{URL: s.URL, Tier: s.Tier, Link: l})
	}
	return all
}

// serversChanged applies a change of the resolved servers.
func (p *Pool) serversChanged(s discovery.State) {
	p.update(func(now time.Time) {
		if !p.core.IsClosed() {
			p.setServersLocked(now, s)
		}
	})
}

func (p *Pool) setServersLocked(now time.Time, s discovery.State) {
	lookups := core.Lookups{Pending: s.Pending}
	for _, d := range s.Domains {
		if d.Known == 0 && d.Err != nil {
			lookups.Errs = append(lookups.Errs, &core.ServerError{URL: d.URL, Err: d.Err})
		}
	}
	p.core.SetServers(now, p.config().endpoints(s.Servers), lookups)
	for _, d := range s.Domains {
		for _, srv := range s.Servers {
			if srv.Domain == d.URL && d.Err != nil {
				p.core.LookupFailed(srv.URL, d.Err)
			}
		}
	}
}

// domainLookedUp calls the hook for a lookup of a domain.
func (p *Pool) domainLookedUp(d discovery.Domain) {
	if hook := p.config().Trace.LookedUp; hook != nil {
		hook(d.URL, d.Known, d.Err)
	}
}

// Reconfigure replaces the configuration immediately and without failing an operation. Zero fields
// of cfg take their defaults, as with New. It fails if cfg is invalid, and names every invalid
// field; on a closed pool it fails with ErrClosed. If it fails, nothing has changed. It does not
// wait for the directory: connections are replaced in the background.
//
// Connections that were made to another server, with other TLS settings (another *tls.Config) or,
// for searches, as another identity stay in use until their replacements are there, and are closed
// one by one. While the directory refuses the new settings, for example because a new password
// reaches it later than the pool, they are kept beyond their age, and Stat and Trace have the
// error. With MaxConns 1 or 2 there may be no room for a replacement in addition to them; with
// another server or other TLS settings they are then replaced when they end. Limits, timeouts and
// Trace apply immediately and replace no connection. Connections in excess of a smaller MaxConns
// are closed as they are released.
//
// A server whose URL is in both configurations keeps its state. A server that refused the service
// identity is tried again immediately, even if the identity has not changed.
func (p *Pool) Reconfigure(cfg Config) error {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return err
	}
	p.mu.Lock()
	if p.core.IsClosed() {
		p.mu.Unlock()
		return &OpError{Op: "reconfigure", Kind: ErrClosed}
	}
	if !p.config().hasIdentityOf(&cfg) {
		p.identity++
	}
	p.cfg.Store(&cfg)
	now := time.Now()
	p.core.SetConfig(now, cfg.core(p.identity))
	p.setServersLocked(now, p.resolver.Configure(cfg.Servers, cfg.DialTimeout))
	actions := p.actionsLocked()
	p.mu.Unlock()
	p.execute(actions)
	return nil
}

// LookupServers returns the URLs of the servers that the DNS has for an ldap+srv URL, first choice
// first.
func LookupServers(ctx context.Context, url string) ([]string, error) {
	if err := checkURL(url); err != nil {
		return nil, err
	}
	return discovery.LookupDomain(ctx, discovery.Lookups{SRV: net.DefaultResolver.LookupSRV}, url)
}
