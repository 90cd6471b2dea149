package api_test

import (
	"net/http"
	"net/netip"
	"testing"

	"authsvc/api"

	"github.com/stretchr/testify/require"
)

func TestClient_IsTheNearestAddressOutsideTheTrustedProxies(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32"),
		netip.MustParsePrefix("fe80::/10")}
	for _, c := range []struct {
		name      string
		trusted   []netip.Prefix
		peer      string
		forwarded []string
		want      string
	}{
		{"a peer without a proxy", nil, "192.0.2.1:99", nil, "192.0.2.1"},
		{"nobody is trusted", nil, "10.0.0.1:99", []string{"198.51.100.7"}, "10.0.0.1"},
		{"not even this machine", nil, "127.0.0.1:99", []string{"198.51.100.7"}, "127.0.0.1"},
		{"a peer that is not trusted", proxies, "192.0.2.1:99", []string{"198.51.100.7"}, "192.0.2.1"},
		{"a trusted peer that says nothing", proxies, "10.0.0.1:99", nil, "10.0.0.1"},
		{"a trusted peer", proxies, "10.0.0.1:99", []string{"198.51.100.7"}, "198.51.100.7"},
		{"what the client itself claimed", proxies, "10.0.0.1:99", []string{"203.0.113.9, 198.51.100.7"}, "198.51.100.7"},
		{"a chain of proxies", proxies, "10.0.0.1:99", []string{"203.0.113.9,198.51.100.7 , 10.2.3.4"}, "198.51.100.7"},
		{"a chain over two headers", proxies, "10.0.0.1:99", []string{"203.0.113.9", "198.51.100.7", "10.2.3.4"}, "198.51.100.7"},
		{"proxies only", proxies, "10.0.0.1:99", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"rubbish from a proxy", proxies, "10.0.0.1:99", []string{"198.51.100.7, unknown"}, "unknown"},
		{"quotes", proxies, "10.0.0.1:99", []string{`"[2001:db9::7]:80"`}, "2001:db9::7"},
		{"a quote that the client opened", proxies, "10.0.0.1:99", []string{`"x, 198.51.100.7`}, "198.51.100.7"},
		{"an empty element at the end", proxies, "10.0.0.1:99", []string{"198.51.100.7, "}, "198.51.100.7"},
		{"rubbish behind the client", proxies, "10.0.0.1:99", []string{"x, 198.51.100.7"}, "198.51.100.7"},
		{"an empty list", proxies, "10.0.0.1:99", []string{""}, "10.0.0.1"},
		{"an entry with a port", proxies, "10.0.0.1:99", []string{"198.51.100.7:1234"}, "198.51.100.7"},
		{"IPv6", proxies, "[2001:db8::1]:99", []string{"2001:0DB9:0::7"}, "2001:db9::7"},
		{"IPv6 with a port", proxies, "[2001:db8::1]:99", []string{"[2001:db9::7]:80"}, "2001:db9::7"},
		{"IPv6 in brackets", proxies, "[2001:db8::1]:99", []string{"[2001:db9::7]"}, "2001:db9::7"},
		{"IPv4 in IPv6", proxies, "[::ffff:10.0.0.1]:99", []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		{"a zone", proxies, "[fe80::1%eth0]:99", []string{"198.51.100.7"}, "198.51.100.7"},
		{"a peer without an address", proxies, "@", []string{"198.51.100.7"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, func(cfg *api.Config) { cfg.TrustedProxies = c.trusted })
			req := newPost(typeJSON, goodJSON)
			req.RemoteAddr = c.peer
			req.Header["X-Forwarded-For"] = c.forwarded
			req.Header.Set("X-Real-IP", "203.0.113.1")
			req.Header.Set("Forwarded", "for=203.0.113.1")
			require.Equal(t, http.StatusOK, h.do(t, req).Code)
			require.Equal(t, c.want, h.auth.all()[0].Client)
		})
	}
}
