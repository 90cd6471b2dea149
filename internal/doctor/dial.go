package doctor

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"authsvc/ldappool"
	"authsvc/ldappool/ldapconn"
	"authsvc/ldappool/ldapurl"
	"authsvc/ldappool/tlscause"
)

// resolve returns the servers of an item of LDAP_URL: the item itself, or the servers that the DNS
// has for it.
func (d *doctor) resolve(ctx context.Context, item string) (servers []string) {
	if ldapurl.SchemeOf(item) != ldapurl.Domain {
		return []string{item}
	}
	d.do(item, "dns SRV", func() finding {
		var err error
		ctx, cancel := context.WithTimeout(ctx, d.dialTimeout())
		defer cancel()
		var unknown *net.DNSError
		switch servers, err = ldappool.LookupServers(ctx, item); {
		case errors.As(err, &unknown) && unknown.IsNotFound:
			return fail("add the records to the domain's DNS (check with dig SRV "+unknown.Name+"), or name the servers in LDAP_URL directly",
				"the DNS has no SRV records %s", unknown.Name)
		case err != nil:
			return fail("query the domain's DNS for _ldap._tcp records (dig SRV _ldap._tcp.DOMAIN), or name the servers in LDAP_URL directly",
				"the lookup of SRV records failed: %v", err)
		}
		return pass("%s", strings.Join(servers, ", "))
	})
	return servers
}

// connect dials every address of a server. It returns a connection on which the service identity
// may search, or nil if no dial gave one. The service identity binds at one address, once: each
// refused bind counts against it.
func (d *doctor) connect(ctx context.Context, server string) *conn {
	addrs, ok := d.lookup(ctx, server)
	if !ok {
		d.report(server, "directory", 0, skip("not checked: the server has no address"))
		return nil
	}
	asService := !d.Pool.BindOnly && d.refused == ""
	var attempts []attempt
	var found *conn
	for _, addr := range addrs {
		a := d.dial(ctx, server, addr, asService)
		attempts = append(attempts, a)
		switch {
		case a.conn == nil:
		case found == nil && (asService || d.Pool.BindOnly):
			found = a.conn
			d.setReopen(found, addr, asService)
		default:
			a.conn.Close()
		}
		if reachedFirstExchange(a) {
			asService = false
		}
	}
	d.reportDials(ctx, server, attempts)
	switch {
	case found == nil && d.refused != "" && d.refused != server:
		d.report(server, "service bind", 0, skip("not tried: %s refused the same password, and the directory may count each attempt and lock the account", d.refused))
	case found == nil:
		d.report(server, "directory", 0, skip("not checked: the steps before it did not succeed"))
	}
	return found
}

// reachedFirstExchange reports whether a dial got as far as the service bind or ping.
func reachedFirstExchange(a attempt) bool {
	last := a.steps[len(a.steps)-1]
	return last.name == "service bind" || last.name == "ping"
}

// lookup returns the addresses of a server's host, with its port. If the host is an IP address, or
// the URL is a socket's, no DNS is needed: the only address is "", for that in the URL.
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
			remedy := "correct the host in LDAP_URL, or add it to the DNS"
			if !strings.Contains(host, ".") {
				remedy += "; a short name may need its domain, as in " + host + ".example.org"
			}
			return fail(remedy, "the name %q does not exist in the DNS", host)
		case err != nil:
			return fail("check that this machine reaches its DNS server (/etc/resolv.conf), or use the server's IP address in LDAP_URL",
				"the DNS lookup of %q failed: %v", host, err)
		}
		var texts []string
		for _, ip := range ips {
			texts = append(texts, ip.String())
			addrs = append(addrs, net.JoinHostPort(ip.String(), port))
		}
		return pass("%s resolves to %s", host, strings.Join(texts, ", "))
	})
	return addrs, ok
}

// hostPort reads a server's URL. ok is false if the URL is a socket's.
func hostPort(server string) (host, port string, ok bool) {
	u, err := ldapurl.Parse(server)
	if err != nil || u.Address() == "" {
		return "", "", false
	}
	host, port, err = net.SplitHostPort(u.Address())
	return host, port, err == nil
}

// reportDials reports the steps of the dials. If only some addresses cannot be connected to, that
// is a warning, because the pool tries the next address.
func (d *doctor) reportDials(ctx context.Context, server string, attempts []attempt) {
	connected := false
	for _, a := range attempts {
		connected = connected || a.steps[0].err == nil
	}
	for _, a := range attempts {
		for _, step := range a.steps {
			began := time.Now()
			f := d.judge(ctx, server, a, step)
			if f.Mark == Failed && step.name == "connect" && connected {
				f.Mark = Warn
				f.Finding += "; the next address is tried, which delays the connection"
			}
			name := map[string]string{"connect": "tcp", "starttls": "starttls", "tls": "tls", "service bind": "service bind", "ping": "ldap"}[step.name]
			if len(attempts) > 1 && !strings.Contains(f.Finding, a.addr) {
				f.Finding = a.addr + ": " + f.Finding
			}
			took := step.took
			if step.err != nil {
				took += time.Since(began) // with the time to find the cause
			}
			d.report(server, name, took, f)
		}
	}
}

// judge returns the finding about a step of a dial.
func (d *doctor) judge(ctx context.Context, server string, a attempt, step dialStep) finding {
	at := a.addr
	if host, port, ok := hostPort(server); ok && at == "" {
		at = net.JoinHostPort(host, port)
	}
	switch step.name {
	case "connect":
		if at == "" {
			at = server
		}
		return d.judgeTCP(server, at, step)
	case "starttls":
		return d.judgeStartTLS(ctx, at, step)
	case "tls":
		return d.judgeHandshake(ctx, server, at, step)
	case "service bind":
		return d.judgeServiceBind(ctx, server, at, a, step)
	}
	if step.err != nil {
		return d.explainNotLDAP(ctx, server, at, step.err)
	}
	if step.hungUp != "" {
		return pass("the server speaks LDAP; it answers an anonymous read of its root DSE with %s and closes the connection", step.hungUp)
	}
	return pass("the server speaks LDAP")
}

// judgeTCP reports on a TCP connection.
func (d *doctor) judgeTCP(server, at string, step dialStep) finding {
	err := step.err
	switch {
	case err == nil:
		if f, open := d.warnPlaintext(server, at); open {
			return f
		}
		return pass("connected to %s", at)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fail("start the directory, or correct host and port in LDAP_URL (usually 389 for ldap://, 636 for ldaps://); or check the firewalls: one that rejects connections, or bans this machine after wrong passwords, looks the same",
			"no server listens at %s: connection refused", at)
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.EACCES):
		return fail("correct the socket's path in LDAP_URL (percent-encoded), and check that this user may open it", "the socket cannot be opened: %v", err)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return fail("check this machine's routes and the address in LDAP_URL", "there is no route to %s: %v", at, err)
	case isTimeout(err):
		return fail("allow this machine to connect to it in the firewalls between them; check that the host is up and the address is right; a gateway that bans this machine after wrong passwords looks the same",
			"%s does not answer within %v: the host is down, or a firewall drops the packets", at, d.dialTimeout())
	}
	return fail("check the network between this machine and the directory", "cannot connect to %s: %v", at, err)
}

// warnPlaintext warns of passwords that can be read in transit.
func (d *doctor) warnPlaintext(server, at string) (finding, bool) {
	host, _, err := net.SplitHostPort(at)
	ip, _ := netip.ParseAddr(host)
	if err != nil || ldapurl.SchemeOf(server) != ldapurl.LDAP || d.Pool.StartTLS || ip.IsLoopback() || host == "localhost" {
		return finding{}, false
	}
	return warn("set LDAP_START_TLS=true, or use ldaps:// in LDAP_URL", "connected to %s without TLS: passwords can be read on the network", at), true
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ldappool.ErrTimeout) || errors.As(err, &t) && t.Timeout()
}

// explainNotLDAP finds out which protocol a server speaks that does not answer LDAP.
func (d *doctor) explainNotLDAP(ctx context.Context, server, at string, err error) finding {
	if cause, ok := ldapconn.DiagnoseTLS(err); ok && cause.Cause != tlscause.Other { // with TLS 1.3 it comes after the handshake
		return d.failedTLS(ctx, server, at, err)
	}
	secure := ldapurl.SchemeOf(server) == ldapurl.LDAPS || d.Pool.StartTLS
	switch detectProtocol(ctx, at, secure) {
	case "http":
		return fail("correct the port in LDAP_URL: usually 389 for ldap://, 636 for ldaps://", "%s is an HTTP server, not an LDAP directory", at)
	case "tls":
		return fail("use ldaps:// instead of ldap:// in LDAP_URL", "%s expects TLS from the first byte, and ldap:// begins without TLS", at)
	}
	if isTimeout(err) {
		return fail("check the directory's load and its log, and the firewalls: one may accept connections and drop the data; raise LDAP_DIAL_TIMEOUT if the directory is slow",
			"%s accepts the connection and does not answer within %v", at, d.dialTimeout())
	}
	return fail("check that an LDAP server listens at that port, and read its log", "%s does not answer like an LDAP server: %v", at, err)
}

// judgeStartTLS reports on the answer to StartTLS.
func (d *doctor) judgeStartTLS(ctx context.Context, at string, step dialStep) finding {
	switch err := step.err; {
	case err == nil:
		return pass("the server starts TLS")
	case detectProtocol(ctx, at, false) != "":
		return d.explainNotLDAP(ctx, "", at, err)
	case isTimeout(err):
		return d.explainNotLDAP(ctx, "", at, err)
	}
	return fail("give the directory a certificate (OpenLDAP: TLSCertificateFile), or use its ldaps:// port in LDAP_URL with LDAP_START_TLS=false",
		"the server does not support StartTLS: %v", step.err)
}
