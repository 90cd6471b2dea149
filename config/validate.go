package config

import (
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"authsvc/internal/ldapname"
	"authsvc/ldappool/ldapurl"
)

// validate checks what a type alone cannot express. sources holds the variables that are set.
func (c *Config) validate(sources map[string]source, wrong *problems) {
	c.LDAP.validate(sources, wrong)
	c.Pool.validate(c.LDAP.BindOnly(), sources, wrong)
	oneOf(wrong, "LOG_FORMAT", c.Log.Format, "json", "text")
	if !slices.Contains([]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}, c.Log.Level) {
		wrong.add("LOG_LEVEL", "%q must be debug, info, warn or error", sources["LOG_LEVEL"].value)
	}
	c.HTTP.validateTLS(wrong)
	c.validateCallers(wrong)
	oneOf(wrong, "ADMIN_PPROF", c.Admin.Pprof, "loopback", "true", "false")
	oneOf(wrong, "AUTH_FAILURE_DETAIL", c.Auth.FailureDetail, "distinct", "uniform")
	c.validateDecoy(wrong)
	between(wrong, "AUTH_THROTTLE_FAILURES", c.Auth.ThrottleFailures, 0, 1_000_000)
	between(wrong, "AUTH_THROTTLE_ACCOUNT_FAILURES", c.Auth.ThrottleAccountFailures, 0, 1_000_000)
	between(wrong, "AUTH_THROTTLE_CLIENT_FAILURES", c.Auth.ThrottleClientFailures, 0, 1_000_000)
	c.Auth.validateRedis(sources, wrong)
	address(wrong, "HTTP_ADDR", c.HTTP.Addr)
	c.validateForward(wrong)
	between(wrong, "HTTP_MAX_CONNS", c.HTTP.MaxConns, 16, 1_000_000)
	if c.Admin.Addr != "" {
		address(wrong, "ADMIN_ADDR", c.Admin.Addr)
		if unmapped(c.Admin.Addr) == unmapped(c.HTTP.Addr) && !strings.HasSuffix(c.Admin.Addr, ":0") {
			wrong.add("ADMIN_ADDR", "%q must differ from HTTP_ADDR", c.Admin.Addr)
		}
	}
	for _, d := range []struct {
		variable string
		value    time.Duration
		least    time.Duration
	}{
		{"LDAP_DIAL_TIMEOUT", c.LDAP.DialTimeout, time.Millisecond},
		{"LDAP_REQUEST_TIMEOUT", c.LDAP.RequestTimeout, time.Millisecond},
		{"LDAP_POOL_MAX_IDLE_TIME", c.Pool.MaxIdleTime, time.Millisecond},
		{"LDAP_POOL_MAX_LIFETIME", c.Pool.MaxLifetime, 10 * time.Millisecond},
		{"LDAP_POOL_HEALTH_CHECK_INTERVAL", c.Pool.HealthCheckInterval, 10 * time.Millisecond},
		{"LDAP_POOL_MAX_WAIT", c.Pool.MaxWait, time.Millisecond},
		{"AUTH_TIMEOUT", c.Auth.Timeout, time.Millisecond},
		{"AUTH_UNIFORM_DELAY", c.Auth.UniformDelay, time.Millisecond},
		{"AUTH_THROTTLE_WINDOW", c.Auth.ThrottleWindow, time.Second},
		{"AUTH_BASIC_CACHE_TTL", c.Auth.BasicCacheTTL, 0},
		{"AUTH_BASIC_CACHE_FAILURE_TTL", c.Auth.BasicCacheFailureTTL, 0},
		{"AUTH_BASIC_CACHE_STALE", c.Auth.BasicCacheStale, 0},
		{"HTTP_SHUTDOWN_DELAY", c.HTTP.ShutdownDelay, 0},
		{"HTTP_SHUTDOWN_TIMEOUT", c.HTTP.ShutdownTimeout, time.Millisecond},
	} {
		if d.value < d.least || d.value > 365*24*time.Hour {
			wrong.add(d.variable, "%q must be between %v and one year", d.value, d.least)
		}
	}
}

// validate checks the pool's numbers. With bindOnly no connection is needed for searches.
func (p *Pool) validate(bindOnly bool, sources map[string]source, wrong *problems) {
	least := 2
	if bindOnly {
		least = 1
	}
	between(wrong, "LDAP_POOL_MAX_CONNS", p.MaxConns, least, 10_000)
	between(wrong, "LDAP_POOL_MAX_WAITERS", p.MaxWaiters, 0, 1_000_000)
	between(wrong, "LDAP_POOL_MIN_IDLE_CONNS", p.MinIdleConns, 0, 5_000)
	share := max(p.MaxConns/2, 1)
	switch _, set := sources["LDAP_POOL_MIN_IDLE_CONNS"]; {
	case p.MinIdleConns <= share, wrong.has("LDAP_POOL_MAX_CONNS"):
	case set:
		wrong.add("LDAP_POOL_MIN_IDLE_CONNS", "\"%d\" must be at most half of LDAP_POOL_MAX_CONNS, which is %d", p.MinIdleConns, p.MaxConns)
	default:
		p.MinIdleConns = share
	}
}

func between(wrong *problems, variable string, value, least, most int) {
	if value < least || value > most {
		wrong.add(variable, "\"%d\" must be between %d and %d", value, least, most)
	}
}

func oneOf(wrong *problems, variable, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		wrong.add(variable, "%q is not one of %s", value, strings.Join(allowed, ", "))
	}
}

// address checks the host and port of a listener. An empty host means every address of the machine.
func address(wrong *problems, variable, value string) {
	_, port, err := net.SplitHostPort(value)
	if n, e := strconv.Atoi(port); err != nil || e != nil || n < 0 || n > 65535 {
		wrong.add(variable, "%q must be host:port with a port from 0 to 65535", ldapurl.WithoutUser(value))
	}
}

// unmapped returns an address, with its host as IPv4 if that is an IPv4-mapped IPv6 address.
func unmapped(addr string) string {
	if a, err := netip.ParseAddrPort(addr); err == nil {
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()).String()
	}
	return addr
}

// warn adds warnings for settings that are allowed but unwise.
func (c *Config) warn() {
	l := &c.LDAP
	if l.TLSInsecureSkipVerify {
		c.Warnings = append(c.Warnings, "LDAP_TLS_INSECURE_SKIP_VERIFY: the directory's certificate is not verified, so an attacker on the network can read the passwords")
	}
	c.Warnings = append(c.Warnings, LostAuthorities("LDAP_CA_FILE", l.CAFile)...)
	c.Warnings = append(c.Warnings, LostAuthorities("HTTP_TLS_CLIENT_CA_FILE", c.HTTP.TLSClientCAFile)...)
	for _, u := range l.URLs {
		server, err := ldapurl.Parse(u)
		if err == nil && !l.StartTLS && server.BeginsInTheClear() && !loopback(server.Host) {
			c.Warnings = append(c.Warnings, "LDAP_URL: passwords are sent to "+u+" without TLS; use ldaps:// or LDAP_START_TLS=true")
		}
	}
	if l.BindDN == "" && !l.External() && !l.BindOnly() {
		c.Warnings = append(c.Warnings, "LDAP_BIND_DN: not set, so searches are anonymous; few directories allow anonymous searches for users")
	}
	if l.BindOnly() && l.BindLaneServiceBind != "true" {
		const unused = ": not used, because LDAP_USER_DN_TEMPLATE replaces the search"
		switch {
		case l.External():
			c.Warnings = append(c.Warnings, "LDAP_BIND_METHOD"+unused)
		case l.BindDN != "":
			c.Warnings = append(c.Warnings, "LDAP_BIND_DN"+unused)
		}
	}
	if l.RequestTimeout > c.Auth.Timeout {
		c.Warnings = append(c.Warnings, "LDAP_REQUEST_TIMEOUT: longer than AUTH_TIMEOUT, which ends the login earlier")
	}
	c.warnOfClearText()
	if logins := c.Pool.MaxConns + c.Pool.MaxWaiters; c.HTTP.MaxConns < logins {
		c.Warnings = append(c.Warnings, "HTTP_MAX_CONNS: less than LDAP_POOL_MAX_CONNS plus LDAP_POOL_MAX_WAITERS ("+strconv.Itoa(logins)+"), so logins wait for a connection to the service before they wait for one to the directory")
	}
	if of, all := c.Auth.ThrottleFailures, c.Auth.ThrottleAccountFailures; all > 0 && all < of {
		c.Warnings = append(c.Warnings, "AUTH_THROTTLE_ACCOUNT_FAILURES: less than AUTH_THROTTLE_FAILURES, so one client can exhaust the account's budget for all clients")
	}
	if of, all := c.Auth.ThrottleFailures, c.Auth.ThrottleClientFailures; all > 0 && all < of {
		c.Warnings = append(c.Warnings, "AUTH_THROTTLE_CLIENT_FAILURES: less than AUTH_THROTTLE_FAILURES, so failures of one account exhaust the client's budget for all accounts")
	}
	c.Warnings = append(c.Warnings, c.Auth.warnRedis()...)
	c.Warnings = append(c.Warnings, LostAuthorities(redisCA, c.Auth.ThrottleRedisCAFile)...)
	c.warnUniform()
	for _, group := range l.RequiredGroups {
		if _, err := ldapname.ParseDN(group); err != nil && strings.Contains(group, "=") && strings.Contains(group, ",") {
			c.Warnings = append(c.Warnings, "LDAP_REQUIRED_GROUPS: "+strconv.Quote(group)+" looks like a DN but is not valid (RFC 4514), so it is taken as a group name: "+err.Error())
		}
	}
	if c.Admin.Addr != "" && !loopback(c.Admin.Addr) {
		profiler := ""
		if c.Admin.Pprof == "true" {
			profiler = ", and ADMIN_PPROF=true opens the profiler to every client"
		}
		c.Warnings = append(c.Warnings, "ADMIN_ADDR: "+c.Admin.Addr+" is reachable from other machines, and the admin listener has no access control"+profiler)
	}
}

// warnOfClearText warns if callers' passwords reach the main listener unencrypted. A client CA
// requires TLS.
func (c *Config) warnOfClearText() {
	const remedy = " without TLS unless a proxy on this machine terminates it; set HTTP_TLS_CERT_FILE"
	switch {
	case c.HTTP.TLSCertFile != "" || loopback(c.HTTP.Addr):
	case c.Auth.APIKeysFile != "":
		c.Warnings = append(c.Warnings, "AUTH_API_KEYS_FILE: keys and passwords are sent to "+c.HTTP.Addr+remedy)
	default:
		c.Warnings = append(c.Warnings, "HTTP_ADDR: passwords are sent to "+c.HTTP.Addr+remedy+
			", and set AUTH_API_KEYS_FILE to admit only known callers; or listen on 127.0.0.1 if all callers are on this machine")
	}
}

// loopback reports whether an address, with or without a port, is this machine's own.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = strings.Trim(addr, "[]")
	}
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
