package ldappool

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"authsvc/ldappool/ldapconn"
	"authsvc/ldappool/ldapurl"

	"github.com/go-ldap/ldap/v3"
)

// BindRetry says when a user's bind whose connection was lost is sent once more.
type BindRetry uint8

// The rules. Neither sends a bind again after a timeout, or after an answer that may be about it.
const (
	// RetryNoResponse: if no byte of an answer came, and to another server when one answers busy
	// (51) or unavailable (52).
	RetryNoResponse BindRetry = iota
	// RetryUnsent: only where no byte was sent, for directories that count every bind that arrives.
	RetryUnsent
)

// ServiceBindRule says when a connection for users' binds begins with a service bind.
type ServiceBindRule uint8

// The rules.
const (
	// ServiceBindAuto: to servers that end a connection on which the root DSE is read. To others
	// the first exchange reads the root DSE.
	ServiceBindAuto ServiceBindRule = iota
	// ServiceBindAlways: to all, for gateways that treat a connection's first bind differently.
	ServiceBindAlways
	// ServiceBindNever: to no server. Connections to servers that end a connection on which the
	// root DSE is read are not checked at all.
	ServiceBindNever
)

// BindMethod says how the service identity binds.
type BindMethod uint8

// The methods.
const (
	// BindSimple: with BindDN and BindPassword.
	BindSimple BindMethod = iota
	// BindExternal: by the SASL mechanism EXTERNAL (RFC 4513 section 5.2.3), without a password.
	// The directory takes the identity of the client certificate in Config.TLS or, on a Unix
	// socket, of this process.
	BindExternal
)

// Policy says to which of several usable servers connections are made.
type Policy uint8

// The policies.
const (
	// Failover: to the first that is usable, in the order of Config.Servers; the addresses of one
	// name are equals. The pool returns to an earlier server that has been usable for 30 s.
	Failover Policy = iota
	// RoundRobin: equally to all, and operations to each in turn. A server that recovers gets its
	// share again within some rounds of maintenance.
	RoundRobin
)

// String is "failover" or "round-robin".
func (p Policy) String() string {
	if p == RoundRobin {
		return "round-robin"
	}
	return "failover"
}

// String is "no-response" or "unsent".
func (r BindRetry) String() string {
	if r == RetryUnsent {
		return "unsent"
	}
	return "no-response"
}

// Config says what a Pool connects to and how. The zero value of a field takes its default.
type Config struct {
	// Servers are URLs, first choice first: ldap://host:389, ldaps://host,
	// ldapi://%2frun%2fslapd%2fldapi, or ldap+srv://example.org for the servers that the DNS names
	// as _ldap._tcp.example.org: by priority, and by weight within one (RFC 2782). They are looked
	// up every 30 s; a lookup that fails, or finds nothing, changes nothing. Each is a server of
	// its own. A server's certificate must have the name of the record's target, as with other LDAP
	// clients. That is only as safe as the DNS: RFC 4513 section 3.1.3 says not to trust names from
	// an insecure lookup. If that matters, make TLS trust only an authority of your own, or set its
	// ServerName.
	//
	// The addresses of a host are tried in turn, both families in parallel (RFC 8305), within
	// DialTimeout. The host is looked up again for each connection.
	Servers []string
	// Policy says which of them are used. Default Failover.
	Policy Policy
	// StartTLS upgrades ldap:// connections (RFC 4511 section 4.14) before anything else is sent on
	// them.
	StartTLS bool
	// TLS is the base of every TLS connection's configuration; nil is the system's roots and TLS
	// 1.2. ServerName is taken from the URL where it is empty.
	TLS *tls.Config
	// Authorities are the certificates of TLS.RootCAs, in their order; nil stands for one that
	// cannot be used. They add no trust: with them, the error of a failed handshake gives the
	// number of the authority that it concerns.
	Authorities []*x509.Certificate

	// BindMethod is how the service identity binds, which searches.
	BindMethod BindMethod
	// BindDN and BindPassword are the service identity of BindSimple. Both empty: searches are
	// anonymous. BindExternal takes no password; its BindDN, if not empty, is asserted: a directory
	// that derives another identity should refuse the bind.
	BindDN, BindPassword string
	// BindOnly says that Search is not called: no connection is kept for it, and probes do not use
	// the service identity.
	BindOnly bool

	// ProbeSearch is a search that a server must answer to become usable again; nil is none. A
	// probe's bind alone does not show that a login's search works.
	ProbeSearch *ldap.SearchRequest
	// Dial opens the sockets, as [net.Dialer.DialContext] does. It gets the names of servers, and
	// looks them up itself. Nil is the pool's own, which detects a dead peer within 25 s.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// DialTimeout bounds TCP, TLS and the service bind together. Default 3 s.
	DialTimeout time.Duration
	// RequestTimeout bounds one search or bind. Default 5 s.
	RequestTimeout time.Duration
	// BindRetry is the rule for a bind whose connection died.
	BindRetry BindRetry
	// BindLaneServiceBind is the rule for the first exchange on connections for users' binds.
	// Without a service identity no connection begins with a service bind.
	BindLaneServiceBind ServiceBindRule
	// OnlyListedControls: a control of a bind that is not critical is sent only to servers whose
	// root DSE lists it (supportedControl, RFC 4512 section 5.1). The list is read when connections
	// are made, anonymously, or as the service identity if anonymous clients may not read it. A
	// server that shows its list to neither gets no such control.
	OnlyListedControls bool

	// MaxConns bounds the connections of both lanes together, those being dialled included. Default
	// 32, at least 1.
	MaxConns int
	// MinIdleConns is how many idle connections each lane keeps warm, within its half of MaxConns.
	// Default 2; -1 is none.
	MinIdleConns int
	// MaxIdleTime is how long a connection may be unused. Default 5 min.
	MaxIdleTime time.Duration
	// MaxLifetime is the maximum age of a connection, less up to 10% so that they do not all end at
	// once. Default 30 min.
	MaxLifetime time.Duration
	// HealthCheckInterval is the interval of maintenance, and how long an idle connection may be
	// quiet before it is pinged. Default 15 s.
	HealthCheckInterval time.Duration
	// MaxWait bounds a caller's wait for a connection. Default 2 s.
	MaxWait time.Duration
	// MaxWaiters bounds the callers that wait at one time for connections that others use. Default
	// 1000; -1 is none.
	MaxWaiters int

	// Trace holds hooks for what happens.
	Trace Trace
}

// HasIdentity reports whether there is a service identity: otherwise searches are anonymous.
func (c *Config) HasIdentity() bool { return c.BindMethod == BindExternal || c.BindDN != "" }

// hasIdentityOf reports whether the service identity is that of other. Another TLS configuration
// may have another client certificate, which is the identity of BindExternal.
func (c *Config) hasIdentityOf(other *Config) bool {
	return c.BindMethod == other.BindMethod && c.BindDN == other.BindDN && c.BindPassword == other.BindPassword &&
		(c.BindMethod != BindExternal || c.TLS == other.TLS)
}

// withDefaults returns a copy with every zero field set.
func (c Config) withDefaults() Config {
	c.Servers = slices.Clone(c.Servers)
	setDefault(&c.DialTimeout, 3*time.Second)
	setDefault(&c.RequestTimeout, 5*time.Second)
	setDefault(&c.MaxConns, 32)
	setDefault(&c.MinIdleConns, 2)
	setDefault(&c.MaxIdleTime, 5*time.Minute)
	setDefault(&c.MaxLifetime, 30*time.Minute)
	setDefault(&c.HealthCheckInterval, 15*time.Second)
	setDefault(&c.MaxWait, 2*time.Second)
	setDefault(&c.MaxWaiters, 1000)
	c.MinIdleConns = max(c.MinIdleConns, 0)
	c.MaxWaiters = max(c.MaxWaiters, 0)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// checkURL validates a server's URL.
func checkURL(raw string) error {
	if ldapurl.SchemeOf(raw) != ldapurl.Domain {
		_, err := ldapconn.ParseURL(raw)
		return err
	}
	if _, err := ldapurl.Parse(raw); err != nil {
		return fmt.Errorf("%q: %w", ldapurl.WithoutUser(raw), err)
	}
	return nil
}

// validate returns an error that names every invalid field with its bound. c has its defaults.
func (c Config) validate() error {
	var errs []error
	invalid := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("ldappool: Config.%s %s", field, fmt.Sprintf(format, args...)))
	}
	if len(c.Servers) == 0 {
		invalid("Servers", "is empty: name at least one URL such as ldap://ldap.example.org")
	}
	for _, raw := range c.Servers {
		if err := checkURL(raw); err != nil {
			errs = append(errs, fmt.Errorf("ldappool: Config.Servers: %w", err))
		}
	}
	switch {
	case c.BindMethod > BindExternal:
		invalid("BindMethod", "is %d, but must be BindSimple or BindExternal", c.BindMethod)
	case c.BindMethod == BindExternal && c.BindPassword != "":
		invalid("BindMethod", "is BindExternal, which takes no BindPassword")
	case c.BindMethod == BindSimple && (c.BindDN == "") != (c.BindPassword == ""):
		invalid("BindDN", "and BindPassword must be set together: a bind with a DN and no password is anonymous (RFC 4513 section 5.1.2)")
	}
	if c.BindLaneServiceBind > ServiceBindNever {
		invalid("BindLaneServiceBind", "is %d, which is not a known value", c.BindLaneServiceBind)
	}
	if c.BindLaneServiceBind == ServiceBindAlways && !c.HasIdentity() {
		invalid("BindLaneServiceBind", "is ServiceBindAlways, which requires BindDN or BindExternal")
	}
	if c.Policy > RoundRobin {
		invalid("Policy", "is %d, but must be Failover or RoundRobin", c.Policy)
	}
	if c.MaxConns < 1 {
		invalid("MaxConns", "is %d, but must be at least 1", c.MaxConns)
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"DialTimeout", c.DialTimeout}, {"RequestTimeout", c.RequestTimeout}, {"MaxIdleTime", c.MaxIdleTime},
		{"MaxLifetime", c.MaxLifetime}, {"HealthCheckInterval", c.HealthCheckInterval}, {"MaxWait", c.MaxWait},
	} {
		if d.value < 0 {
			invalid(d.field, "is %v, but must be positive", d.value)
		}
	}
	return errors.Join(errs...)
}
