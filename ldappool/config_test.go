package ldappool

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConfig_ZeroFieldsTakeTheirDefaults(t *testing.T) {
	t.Parallel()
	c := Config{Servers: []string{"ldap://one"}}.withDefaults()
	require.NoError(t, c.validate())
	require.Equal(t, 3*time.Second, c.DialTimeout)
	require.Equal(t, 5*time.Second, c.RequestTimeout)
	require.Equal(t, 32, c.MaxConns)
	require.Equal(t, 2, c.MinIdleConns)
	require.Equal(t, 5*time.Minute, c.MaxIdleTime)
	require.Equal(t, 30*time.Minute, c.MaxLifetime)
	require.Equal(t, 15*time.Second, c.HealthCheckInterval)
	require.Equal(t, 2*time.Second, c.MaxWait)
	require.Equal(t, 1000, c.MaxWaiters)
	require.Equal(t, RetryNoResponse, c.BindRetry)
}

func TestConfig_MinusOneDisables(t *testing.T) {
	t.Parallel()
	c := Config{Servers: []string{"ldap://one"}, MinIdleConns: -1, MaxWaiters: -1}.withDefaults()
	require.NoError(t, c.validate())
	require.Zero(t, c.MinIdleConns)
	require.Zero(t, c.MaxWaiters)
}

func TestConfig_ErrorNamesTheField(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		field  string
		change func(*Config)
	}{
		{"Servers", func(c *Config) { c.Servers = nil }},
		{"Servers", func(c *Config) { c.Servers = []string{"http://one"} }},
		{"Servers", func(c *Config) { c.Servers = []string{"one:389"} }},
		{"Servers", func(c *Config) { c.Servers = []string{"ldap://"} }},
		{"Servers", func(c *Config) { c.Servers = []string{"ldapi://run/slapd"} }},
		{"Servers", func(c *Config) { c.Servers = []string{"ldap://one/dc=example"} }},
		{"BindDN", func(c *Config) { c.BindPassword = "" }},
		{"BindDN", func(c *Config) { c.BindDN = "" }},
		{"BindMethod", func(c *Config) { c.BindMethod = BindExternal + 1 }},
		{"BindMethod", func(c *Config) { c.BindMethod = BindExternal }},
		{"BindMethod", func(c *Config) { c.BindMethod, c.BindDN = BindExternal, "" }},
		{"BindLaneServiceBind", func(c *Config) { c.BindLaneServiceBind, c.BindDN, c.BindPassword = ServiceBindAlways, "", "" }},
		{"MaxConns", func(c *Config) { c.MaxConns = -1 }},
		{"DialTimeout", func(c *Config) { c.DialTimeout = -1 }},
		{"RequestTimeout", func(c *Config) { c.RequestTimeout = -1 }},
		{"MaxIdleTime", func(c *Config) { c.MaxIdleTime = -1 }},
		{"MaxLifetime", func(c *Config) { c.MaxLifetime = -1 }},
		{"HealthCheckInterval", func(c *Config) { c.HealthCheckInterval = -1 }},
		{"MaxWait", func(c *Config) { c.MaxWait = -1 }},
	} {
		cfg := Config{Servers: []string{"ldap://one"}, BindDN: "cn=service", BindPassword: "hidden-secret"}
		c.change(&cfg)
		p, err := New(cfg)
		require.Nil(t, p)
		require.ErrorContains(t, err, "Config."+c.field)
		require.NotContains(t, err.Error(), "hidden-secret")
	}
}

func TestConfig_ErrorNamesEveryWrongField(t *testing.T) {
	t.Parallel()
	_, err := New(Config{MaxConns: -1, MaxWait: -1, BindDN: "cn=service"})
	for _, field := range []string{"Servers", "MaxConns", "MaxWait", "BindDN"} {
		require.ErrorContains(t, err, "Config."+field)
	}
	_, err = New(Config{Servers: []string{"http://one", "ldap://two", "ftp://three"}})
	require.ErrorContains(t, err, "http://one")
	require.ErrorContains(t, err, "ftp://three")
}

func TestConfig_ServersAreCopied(t *testing.T) {
	t.Parallel()
	servers := []string{"ldap://one"}
	c := Config{Servers: servers}.withDefaults()
	servers[0] = "ldap://two"
	require.Equal(t, "ldap://one", c.Servers[0])
}

func TestError_NamesOperationServerAndCause(t *testing.T) {
	t.Parallel()
	cause := errors.New("connect: no route")
	err := error(&OpError{Op: "bind", Server: "ldap://one", Kind: ErrUnavailable, Err: cause})
	require.Equal(t, "bind ldap://one: ldappool: directory unavailable: connect: no route", err.Error())
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorIs(t, err, cause)
	require.Equal(t, "search: ldappool: pool closed", (&OpError{Op: "search", Kind: ErrClosed}).Error())
	require.ErrorIs(t, &OpError{Op: "search", Kind: context.Canceled}, context.Canceled)
}
