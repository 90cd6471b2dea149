package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestThrottle_ByAccountAndClient: by the settings' numbers, on the client that
// X-Forwarded-For tells of.
func TestThrottle_ByAccountAndClient(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 2})
	p := startProgram(t, s.URL(), "AUTH_THROTTLE_FAILURES=3", "AUTH_THROTTLE_ACCOUNT_FAILURES=5", "AUTH_THROTTLE_WINDOW=1h",
		"HTTP_TRUSTED_PROXIES=127.0.0.1")
	p.ready(t)
	c := client(t)
	from := func(address, username, password string) (status string, retryAfter string) {
		req, err := http.NewRequest(http.MethodPost, p.url+"/auth", strings.NewReader(`{"username":"`+username+`","password":"`+password+`"}`))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Forwarded-For", address)
		resp, err := c.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		everything.Secret(password)
		everything.Wrote("answers", body)
		return string(body[:strings.IndexByte(string(body), ',')]), resp.Header.Get("Retry-After")
	}
	for i, want := range []string{"2", "2", "2", "9", "9"} {
		status, retry := from("2001:db8::1", []string{"user0", "USER0"}[i%2], "mistaken")
		assert.Equal(t, `{"status":`+want, status)
		if want == "9" {
			assert.Contains(t, []string{"1200", "1199"}, retry, "a third of the window")
		}
	}
	status, _ := from("2001:db8::2", "user0", "password0")
	assert.Equal(t, `{"status":9`, status, "the same network")
	status, _ = from("192.0.2.1", "user0", "password0")
	assert.Equal(t, `{"status":0`, status, "another client")
	for range 2 {
		status, _ = from("192.0.2.1", "user0", "mistaken")
		assert.Equal(t, `{"status":2`, status)
	}
	status, retry := from("192.0.2.2", "user0", "password0")
	assert.Equal(t, `{"status":9`, status, "the account's own limit")
	assert.Contains(t, []string{"720", "719"}, retry)
	status, _ = from("2001:db8::1", "user1", "password1")
	assert.Equal(t, `{"status":0`, status, "another account")
	assert.Equal(t, 6, s.LogCount(`BIND dn="`+ldaptest.UserDN(0)+`" method=128`))

	resp, err := http.Get(p.admin + "/metrics")
	require.NoError(t, err)
	defer resp.Body.Close()
	metrics, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	for _, line := range []string{"authsvc_throttle_entries 3", "authsvc_throttle_forgotten_total 0", `authsvc_logins_total{outcome="too_many_attempts"} 4`} {
		assert.Contains(t, string(metrics), "\n"+line+"\n")
	}
	assert.Equal(t, 3, strings.Count(p.logged(), `"cause":"throttled: 3 failures of the account from this client in 1h0m0s"`))
	assert.Equal(t, 1, strings.Count(p.logged(), `"cause":"throttled: 5 failures of the account in 1h0m0s"`))
}

// TestThrottle_ClientOverAllAccounts: and names the limit in the log, in the metrics and
// on the status page.
func TestThrottle_ClientOverAllAccounts(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 20})
	p := startProgram(t, s.URL(), "AUTH_THROTTLE_FAILURES=2", "AUTH_THROTTLE_CLIENT_FAILURES=5", "AUTH_THROTTLE_WINDOW=1h",
		"HTTP_TRUSTED_PROXIES=::ffff:127.0.0.0/104")
	p.ready(t)
	c := client(t)
	status := func(forwarded, username, password string) string {
		req, err := http.NewRequest(http.MethodPost, p.url+"/auth", strings.NewReader(`{"username":"`+username+`","password":"`+password+`"}`))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Forwarded-For", forwarded)
		resp, err := c.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		everything.Secret(password)
		everything.Wrote("answers", body)
		return strings.TrimPrefix(string(body[:strings.IndexByte(string(body), ',')]), `{"status":`)
	}
	ways := []string{"192.0.2.1", "192.0.2.1:1234", `"[::ffff:192.0.2.1]:5"`, "64:ff9b::c000:201", "2002:c000:201::7"}
	for i := range 20 {
		want := "2"
		if i >= 5 {
			want = "9"
		}
		assert.Equal(t, want, status(ways[i%len(ways)], ldaptest.Username(i), "Winter2026!"), "one client, however its address is written")
	}
	assert.Equal(t, "0", status("192.0.2.2", "user0", "password0"), "another client")
	for range 3 {
		status("unknown", "user1", "mistaken")
	}
	assert.Equal(t, "9", status("_hidden", "user1", "password1"), "the clients that a proxy conceals are one")
	assert.Equal(t, "0", status("", "user1", "password1"), "and not the proxy")

	assert.Equal(t, 15, strings.Count(p.logged(), `"cause":"throttled: 5 failures of this client in 1h0m0s"`))
	for path, wants := range map[string][]string{
		"/metrics":    {`authsvc_throttle_refused_total{limit="client"} 15`, `authsvc_throttle_refused_total{limit="account_client"} 2`},
		"/api/status": {`{"limit":"client","count":15}`, `{"limit":"account_client","count":2}`},
		"/":           {"throttle: refused by limit client</th>"},
	} {
		resp, err := http.Get(p.admin + path)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		for _, want := range wants {
			assert.Contains(t, string(body), want, path)
		}
	}
}
