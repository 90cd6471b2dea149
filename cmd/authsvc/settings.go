package main

import (
	"time"

	"authsvc/config"
	"authsvc/internal/auth"
	"authsvc/internal/throttle"
	"authsvc/ldappool"
)

// poolConfig is the pool that cfg asks for. It reads the certificates anew.
func poolConfig(cfg *config.Config, trace ldappool.Trace) (ldappool.Config, error) {
	tls, err := cfg.LDAP.TLSConfig()
	if err != nil {
		return ldappool.Config{}, err
	}
	retry := ldappool.RetryNoResponse
	if cfg.LDAP.BindRetry == "unsent" {
		retry = ldappool.RetryUnsent
	}
	policy := ldappool.Failover
	if cfg.LDAP.ServerPolicy == "round_robin" {
		policy = ldappool.RoundRobin
	}
	return ldappool.Config{
		Servers: cfg.LDAP.URLs, Policy: policy, StartTLS: cfg.LDAP.StartTLS, TLS: tls,
		BindDN: cfg.LDAP.BindDN, BindPassword: cfg.LDAP.BindPassword.Reveal(), BindOnly: cfg.LDAP.BindOnly(),
		DialTimeout: cfg.LDAP.DialTimeout, RequestTimeout: cfg.LDAP.RequestTimeout, BindRetry: retry,
		MaxConns: cfg.Pool.MaxConns, MinIdleConns: none(cfg.Pool.MinIdleConns),
		MaxIdleTime: cfg.Pool.MaxIdleTime, MaxLifetime: cfg.Pool.MaxLifetime, HealthCheckInterval: cfg.Pool.HealthCheckInterval,
		MaxWait: cfg.Pool.MaxWait, MaxWaiters: none(cfg.Pool.MaxWaiters),
		Trace: trace,
	}, nil
}

// none says zero to ldappool, whose zero value is the default.
func none(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// newThrottle is the throttle that cfg asks for; nil where it has no limit.
func newThrottle(cfg *config.Config) (*throttle.Memory, error) {
	a := &cfg.Auth
	if a.ThrottleFailures == 0 && a.ThrottleAccountFailures == 0 {
		return nil, nil
	}
	return throttle.New(throttle.Config{
		Failures: a.ThrottleFailures, AccountFailures: a.ThrottleAccountFailures,
		Window: a.ThrottleWindow, MaxWait: cfg.Pool.MaxWait,
	})
}

// authConfig says how logins are done. limits may be nil.
func authConfig(cfg *config.Config, limits *throttle.Memory) (auth.Config, error) {
	l := &cfg.LDAP
	preset, err := auth.ParsePreset(l.Preset)
	c := auth.Config{
		Preset:  preset,
		BaseDNs: l.BaseDNs, Filter: l.UserFilter, OneLevel: l.UserScope == "one",
		NameAttribute: l.UserNameAttribute, Attributes: l.Attributes,
		DNTemplate: l.UserDNTemplate, Timeout: cfg.Auth.Timeout,
		Groups: auth.GroupConfig{
			Enabled: l.Groups, BaseDNs: l.GroupBaseDNs, Filter: l.GroupFilter, NameAttribute: l.GroupNameAttribute,
			Nested: l.GroupNested, Required: l.RequiredGroups,
		},
	}
	if limits != nil { // a nil pointer in an interface is not nil
		c.Throttle = limits
	}
	if cfg.Auth.FailureDetail == "uniform" {
		c.UniformDelay = cfg.Auth.UniformDelay
	}
	return c, err
}

// longestLogin is the longest until a login is answered.
func longestLogin(cfg *config.Config) time.Duration {
	if cfg.Auth.FailureDetail == "uniform" {
		return cfg.Auth.Timeout + cfg.Auth.UniformDelay
	}
	return cfg.Auth.Timeout
}
