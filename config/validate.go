package config

import (
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// validate checks what a type alone cannot say. sources tells what was set.
func (c *Config) validate(sources map[string]source, wrong *problems) {
	c.LDAP.validate(sources, wrong)
	c.Pool.validate(c.LDAP.BindOnly(), sources, wrong)
	oneOf(wrong, "LOG_FORMAT", c.Log.Format, "json", "text")
	if !slices.Contains([]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}, c.Log.Level) {
		wrong.add("LOG_LEVEL", "%q is none of debug, info, warn, error", sources["LOG_LEVEL"].value)
	}
	c.HTTP.validateTLS(wrong)
	if _, err := c.Auth.APIKeys(); err != nil {
		wrong.add("AUTH_API_KEYS_FILE", "%v", err)
	}
	oneOf(wrong, "AUTH_FAILURE_DETAIL", c.Auth.FailureDetail, "distinct", "uniform")
	between(wrong, "AUTH_THROTTLE_FAILURES", c.Auth.ThrottleFailures, 0, 1_000_000)
	between(wrong, "AUTH_THROTTLE_ACCOUNT_FAILURES", c.Auth.ThrottleAccountFailures, 0, 1_000_000)
	address(wrong, "HTTP_ADDR", c.HTTP.Addr)
	if c.Admin.Addr != "" {
		address(wrong, "ADMIN_ADDR", c.Admin.Addr)
		if c.Admin.Addr == c.HTTP.Addr && !strings.HasSuffix(c.Admin.Addr, ":0") {
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

// address checks where to listen: host and port, of which the host may be empty for every address of the machine.
func address(wrong *problems, variable, value string) {
	_, port, err := net.SplitHostPort(value)
	if n, e := strconv.Atoi(port); err != nil || e != nil || n < 0 || n > 65535 {
		wrong.add(variable, "%q is not host:port with a port of 0 to 65535", value)
	}
}

// warn notes what is allowed and unwise.
func (c *Config) warn() {
	l := &c.LDAP
	if l.TLSInsecureSkipVerify {
		c.Warnings = append(c.Warnings, "LDAP_TLS_INSECURE_SKIP_VERIFY: the directory's certificate is not verified; anybody on the way can read the passwords")
	}
	for _, u := range l.URLs {
		if !l.StartTLS && beginsInTheClear(u) && !loopback(strings.TrimPrefix(u, "ldap://")) {
			c.Warnings = append(c.Warnings, "LDAP_URL: passwords travel to "+u+" in the clear; use ldaps:// or LDAP_START_TLS=true")
		}
	}
	if l.BindDN == "" && !l.BindOnly() {
		c.Warnings = append(c.Warnings, "LDAP_BIND_DN: not set, so searches are anonymous; few directories let those find users")
	}
	if l.BindDN != "" && l.BindOnly() {
		c.Warnings = append(c.Warnings, "LDAP_BIND_DN: not used, since LDAP_USER_DN_TEMPLATE does without searches")
	}
	if l.RequestTimeout > c.Auth.Timeout {
		c.Warnings = append(c.Warnings, "LDAP_REQUEST_TIMEOUT: longer than AUTH_TIMEOUT, which ends the login first")
	}
	if c.Auth.APIKeysFile != "" && c.HTTP.TLSCertFile == "" && !loopback(c.HTTP.Addr) {
		c.Warnings = append(c.Warnings, "AUTH_API_KEYS_FILE: keys and passwords travel to "+c.HTTP.Addr+" in the clear, unless a proxy beside it speaks TLS; use HTTP_TLS_CERT_FILE")
	}
	if of, all := c.Auth.ThrottleFailures, c.Auth.ThrottleAccountFailures; all > 0 && all < of {
		c.Warnings = append(c.Warnings, "AUTH_THROTTLE_ACCOUNT_FAILURES: fewer than AUTH_THROTTLE_FAILURES, so that one client can use up the account's budget for everybody")
	}
	for _, group := range l.RequiredGroups {
		if _, err := ldap.ParseDN(group); err != nil && strings.Contains(group, "=") && strings.Contains(group, ",") {
			c.Warnings = append(c.Warnings, "LDAP_REQUIRED_GROUPS: "+strconv.Quote(group)+" looks like a DN and is none (RFC 4514), so it is a group's name: "+err.Error())
		}
	}
	if c.Admin.Addr != "" && !loopback(c.Admin.Addr) {
		c.Warnings = append(c.Warnings, "ADMIN_ADDR: "+c.Admin.Addr+" can be reached from other machines; it has no access control")
	}
}

// loopback tells whether an address, with a port or without, is this machine's own.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = strings.Trim(addr, "[]")
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
