package clientaddr_test

import (
	"testing"

	"authsvc/internal/clientaddr"

	"github.com/stretchr/testify/require"
)

func TestNetwork_IsAnIPv4AddressOrAnIPv6Slash64(t *testing.T) {
	t.Parallel()
	for client, want := range map[string]struct{ network, site string }{
		"192.0.2.1":                 {"192.0.2.1", ""},
		"::ffff:192.0.2.1":          {"192.0.2.1", ""}, // IPv4-mapped
		"::192.0.2.1":               {"192.0.2.1", ""}, // IPv4-compatible
		"::ffff:0:192.0.2.1":        {"192.0.2.1", ""}, // IPv4-translated
		"64:ff9b::192.0.2.1":        {"192.0.2.1", ""}, // NAT64
		"64:ff9b:1::192.0.2.1":      {"192.0.2.1", ""}, // NAT64 of local use, /96
		"64:ff9b:1:abcd::192.0.2.1": {"192.0.2.1", ""},
		"2002:c000:201::1":          {"192.0.2.1", ""}, // 6to4, whatever the subnet and host
		"2002:c000:201:ffff:1:2::9": {"192.0.2.1", ""},
		// Teredo: the server 65.54.227.120, and the client 192.0.2.45 inverted (RFC 4380 section 4)
		"2001:0:4136:e378:8000:63bf:3fff:fdd2": {"192.0.2.45", ""},
		"2001::3fff:fdd2":                      {"192.0.2.45", ""},
		// NAT64 of local use with another prefix length (RFC 6052 section 2.2): the whole address
		"64:ff9b:1:c000:2:100::":        {"64:ff9b:1:c000:2:100::", ""},
		"64:ff9b:1:abcd:c0:2:100:0":     {"64:ff9b:1:abcd:c0:2:100:0", ""},
		"64:ff9b:1::":                   {"64:ff9b:1::", ""},
		"2001:db8:1:2:3:4:5:6":          {"2001:db8:1:2::/64", "2001:db8:1::/48"},
		"2001:db8:1:2::192.0.2.1":       {"2001:db8:1:2::/64", "2001:db8:1::/48"},
		"2001:db8:1:2:0:5efe:192.0.2.1": {"2001:db8:1:2::/64", "2001:db8:1::/48"}, // ISATAP is of its /64
		"64:ff9b::1:192.0.2.1":          {"64:ff9b::/64", "64:ff9b::/48"},         // next to the /96
		"64:ff9b:2::192.0.2.1":          {"64:ff9b:2::/64", "64:ff9b:2::/48"},
		"2001:1::3fff:fdd2":             {"2001:1::/64", "2001:1::/48"},
		"2003:c000:201::1":              {"2003:c000:201::/64", "2003:c000:201::/48"},
		"::1":                           {"::/64", "::/48"},
		"::":                            {"::/64", "::/48"},
		"fe80::1%eth0":                  {"fe80::/64", "fe80::/48"},
		clientaddr.Unknown:              {clientaddr.Unknown, ""},
		"":                              {"", ""},
	} {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, want.network, clientaddr.Network(client))
			site, ok := clientaddr.Site(client)
			require.Equal(t, want.site, site)
			require.Equal(t, want.site != "", ok)
		})
	}
}

func TestParsePrefix_IPv4MappedIsIPv4(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"::ffff:127.0.0.0/104": "127.0.0.0/8", "::ffff:127.0.0.1": "127.0.0.1/32", "::ffff:127.0.0.1/128": "127.0.0.1/32",
		"::ffff:0:0/96": "0.0.0.0/0", "::ffff:10.1.2.3/120": "10.1.2.0/24", "10.1.2.3/8": "10.0.0.0/8", "2001:db8::1/32": "2001:db8::/32",
		"::/0": "::/0", "fe80::1": "fe80::1/128",
	} {
		p, err := clientaddr.ParsePrefix(in)
		require.NoError(t, err, in)
		require.Equal(t, want, p.String(), in)
	}
	for _, in := range []string{"", "x", "10.0.0.1:80", "10.0.0.0/33", "::ffff:10.0.0.0/129", "[::1]", "10.0.0.0/08"} {
		_, err := clientaddr.ParsePrefix(in)
		require.Error(t, err, in)
	}
}
