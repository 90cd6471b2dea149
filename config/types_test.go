package config_test

import (
	"strings"
	"testing"

	"authsvc/config"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHosts_AreNames(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]config.HostList{
		"authsvc": {"authsvc"}, "Login.Example.ORG. , auth_svc": {"login.example.org", "auth_svc"}, "authsvc.ns.svc.cluster.local": {"authsvc.ns.svc.cluster.local"},
		"xn--mnchen-3ya.de": {"xn--mnchen-3ya.de"}, "localhost": {"localhost"},
	} {
		c := mustLoad(t, minimal("HTTP_HOSTS="+value, "ADMIN_HOSTS="+value))
		assert.Equal(t, want, c.HTTP.Hosts, value)
		assert.Equal(t, want, c.Admin.Hosts, value)
	}
}

func TestHosts_ErrorSaysWhyANameIsInvalid(t *testing.T) {
	t.Parallel()
	for value, reason := range map[string]string{
		"authsvc:8080": "remove the port", "https://authsvc": "is a URL", "authsvc/": "is a URL", "*.example.org": "wildcards are not supported", "*": "wildcards are not supported",
		"10.0.0.1": "are always accepted", "[::1]": "are always accepted", "::1": "are always accepted", "a,,b": "has an empty item", "münchen.de": "is not a host name",
		"a b": "is not a host name", ".": "is not a host name", "a..b": "is not a host name", ".a": "is not a host name", strings.Repeat("a", 64): "is not a host name",
		strings.Repeat("a.", 126) + "a": "", strings.Repeat("a.", 126) + "ab": "is not a host name", "user@host": "is not a host name",
	} {
		if reason == "" {
			mustLoad(t, minimal("HTTP_HOSTS="+value))
			continue
		}
		require.Contains(t, problem(t, "HTTP_HOSTS", minimal("HTTP_HOSTS="+value)), reason)
		text := problem(t, "ADMIN_HOSTS", minimal("ADMIN_HOSTS=ok,"+value))
		require.Contains(t, text, reason)
		require.Contains(t, text, "for example ADMIN_HOSTS=authsvc.example.org")
	}
}
