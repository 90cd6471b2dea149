package clientaddr_test

import (
	"net/netip"
	"strings"
	"testing"

	"authsvc/internal/clientaddr"

	"github.com/stretchr/testify/require"
)

// trusted are the proxies of the tests.
func trusted(t testing.TB) []netip.Prefix {
	t.Helper()
	var all []netip.Prefix
	for _, s := range []string{"10.0.0.0/8", "2001:db8::/32", "fe80::/10", "::ffff:127.0.0.0/104"} {
		p, err := clientaddr.ParsePrefix(s)
		require.NoError(t, err)
		all = append(all, p)
	}
	return all
}

func TestFind_ReadsAnElementAsProxiesWriteIt(t *testing.T) {
	t.Parallel()
	const v4, v6 = "198.51.100.7", "2001:db9::7"
	for element, want := range map[string]string{
		"198.51.100.7":                    v4,
		"198.51.100.7:1234":               v4,
		"198.51.100.7:65535":              v4,
		"198.51.100.7:_hidden.Port-1":     v4,
		`"198.51.100.7"`:                  v4,
		`"198.51.100.7:1234"`:             v4,
		" \t198.51.100.7\t ":              v4,
		"[198.51.100.7]":                  v4,
		"::ffff:198.51.100.7":             v4,
		"[::ffff:198.51.100.7]:1234":      v4,
		"::FFFF:C633:6407":                v4,
		"2001:db9::7":                     v6,
		"2001:0DB9:0:0:0:0:0:7":           v6,
		"[2001:db9::7]":                   v6,
		"[2001:db9::7]:1234":              v6,
		`"[2001:db9::7]:1234"`:            v6,
		`"[2001:db9::7]:_x"`:              v6,
		"2001:db9::7%eth0":                v6,
		"[2001:db9::7%25eth0]:1":          v6,
		"[::1]:123":                       "::1",
		"64:ff9b::10.0.0.1":               "64:ff9b::a00:1", // an address that a proxy's is in is not the proxy's
		"2002:a00:1::1":                   "2002:a00:1::1",
		"::10.0.0.1":                      "::a00:1",
		"unknown":                         clientaddr.Unknown,
		"Unknown":                         clientaddr.Unknown,
		`"unknown"`:                       clientaddr.Unknown,
		"_hidden":                         clientaddr.Unknown,
		`"_SEVKISEK"`:                     clientaddr.Unknown,
		"unknown:1234":                    clientaddr.Unknown,
		`"`:                               clientaddr.Unknown,
		`""`:                              clientaddr.Unknown,
		`"198.51.100.7`:                   clientaddr.Unknown,
		`198.51.100.7"`:                   clientaddr.Unknown,
		`'198.51.100.7'`:                  clientaddr.Unknown,
		`"198.51.100\.7"`:                 clientaddr.Unknown,
		"198.51.100.7:":                   clientaddr.Unknown,
		"198.51.100.7:123456":             clientaddr.Unknown,
		"198.51.100.7:12a":                clientaddr.Unknown,
		"198.51.100.7:_":                  clientaddr.Unknown,
		"198.51.100.7:_a b":               clientaddr.Unknown,
		"198.51.100.7 x":                  clientaddr.Unknown,
		"198.51.100.07":                   clientaddr.Unknown,
		"198.51.100":                      clientaddr.Unknown,
		"198.51.100.7/32":                 clientaddr.Unknown,
		"3325256711":                      clientaddr.Unknown,
		"0xc6336407":                      clientaddr.Unknown,
		"[2001:db9::7":                    clientaddr.Unknown,
		"2001:db9::7]":                    clientaddr.Unknown,
		"[2001:db9::7]1234":               clientaddr.Unknown,
		"[]":                              clientaddr.Unknown,
		"[]:80":                           clientaddr.Unknown,
		":":                               clientaddr.Unknown,
		":80":                             clientaddr.Unknown,
		"for=198.51.100.7":                clientaddr.Unknown,
		"client.example.org":              clientaddr.Unknown,
		"localhost":                       clientaddr.Unknown,
		"10.0.0.1\x00":                    clientaddr.Unknown,
		"198.51.100.7;":                   clientaddr.Unknown,
		"\u00a0198.51.100.7":              clientaddr.Unknown,
		"198.51.100.7:" + "9999999999999": clientaddr.Unknown,
	} {
		t.Run(element, func(t *testing.T) {
			t.Parallel()
			for _, peer := range []string{"10.0.0.1:99", "[2001:db8::1]:99", "[::ffff:10.0.0.1]:99", "127.0.0.1:99", "[fe80::1%eth0]:99"} {
				require.Equal(t, want, clientaddr.Find(peer, []string{element}, trusted(t)), "from %s", peer)
				require.Equal(t, want, clientaddr.Find(peer, []string{"203.0.113.9", element + ",10.2.3.4"}, trusted(t)))
			}
			require.Equal(t, "192.0.2.1", clientaddr.Find("192.0.2.1:99", []string{element}, trusted(t)), "a peer that is not trusted")
		})
	}
}

func TestFind_SkipsEmptyElements(t *testing.T) {
	t.Parallel()
	for _, forwarded := range [][]string{
		{"198.51.100.7,"}, {"198.51.100.7, , ,"}, {"198.51.100.7", ""}, {"198.51.100.7", ",", " \t, "}, {",198.51.100.7,,10.2.3.4,"},
	} {
		require.Equal(t, "198.51.100.7", clientaddr.Find("10.0.0.1:99", forwarded, trusted(t)), "%q", forwarded)
	}
	for _, forwarded := range [][]string{nil, {""}, {" , \t,"}, {"", ","}} { // the proxy names nobody: it asks for itself
		require.Equal(t, "10.0.0.1", clientaddr.Find("10.0.0.1:99", forwarded, trusted(t)), "%q", forwarded)
	}
}

func TestFind_PeerWithoutAnIPAddressIsUntrusted(t *testing.T) {
	t.Parallel()
	for _, peer := range []string{"@", "", "/run/authsvc.sock"} {
		require.Empty(t, clientaddr.Find(peer, []string{"198.51.100.7"}, trusted(t)))
	}
}

// TestFind_TrustIsOfTheAddressItself: an IPv6 address that carries a proxy's IPv4 address is not
// the proxy.
func TestFind_TrustIsOfTheAddressItself(t *testing.T) {
	t.Parallel()
	for _, peer := range []string{"64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:a00:1::1", "::a00:1", "2001:0:1:2:3:4:f5ff:fffe"} {
		require.Equal(t, peer, clientaddr.Find("["+peer+"]:99", []string{"198.51.100.7"}, trusted(t)))
	}
}

// FuzzFind: a client behind trusted proxies writes whatever it wants to the left of its own
// address, which the nearest proxy appends. It is counted as itself, and a proxy that conceals its
// clients is never counted in their place.
func FuzzFind(f *testing.F) {
	for _, s := range []string{"", "10.0.0.1", `"`, `"a, b`, "unknown", ", ,", "192.0.2.1, 10.0.0.1", "[::1", "\x00", `\`, `"10.0.0.1`, "(a"} {
		f.Add(s)
	}
	const client = "198.51.100.7"
	f.Fuzz(func(t *testing.T, claimed string) {
		for _, appended := range []string{client, client + ":80", `"` + client + `"`} {
			for _, chain := range []string{"", ", 10.2.3.4", ",[2001:db8::5]:80,", ", ::ffff:10.0.0.9"} {
				for _, forwarded := range [][]string{{claimed + ", " + appended + chain}, {claimed, appended + chain}, {claimed, appended, chain}} {
					require.Equal(t, client, clientaddr.Find("10.0.0.1:99", forwarded, trusted(t)), "%q", forwarded)
				}
			}
		}
		got := clientaddr.Find("10.0.0.1:99", []string{claimed}, trusted(t))
		if got == "10.0.0.1" && strings.Trim(claimed, " \t,") != "" && !strings.Contains(claimed, "10.0.0.1") && !strings.Contains(strings.ToLower(claimed), "a00:") {
			t.Fatalf("%q is counted as the proxy", claimed)
		}
	})
}

func TestFind_TrustsMappedNetworksAsIPv4(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"::ffff:192.0.2.0/120", "::FFFF:c000:200/120", "0:0:0:0:0:ffff:192.0.2.0/120", "192.0.2.0/24", "::ffff:0:0/96", "0.0.0.0/0"} {
		parsed, err := clientaddr.ParsePrefix(network)
		require.NoError(t, err)
		for _, p := range []netip.Prefix{parsed, netip.MustParsePrefix(network)} {
			for _, peer := range []string{"192.0.2.1:9", "[::ffff:192.0.2.1]:9"} {
				require.Equal(t, "198.51.100.7", clientaddr.Find(peer, []string{"198.51.100.7"}, []netip.Prefix{p}), "%s from %s", network, peer)
			}
			require.Equal(t, "2001:db8::1", clientaddr.Find("[2001:db8::1]:9", []string{"198.51.100.7"}, []netip.Prefix{p}), network)
		}
	}
}

func TestIsLoopback_InAnyForm(t *testing.T) {
	t.Parallel()
	for _, own := range []string{"127.0.0.1:9", "127.9.9.9:9", "[::1]:9", "[::ffff:127.0.0.1]:9"} {
		require.True(t, clientaddr.IsLoopback(own), own)
	}
	for _, other := range []string{"", "@", "192.0.2.1:9", "[::]:9", "[2001:db8::1]:9", "[::ffff:192.0.2.1]:9", "[::127.0.0.1]:9", "localhost:9"} {
		require.False(t, clientaddr.IsLoopback(other), other)
	}
}
