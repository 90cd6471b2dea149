package ldapname

import (
	"encoding/hex"
	"strings"
	"testing"

	"authsvc/internal/memtest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

func TestParseDN_ReadsWhatDirectoriesWrite(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"", "uid=user1,ou=people,dc=example,dc=org", `cn=C\#,dc=x`, `cn=\#1,dc=x`, "cn=a#b,dc=x", "cn=a=#b,dc=x",
		`cn=a\=#b\,c=#d,dc=x`, "uid=#0403616263,dc=x", "cn=x+uid=#0403616263", "cn=x+uid=y,dc=x", "cn=" + strings.Repeat("\uFDFA", 2000),
	} {
		want, err := ldap.ParseDN(name)
		require.NoError(t, err, name)
		got, err := ParseDN(name)
		require.NoError(t, err, name)
		require.Equal(t, want, got)
	}
}

func TestParseDN_RefusesWhatGrowsWhenDecoded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0500", 100)
	for _, name := range []string{
		"uid=#" + long, "uid= #" + long, "dc=x,uid=#" + long + ",dc=y", "cn=x+uid=#" + long, `cn=\=,uid=#` + long, "cn=x;uid=#" + long,
	} {
		_, err := ParseDN(name)
		require.ErrorIs(t, err, errHex, name)
	}
	_, err := ParseDN("cn=" + strings.Repeat("x", maxBytes))
	require.ErrorIs(t, err, errTooLong)
}

func FuzzParseDN(f *testing.F) {
	f.Add("uid=user1,ou=people,dc=example,dc=org")
	f.Add("uid=#" + hex.EncodeToString([]byte(strings.Repeat("\x30\x80", 100))))
	f.Add("uid=#" + strings.Repeat("0500", 1000))
	f.Add(`cn=\=a\,b#=+sn=#04;x=`)
	f.Fuzz(func(t *testing.T, name string) {
		memtest.Bound(t, len(name), 16<<10, 200, func() {
			if got, err := ParseDN(name); err == nil {
				want, _ := ldap.ParseDN(name)
				require.Equal(t, want, got)
			}
		})
		if rdns, ok := parseDN(name); ok {
			require.Equal(t, joinDN(rdns, permitPartKey), PermitDNKey(name), "parsed or not, the key is the same")
		} else {
			require.False(t, isPlainDN(name))
		}
	})
}

// TestCountKey_OfALongNameTakesBoundedMemory measures the process's memory, so nothing runs at the
// same time.
func TestCountKey_OfALongNameTakesBoundedMemory(t *testing.T) { //nolint:paralleltest // see above
	long := strings.Repeat("\uFDFA", 1<<20)
	memtest.Bound(t, 0, 8<<20, 0, func() {
		CountKeyAD(long)
		CountKey(long)
		MayBeSameDN("cn="+long[:9<<10], "cn="+long[:9<<10])
	})
}

// FuzzCountKey checks that a key is its own key and that it takes memory in proportion to the name.
func FuzzCountKey(f *testing.F) {
	for _, s := range []string{"user0", "ｕｓｅｒ０ ", "ß\u0345", "\u1e9e", "ﬃ\u0300", "\xff", "a\u00ad b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 1000 { // of a longer one only the beginning counts
			s = s[:1000]
		}
		var once string
		memtest.Bound(t, len(s), 16<<10, 1000, func() { once = CountKey(s) })
		require.Equal(t, once, CountKey(once))
		PermitDNKey(s)
	})
}
