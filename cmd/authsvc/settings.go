package main

import (
	"authsvc/config"
	"authsvc/internal/auth"
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

// authConfig says how logins are done.
func authConfig(cfg *config.Config) (auth.Config, error) {
	l := &cfg.LDAP
	preset, err := auth.ParsePreset(l.Preset)
	return auth.Config{
		Preset:  preset,
		BaseDNs: l.BaseDNs, Filter: l.UserFilter, OneLevel: l.UserScope == "one",
		NameAttribute: l.UserNameAttribute, Attributes: l.Attributes,
		DNTemplate: l.UserDNTemplate, Timeout: cfg.Auth.Timeout,
		Groups: auth.GroupConfig{
			Enabled: l.Groups, BaseDNs: l.GroupBaseDNs, Filter: l.GroupFilter, NameAttribute: l.GroupNameAttribute,
			Nested: l.GroupNested, Required: l.RequiredGroups,
		},
	}, err
}
