package app

import (
	"log/slog"
	"time"

	"authsvc/config"
	"authsvc/internal/auth"
	"authsvc/internal/credcache"
	"authsvc/internal/dialect"
	"authsvc/internal/sharedthrottle"
	"authsvc/internal/throttle"
	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
)

// PoolConfig returns the configuration of the pool that cfg asks for, without observers. It reads
// the certificates at each call.
func PoolConfig(cfg *config.Config) (ldappool.Config, error) {
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
		ProbeSearch: probeSearch(cfg.LDAP.BaseDNs),
		Servers:     cfg.LDAP.URLs, Policy: policy, StartTLS: cfg.LDAP.StartTLS, TLS: tls, Authorities: cfg.LDAP.Authorities(),
		BindMethod: bindMethod(cfg.LDAP.External()), BindDN: cfg.LDAP.BindDN, BindPassword: cfg.LDAP.BindPassword.Reveal(), BindOnly: cfg.LDAP.BindOnly(),
		DialTimeout: cfg.LDAP.DialTimeout, RequestTimeout: cfg.LDAP.RequestTimeout, BindRetry: retry,
		BindLaneServiceBind: serviceBindRule(cfg.LDAP.BindLaneServiceBind), OnlyListedControls: cfg.LDAP.PasswordPolicy != "on",
		MaxConns: cfg.Pool.MaxConns, MinIdleConns: none(cfg.Pool.MinIdleConns),
		MaxIdleTime: cfg.Pool.MaxIdleTime, MaxLifetime: cfg.Pool.MaxLifetime, HealthCheckInterval: cfg.Pool.HealthCheckInterval,
		MaxWait: cfg.Pool.MaxWait, MaxWaiters: none(cfg.Pool.MaxWaiters),
	}, nil
}

// probeSearch returns a search that reads the first base DN of logins. A directory that cannot
// answer it cannot serve a login.
func probeSearch(bases []string) *ldap.SearchRequest {
	if len(bases) == 0 {
		return nil
	}
	return ldap.NewSearchRequest(bases[0], ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)", []string{"1.1"}, nil)
}

func bindMethod(external bool) ldappool.BindMethod {
	if external {
		return ldappool.BindExternal
	}
	return ldappool.BindSimple
}

// serviceBindRule parses LDAP_BIND_LANE_SERVICE_BIND.
func serviceBindRule(value string) ldappool.ServiceBindRule {
	switch value {
	case "true":
		return ldappool.ServiceBindAlways
	case "false":
		return ldappool.ServiceBindNever
	}
	return ldappool.ServiceBindAuto
}

// none translates zero for ldappool, where the zero value means the default.
func none(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// newThrottle returns the throttle that cfg asks for, or nil if cfg sets no limit.
func newThrottle(cfg *config.Config) (*throttle.Memory, error) {
	a := &cfg.Auth
	if a.ThrottleFailures == 0 && a.ThrottleAccountFailures == 0 && a.ThrottleClientFailures == 0 {
		return nil, nil
	}
	return throttle.New(throttle.Config{
		Failures: a.ThrottleFailures, AccountFailures: a.ThrottleAccountFailures, ClientFailures: a.ThrottleClientFailures,
		Window: a.ThrottleWindow, MaxWait: cfg.Pool.MaxWait,
	})
}

// newSharedThrottle returns the throttle that several instances share, around the one of this
// instance, or nil if cfg does not ask for it.
func newSharedThrottle(cfg *config.Config, local *throttle.Memory, patience time.Duration, log *slog.Logger) (*sharedthrottle.Throttle, error) {
	if len(cfg.Auth.Redis.Addrs) == 0 || local == nil {
		return nil, nil
	}
	c, err := SharedThrottleConfig(cfg)
	if err != nil {
		return nil, err
	}
	c.Patience, c.Log = patience, log
	return sharedthrottle.New(local, c)
}

// SharedThrottleConfig returns the configuration of the shared throttle that cfg asks for, without
// a log. It reads the certificates.
func SharedThrottleConfig(cfg *config.Config) (sharedthrottle.Config, error) {
	tls, err := cfg.Auth.RedisTLSConfig()
	if err != nil {
		return sharedthrottle.Config{}, err
	}
	server := redisServer(cfg)
	server.TLS = tls
	return sharedthrottle.Config{
		Server: server, Prefix: cfg.Auth.ThrottleRedisPrefix, MaxWait: cfg.Pool.MaxWait, MaxAttempt: cfg.Auth.Timeout,
	}, nil
}

// redisServer returns where the throttle is shared, without TLS.
func redisServer(cfg *config.Config) sharedthrottle.Server {
	r := &cfg.Auth.Redis
	return sharedthrottle.Server{
		Addrs: r.Addrs, Master: r.Master, Cluster: r.Cluster, DB: r.DB,
		Username: r.Username, Password: r.Password.Reveal(),
		SentinelUsername: r.SentinelUsername, SentinelPassword: r.SentinelPassword.Reveal(),
	}
}

// LoginConfig returns the configuration of logins that cfg asks for, without a throttle.
func LoginConfig(cfg *config.Config) (auth.Config, error) {
	l := &cfg.LDAP
	kind, err := dialect.Named(l.Preset)
	c := auth.Config{
		Dialect: kind,
		BaseDNs: l.BaseDNs, Filter: l.UserFilter, OneLevel: l.UserScope == "one",
		NameAttribute: l.UserNameAttribute, Attributes: l.Attributes,
		DNTemplate: l.UserDNTemplate, Timeout: cfg.Auth.Timeout, NoPasswordPolicy: l.PasswordPolicy == "off",
		Groups: auth.GroupConfig{
			Enabled: l.Groups, BaseDNs: l.GroupBaseDNs, Filter: l.GroupFilter, NameAttribute: l.GroupNameAttribute,
			Nested: l.GroupNested, Required: l.RequiredGroups,
		},
		Remember: credcache.Config{
			TTL: cfg.Auth.BasicCacheTTL, FailureTTL: cfg.Auth.BasicCacheFailureTTL,
			Stale: cfg.Auth.BasicCacheStale, Size: cfg.Auth.BasicCacheSize,
		},
	}
	if cfg.Auth.Uniform() {
		c.UniformDelay, c.DecoyDN = cfg.Auth.UniformDelay, cfg.Auth.UniformDecoyDN
		c.UniformJitter, c.TurnWait, c.Sleep = uniformJitter(cfg), cfg.Pool.MaxWait, auth.Nanosleep
	}
	return c, err
}

// uniformJitter bounds the random part of the time at which a failure is answered in uniform mode.
func uniformJitter(cfg *config.Config) time.Duration { return cfg.Auth.UniformDelay / 10 }

// timeLimits returns the longest times that a login and its parts may take.
func timeLimits(cfg *config.Config) []time.Duration {
	return []time.Duration{cfg.Pool.MaxWait, cfg.LDAP.DialTimeout, cfg.LDAP.RequestTimeout, longestLogin(cfg)}
}

// longestLogin returns the longest time until a login is answered.
func longestLogin(cfg *config.Config) time.Duration {
	if cfg.Auth.Uniform() {
		return cfg.Auth.Timeout + cfg.Auth.UniformDelay + uniformJitter(cfg)
	}
	return cfg.Auth.Timeout
}
