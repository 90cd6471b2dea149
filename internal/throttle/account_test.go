package throttle_test

import (
	"fmt"
	"testing"

	"authsvc/internal/throttle"

	"github.com/stretchr/testify/require"
)

func TestSpellingsThatADirectoryTakesForOneAreOneAccount(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"user0", "USER0", "UsEr0", "ｕｓｅｒ０", "user⁰", "us\u00ader0", "user0\u200b", "u\u034fser0", "user\ufe0f0", "ＵＳＥＲ0",
	} {
		require.Equal(t, "user0", throttle.Fold(name), "%q", name)
		require.Equal(t, throttle.ByName("user0"), throttle.ByName(name))
	}
	for _, name := range []string{"jo ann", "Jo  Ann", "jo\u00a0ann", "jo\u3000ann"} {
		require.Equal(t, "jo ann", throttle.Fold(name), "%q", name)
	}
	require.Equal(t, throttle.Fold("STRASSE"), throttle.Fold("straße"))
	require.Equal(t, throttle.Fold("Å"), throttle.Fold("a\u030a"))
	require.Equal(t, throttle.Fold("ΣΊΣΥΦΟΣ"), throttle.Fold("σίσυφος"))
	require.NotEqual(t, throttle.Fold("user0"), throttle.Fold("user1"))
	require.NotEqual(t, throttle.Fold("joann"), throttle.Fold("jo ann"))
}

func TestAnEntryIsOneAccountHoweverItsDNIsSpelt(t *testing.T) {
	t.Parallel()
	one := throttle.ByEntry("uid=jo\\, ann+cn=Jo,ou=people,dc=example,dc=org")
	for _, dn := range []string{
		"UID=JO\\, ANN+CN=jo,OU=People,DC=example,DC=org",
		"cn=Jo+uid=jo\\2c ann, ou=people, dc=example, dc=org",
		"uid=#0c076a6f2c20616e6e+cn=Jo,ou=people,dc=example,dc=org",
	} {
		require.Equal(t, one, throttle.ByEntry(dn), dn)
	}
	require.NotEqual(t, one, throttle.ByEntry("uid=jo,ou=ann+cn=Jo,ou=people,dc=example,dc=org"))
	require.NotEqual(t, throttle.ByEntry("uid=a,dc=org"), throttle.ByEntry("uid=a,dc=org,dc=org"))
	require.Equal(t, throttle.ByEntry("No DN"), throttle.ByEntry("no dn"))
	require.NotEqual(t, throttle.ByEntry("uid=a"), throttle.ByName("uid=a,"))
}

func TestAClientIsAnIPv4AddressOrAnIPv6Network(t *testing.T) {
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

func TestSpellingsAreRememberedWithinBounds(t *testing.T) {
	t.Parallel()
	s := throttle.NewSpellings()
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

func FuzzFold(f *testing.F) {
	for _, s := range []string{"user0", "ｕｓｅｒ０ ", "ß\u0345", "\u1e9e", "ﬃ\u0300", "\xff", "a\u00ad b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := throttle.Fold(s)
		if again := throttle.Fold(once); again != once {
			t.Fatalf("%q folds to %q and that to %q", s, once, again)
		}
		throttle.ByEntry(s)
	})
}
