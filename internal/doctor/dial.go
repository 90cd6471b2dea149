package doctor

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"authsvc/internal/auth"
	"authsvc/ldappool"
)

// resolve gives the servers of an item of LDAP_URL: itself, or those that the DNS names.
func (d *doctor) resolve(ctx context.Context, item string) (servers []string) {
	if !strings.HasPrefix(item, "ldap+srv://") {
		return []string{item}
	}
	d.do(item, "dns SRV", func() finding {
		var err error
		ctx, cancel := context.WithTimeout(ctx, d.dialTimeout())
		defer cancel()
		var unknown *net.DNSError
		switch servers, err = ldappool.LookupServers(ctx, item); {
		case errors.As(err, &unknown) && unknown.IsNotFound:
			return ill("ask whoever runs the DNS of the domain (dig SRV "+unknown.Name+" shows the same), or name the servers in LDAP_URL themselves",
				"the DNS names no server: there are no records %s", unknown.Name)
		case err != nil:
			return ill("ask the domain's DNS for _ldap._tcp records (dig SRV _ldap._tcp.DOMAIN), or name the servers in LDAP_URL themselves",
				"the DNS names no server: %v", err)
		}
		return well("%s", strings.Join(servers, ", "))
	})
	return servers
}

func (d *doctor) dialTimeout() time.Duration {
	if d.Pool.DialTimeout > 0 {
		return d.Pool.DialTimeout
	}
	return 3 * time.Second
}

// attempt is one dial.
type attempt struct {
	addr  string // empty: the URL's own
	steps []ldappool.DialStep
	conn  *ldappool.Conn
}

// connect dials every address of a server, and gives a connection on which the service identity may search; nil where
// there is none. The service identity binds at one address, once: each bind that is refused counts against it.
func (d *doctor) connect(ctx context.Context, server string) *ldappool.Conn {
	addrs, ok := d.lookup(ctx, server)
	if !ok {
		d.tell(server, "directory", 0, unseen("not looked at: the server has no address"))
		return nil
	}
	lane := ldappool.SearchLane
	if d.Pool.BindOnly || d.refused != "" {
		lane = ldappool.BindLane
	}
	var attempts []attempt
	var conn *ldappool.Conn
	for _, addr := range addrs {
		a := d.dial(ctx, server, addr, lane)
		attempts = append(attempts, a)
		switch {
		case a.conn == nil:
		case conn == nil && (lane == ldappool.SearchLane || d.Pool.BindOnly):
			conn = a.conn
		default:
			a.conn.Close()
		}
		if introduced(a) {
			lane = ldappool.BindLane
		}
	}
	d.report(ctx, server, attempts)
	switch {
	case conn == nil && d.refused != "" && d.refused != server:
		d.tell(server, "service bind", 0, unseen("not tried: %s refused the same password, and each such try counts against the account", d.refused))
	case conn == nil:
		d.tell(server, "directory", 0, unseen("not looked at: the steps before it did not succeed"))
	}
	return conn
}

// introduced tells whether it came to the service bind, or to what stands in its place.
func introduced(a attempt) bool {
	last := a.steps[len(a.steps)-1]
	return last.Name == "service bind" || last.Name == "ping"
}

// dial is one dial of the pool's own.
func (d *doctor) dial(ctx context.Context, server, addr string, lane ldappool.Lane) attempt {
	a := attempt{addr: addr}
	cfg := d.Pool
	cfg.Servers, cfg.Trace = []string{server}, ldappool.Trace{}
	c, err := ldappool.Connect(ctx, cfg, addr, lane, func(s ldappool.DialStep) { a.steps = append(a.steps, s) })
	a.conn = c
	if len(a.steps) == 0 {
		a.steps = []ldappool.DialStep{{Name: "connect", Err: err}}
	}
	if last := a.steps[len(a.steps)-1]; last.Err != nil && last.Result != nil && auth.ExplainBind(d.Logins.Preset, *last.Result).Outcome.IsVerdict() {
		d.refused = server
	}
	return a
}

// lookup gives the addresses of a server's host, with its port. One that is no name has one, and needs no DNS.
func (d *doctor) lookup(ctx context.Context, server string) ([]string, bool) {
	host, port, ok := hostPort(server)
	if !ok {
		return []string{""}, true
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return []string{""}, true
	}
	var addrs []string
	ok = d.do(server, "dns", func() finding {
		ctx, cancel := context.WithTimeout(ctx, d.dialTimeout())
		defer cancel()
		ips, err := d.names.LookupIPAddr(ctx, host)
		var unknown *net.DNSError
		switch {
		case errors.As(err, &unknown) && unknown.IsNotFound:
			remedy := "correct the host in LDAP_URL, or have it entered in the DNS"
			if !strings.Contains(host, ".") {
				remedy += "; a short name may need its domain: " + host + ".example.org"
			}
			return ill(remedy, "the name %q does not exist in the DNS", host)
		case err != nil:
			return ill("see whether this machine reaches its DNS server (/etc/resolv.conf), or name the server by its address in LDAP_URL",
				"the DNS gave no answer about %q: %v", host, err)
		}
		var texts []string
		for _, ip := range ips {
			texts = append(texts, ip.String())
			addrs = append(addrs, net.JoinHostPort(ip.String(), port))
		}
		return well("%s is %s", host, strings.Join(texts, ", "))
	})
	return addrs, ok
}

// hostPort reads a server's URL; false where it is a socket's.
func hostPort(server string) (host, port string, ok bool) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme == "ldapi" {
		return "", "", false
	}
	port = u.Port()
	if port == "" {
		port = map[string]string{"ldap": "389", "ldaps": "636"}[u.Scheme]
	}
	return u.Hostname(), port, true
}

// report tells of the dials' steps. That one of several addresses cannot be connected to is no failure: the pool goes on to
// the next.
func (d *doctor) report(ctx context.Context, server string, attempts []attempt) {
	connected := false
	for _, a := range attempts {
		connected = connected || a.steps[0].Err == nil
	}
	for _, a := range attempts {
		for _, step := range a.steps {
			began := time.Now()
			f := d.judge(ctx, server, a, step)
			if f.Mark == Failed && step.Name == "connect" && connected {
				f.Mark = Warn
				f.Finding += "; the next address is tried, which costs time"
			}
			name := map[string]string{"connect": "tcp", "starttls": "starttls", "tls": "tls", "service bind": "service bind", "ping": "ldap"}[step.Name]
			if len(attempts) > 1 && !strings.Contains(f.Finding, a.addr) {
				f.Finding = a.addr + ": " + f.Finding
			}
			took := step.Took
			if step.Err != nil {
				took += time.Since(began) // a second look
			}
			d.tell(server, name, took, f)
		}
	}
}

// judge says what a step of a dial means.
func (d *doctor) judge(ctx context.Context, server string, a attempt, step ldappool.DialStep) finding {
	at := a.addr
	if host, port, ok := hostPort(server); ok && at == "" {
		at = net.JoinHostPort(host, port)
	}
	switch step.Name {
	case "connect":
		if at == "" {
			at = server
		}
		return d.connected(server, at, step)
	case "starttls":
		return d.startedTLS(ctx, at, step)
	case "tls":
		return d.secured(ctx, server, at, step)
	case "service bind":
		return d.bound(ctx, server, at, step)
	}
	if step.Err != nil {
		return d.speechless(ctx, server, at, step.Err)
	}
	return well("it speaks LDAP")
}

// connected judges a TCP connection.
func (d *doctor) connected(server, at string, step ldappool.DialStep) finding {
	err := step.Err
	switch {
	case err == nil:
		if f, open := d.inTheClear(server, at); open {
			return f
		}
		return well("connected to %s", at)
	case errors.Is(err, syscall.ECONNREFUSED):
		return ill("start the directory, or correct host and port in LDAP_URL (389 is usual for ldap://, 636 for ldaps://); a firewall that refuses looks the same",
			"nothing listens at %s: connection refused", at)
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.EACCES):
		return ill("correct the socket's path in LDAP_URL (percent-encoded), and see whether this user may open it", "the socket cannot be opened: %v", err)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return ill("see to this machine's routes, or to the address in LDAP_URL", "there is no way to %s: %v", at, err)
	case isTimeout(err):
		return ill("have the firewalls between let this machine connect to it; see whether the host is up and the address is right",
			"%s does not answer within %v: the host is down, or a firewall drops what is sent to it", at, d.dialTimeout())
	}
	return ill("see to the network between this machine and the directory", "cannot connect to %s: %v", at, err)
}

// inTheClear warns of passwords that anybody on the way can read.
func (d *doctor) inTheClear(server, at string) (finding, bool) {
	host, _, err := net.SplitHostPort(at)
	ip, _ := netip.ParseAddr(host)
	if err != nil || !strings.HasPrefix(server, "ldap://") || d.Pool.StartTLS || ip.IsLoopback() || host == "localhost" {
		return finding{}, false
	}
	return unwise("set LDAP_START_TLS=true, or ldaps:// in LDAP_URL", "connected to %s without TLS: everybody's passwords can be read on the way", at), true
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ldappool.ErrTimeout) || errors.As(err, &t) && t.Timeout()
}

// speechless says what a server is that does not speak LDAP, having asked it in other tongues.
func (d *doctor) speechless(ctx context.Context, server, at string, err error) finding {
	secure := strings.HasPrefix(server, "ldaps://") || d.Pool.StartTLS
	switch speaks(ctx, at, secure) {
	case "http":
		return ill("correct the port in LDAP_URL: 389 is usual for ldap://, 636 for ldaps://", "an HTTP server is at %s, and no directory", at)
	case "tls":
		return ill("write ldaps:// in place of ldap:// in LDAP_URL", "%s speaks TLS from the first byte, which ldap:// does not", at)
	}
	if isTimeout(err) {
		return ill("look at the directory's load and its log; a firewall may let connections begin and drop what follows; LDAP_DIAL_TIMEOUT gives it longer",
			"%s takes the connection and does not answer within %v", at, d.dialTimeout())
	}
	return ill("see whether a directory is at that port, and what its log says", "%s does not answer as a directory: %v", at, err)
}

// startedTLS judges the answer to StartTLS.
func (d *doctor) startedTLS(ctx context.Context, at string, step ldappool.DialStep) finding {
	switch err := step.Err; {
	case err == nil:
		return well("the server goes over to TLS")
	case speaks(ctx, at, false) != "":
		return d.speechless(ctx, "", at, err)
	case isTimeout(err):
		return d.speechless(ctx, "", at, err)
	}
	return ill("give the directory a certificate (OpenLDAP: TLSCertificateFile), or use its ldaps:// port in LDAP_URL with LDAP_START_TLS=false",
		"the server does not do StartTLS: %v", step.Err)
}
