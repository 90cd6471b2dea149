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
		wrong.add("LOG_LEVEL", "%q is none of debug, info, warn, error", sources["LOG_LEVEL"].value)
	}
	c.HTTP.validateTLS(wrong)
	c.validateCallers(wrong)
	oneOf(wrong, "ADMIN_PPROF", c.Admin.Pprof, "loopback", "true", "false")
	oneOf(wrong, "AUTH_FAILURE_DETAIL", c.Auth.FailureDetail, "distinct", "uniform")
	c.validateDecoy(wrong)
	between(wrong, "AUTH_THROTTLE_FAILURES", c.Auth.ThrottleFailures, 0, 1_000_000)
	between(wrong, "AUTH_THROTTLE_ACCOUNT_FAILURES", c.Auth.ThrottleAccountFailures, 0, 1_000_000)
	between(wrong, "AUTH_THROTTLE_CLIENT_FAILURES", c.Auth.ThrottleClientFailures, 0, 1_000_000)
	address(wrong, "HTTP_ADDR", c.HTTP.Addr)
	c.validateForward(wrong)
	between(wrong, "HTTP_MAX_CONNS", c.HTTP.MaxConns, 16, 1_000_000)
	if c.Admin.Addr != "" {
		address(wrong, "ADMIN_ADDR", c.Admin.Addr)
		if unmapped(c.Admin.Addr) == unmapped(c.HTTP.Addr) && !strings.HasSuffix(c.Admin.Addr, ":0") {
			wrong.add("ADMIN_ADDR", "%q is the address of HTTP_ADDR too", c.Admin.Addr)
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
		{"HTTP_SHUTDOWN_TIMEOUT", c.HTTP.ShutdownTimeout, time.Millisecond},
	} {
		if d.value < d.least || d.value > 365*24*time.Hour {
			wrong.add(d.variable, "%q is not between %v and a year", d.value, d.least)
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
		wrong.add("LDAP_POOL_MIN_IDLE_CONNS", "\"%d\" is more than half of LDAP_POOL_MAX_CONNS, which is %d", p.MinIdleConns, p.MaxConns)
	default:
		p.MinIdleConns = share
	}
}

func between(wrong *problems, variable string, value, least, most int) {
	if value < least || value > most {
		wrong.add(variable, "\"%d\" is not between %d and %d", value, least, most)
	}
}

func oneOf(wrong *problems, variable, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		wrong.add(variable, "%q is none of %s", value, strings.Join(allowed, ", "))
	}
}

// address checks the host and port of a listener. An empty host means every address of the machine.
func address(wrong *problems, variable, value string) {
	_, port, err := net.SplitHostPort(value)
	if n, e := strconv.Atoi(port); err != nil || e != nil || n < 0 || n > 65535 {
		wrong.add(variable, "%q is not host:port with a port of 0 to 65535", ldapurl.WithoutUser(value))
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
		c.Warnings = append(c.Warnings, "LDAP_TLS_INSECURE_SKIP_VERIFY: the directory's certificate is not verified; anybody on the way can read the passwords")
	}
	c.Warnings = append(c.Warnings, LostAuthorities("LDAP_CA_FILE", l.CAFile)...)
	c.Warnings = append(c.Warnings, LostAuthorities("HTTP_TLS_CLIENT_CA_FILE", c.HTTP.TLSClientCAFile)...)
	for _, u := range l.URLs {
		server, err := ldapurl.Parse(u)
		if err == nil && !l.StartTLS && server.BeginsInTheClear() && !loopback(server.Host) {
			c.Warnings = append(c.Warnings, "LDAP_URL: passwords travel to "+u+" in the clear; use ldaps:// or LDAP_START_TLS=true")
		}
	}
	if l.BindDN == "" && !l.BindOnly() {
		c.Warnings = append(c.Warnings, "LDAP_BIND_DN: not set, so searches are anonymous; few directories let those find users")
	}
	if l.BindDN != "" && l.BindOnly() && l.BindLaneServiceBind != "true" {
		c.Warnings = append(c.Warnings, "LDAP_BIND_DN: not used, since LDAP_USER_DN_TEMPLATE does without searches")
	}
	if l.RequestTimeout > c.Auth.Timeout {
		c.Warnings = append(c.Warnings, "LDAP_REQUEST_TIMEOUT: longer than AUTH_TIMEOUT, which ends the login first")
	}
	c.warnOfClearText()
	if logins := c.Pool.MaxConns + c.Pool.MaxWaiters; c.HTTP.MaxConns < logins {
		c.Warnings = append(c.Warnings, "HTTP_MAX_CONNS: fewer than LDAP_POOL_MAX_CONNS and LDAP_POOL_MAX_WAITERS together ("+strconv.Itoa(logins)+"), so that logins wait for a connection to the service instead of one to the directory")
	}
	if of, all := c.Auth.ThrottleFailures, c.Auth.ThrottleAccountFailures; all > 0 && all < of {
		c.Warnings = append(c.Warnings, "AUTH_THROTTLE_ACCOUNT_FAILURES: fewer than AUTH_THROTTLE_FAILURES, so that one client can use up the account's budget for everybody")
	}
	if of, all := c.Auth.ThrottleFailures, c.Auth.ThrottleClientFailures; all > 0 && all < of {
		c.Warnings = append(c.Warnings, "AUTH_THROTTLE_CLIENT_FAILURES: fewer than AUTH_THROTTLE_FAILURES, so that failures of one account use up the client's budget for all accounts")
	}
	c.warnUniform()
	for _, group := range l.RequiredGroups {
		if _, err := ldapname.ParseDN(group); err != nil && strings.Contains(group, "=") && strings.Contains(group, ",") {
			c.Warnings = append(c.Warnings, "LDAP_REQUIRED_GROUPS: "+strconv.Quote(group)+" looks like a DN and is none (RFC 4514), so it is a group's name: "+err.Error())
		}
	}
	if c.Admin.Addr != "" && !loopback(c.Admin.Addr) {
		profiler := ""
		if c.Admin.Pprof == "true" {
			profiler = ", and serves the profiler to everybody (ADMIN_PPROF=true)"
		}
		c.Warnings = append(c.Warnings, "ADMIN_ADDR: "+c.Admin.Addr+" can be reached from other machines; it has no access control"+profiler)
	}
}

// warnOfClearText warns if callers' passwords reach the main listener unencrypted. A client CA
// requires TLS.
func (c *Config) warnOfClearText() {
	const remedy = " in the clear, unless a proxy beside it speaks TLS; use HTTP_TLS_CERT_FILE"
	switch {
	case c.HTTP.TLSCertFile != "" || loopback(c.HTTP.Addr):
	case c.Auth.APIKeysFile != "":
		c.Warnings = append(c.Warnings, "AUTH_API_KEYS_FILE: keys and passwords travel to "+c.HTTP.Addr+remedy)
	default:
		c.Warnings = append(c.Warnings, "HTTP_ADDR: passwords travel to "+c.HTTP.Addr+remedy+
			", and AUTH_API_KEYS_FILE to say who may ask, or listen on 127.0.0.1 if callers are on this machine")
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
