package throttle_test

import (
	"fmt"
	"testing"

	"authsvc/internal/throttle"

	"github.com/stretchr/testify/require"
)

// TestByEntry_KeepsLookAlikesApart: each is an entry of its own to some directory. Spellings of one
// DN share an account.
func TestByEntry_KeepsLookAlikesApart(t *testing.T) {
	t.Parallel()
	one := throttle.ByEntry("uid=user400,ou=people,dc=example,dc=org")
	require.Equal(t, one, throttle.ByEntry("UID=USER400, ou=People,DC=example,DC=org"))
	for _, dn := range []string{
		"uid=𝐔ser400,ou=people,dc=example,dc=org",
		"uid=ｕser400,ou=people,dc=example,dc=org",
		"uid=u\u00adser400,ou=people,dc=example,dc=org",
		"uid=user400,dc=example,dc=org",
		"uid=user400,ou=people,dc=example,dc=org,dc=org",
	} {
		require.NotEqual(t, one, throttle.ByEntry(dn), "%q", dn)
	}
}

// TestAccounts_OfDifferentKindsDiffer: a name may be spelt like a DN.
func TestAccounts_OfDifferentKindsDiffer(t *testing.T) {
	t.Parallel()
	require.NotEqual(t, throttle.ByEntry("x"), throttle.ByName("unparsed:x"))
	require.NotEqual(t, throttle.ByName("x"), throttle.ByAmbiguousName("x"))
	require.NotEqual(t, throttle.ByName("user0"), throttle.ByName("user1"))
}

func TestClient_IsAnIPv4AddressOrAnIPv6Network(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		one, another string
		same         bool
	}{
		"IPv4 addresses":              {"192.0.2.1", "192.0.2.2", false},
		"two hosts of an IPv6 /64":    {"2001:db8:1:2::1", "2001:db8:1:2:ffff::2", true},
		"two IPv6 /64":                {"2001:db8:1:2::1", "2001:db8:1:3::1", false},
		"IPv4 in IPv6":                {"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		"an address and none":         {"192.0.2.1", "", false},
		"an address and one unknown":  {"192.0.2.1", "unknown", false},
		"two unknown ones":            {"unknown", "unknown", true},
		"IPv4 and mapped":             {"192.0.2.1", "::ffff:192.0.2.1", true},
		"IPv4 and compatible":         {"192.0.2.1", "::192.0.2.1", true},
		"IPv4 and NAT64":              {"192.0.2.1", "64:ff9b::c000:201", true},
		"IPv4 and NAT64 of local use": {"192.0.2.1", "64:ff9b:1:abcd::c000:201", true},
		"IPv4 and 6to4":               {"192.0.2.1", "2002:c000:201:1::1", true},
		"IPv4 and Teredo":             {"192.0.2.1", "2001:0:7f00:1::3fff:fdfe", true},
		"two IPv4 behind NAT64":       {"64:ff9b::192.0.2.1", "64:ff9b::192.0.2.2", false},
		"two IPv4 of 6to4":            {"2002:c000:201::1", "2002:c000:202::1", false},
		"two IPv4 of Teredo":          {"2001::3fff:fdfe", "2001::3fff:fdfd", false},
		"a link-local one with zones": {"fe80::1%eth0", "fe80::1%eth1", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMemory(t, throttle.Config{Failures: 1, Window: usual().Window})
			require.NoError(t, try(m, user, c.one, throttle.Failed))
			require.Equal(t, c.same, try(m, user, c.another, throttle.Failed) != nil)
		})
	}
}

func TestSpellings_AreBounded(t *testing.T) {
	t.Parallel()
	s := throttle.NewExhaustedNames()
	_, ok := s.Get("User")
	require.False(t, ok)
	s.Put("User", user)
	got, ok := s.Get("User")
	require.True(t, ok)
	require.Equal(t, user, got)
	_, ok = s.Get("user")
	require.False(t, ok, "byte by byte: whether it is the same is the directory's to say")

	for i := range 200_000 {
		s.Put(fmt.Sprint(i), user)
		require.LessOrEqual(t, s.Len(), 1<<16)
	}
	_, ok = s.Get("199999")
	require.True(t, ok)
	_, ok = s.Get("0")
	require.False(t, ok)
}
