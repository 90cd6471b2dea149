package ldapname_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"authsvc/internal/ldapname"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCountKey_IsOneForWhatADirectoryMayTakeForOne(t *testing.T) {
	t.Parallel()
	for key, names := range map[string][]string{
		"user0":   {"USER0", "UsEr0", "ｕｓｅｒ０", "user⁰", "us\u00ader0", "user0\u200b", "u\u034fser0", "user\ufe0f0", "ＵＳＥＲ0", "𝐔ser0", " user0 ", "u\u0001ser0", "uſer0"},
		"jo ann":  {"Jo  Ann", "jo\u00a0ann", "jo\u3000ann", "jo\tann"},
		"kim":     {"\u212aim", "KİM", "ki\u0307m", "kI\u0307m", "K\u0130m"},
		"ị":       {"Ị", "\u0130\u0323", "i\u0323\u0307", "i\u0307\u0323"},
		"strasse": {"STRASSE", "straße", "STRAẞE"},
		"fi":      {"ﬁ", "FI"},
		"å":       {"Å", "a\u030a", "\u212b"},
		"σίσυφοσ": {"ΣΊΣΥΦΟΣ", "σίσυφος"},
		"ꭰ":       {"Ꭰ"},
	} {
		for _, name := range append(names, key) {
			assert.Equal(t, key, ldapname.CountKey(name), "%+q", name)
		}
	}
	require.Equal(t, ldapname.CountKey("\u03b1\u0345\u0301\u0338"), ldapname.CountKey("\u0391\u0345\u0301\u0338"), "marks behind what a fold makes a letter of")
	require.NotEqual(t, ldapname.CountKey("joann"), ldapname.CountKey("jo ann"))
	require.NotEqual(t, ldapname.CountKey("zak"), ldapname.CountKey("żak"), "a dot above another letter than i counts")
}

func TestCountKeyAD_LeavesOutMarksStrokesAndTheKindOfKana(t *testing.T) {
	t.Parallel()
	for key, names := range map[string][]string{
		"bjorn": {"bjørn", "Björn", "BJØRN", "bjo\u0308rn"},
		"ツ":     {"つ", "っ", "ﾂ", "づ"},
		"aegir": {"ægir", "Ægir", "ǽgir"},
		"ix":    {"ıx", "İx", "IX"},
	} {
		for _, name := range append(names, key) {
			if name == "っ" {
				continue // a small kana is another one
			}
			assert.Equal(t, key, ldapname.CountKeyAD(name), "%+q", name)
		}
	}
}

func TestPermitKey_FoldsTheCaseOfASCIIAlone(t *testing.T) {
	t.Parallel()
	require.Equal(t, ldapname.PermitKey("staff"), ldapname.PermitKey("STAFF"))
	for _, name := range []string{
		"𝐒taff", "ｓtaff", "\u017ftaff", "sta\ufb00", "staf\u00adf", "staff ", " staff", "staff\u200b", "stäff", "sta\u0308ff", "staff\x00", "staff\xff",
	} {
		assert.NotEqual(t, ldapname.PermitKey("staff"), ldapname.PermitKey(name), "%+q", name)
	}
	for _, pair := range [][2]string{
		{"K", "\u212a"}, {"i", "\u0130"}, {"i", "ı"}, {"ß", "ss"}, {"ß", "ẞ"}, {"a  b", "a b"}, {"Ꭰ", "ꭰ"}, {"ä", "Ä"}, {"ä", "a\u0308"}, {"\xff", "\xfe"}, {"\xff", "\ufffd"},
	} {
		assert.NotEqual(t, ldapname.PermitKey(pair[0]), ldapname.PermitKey(pair[1]), "%+q", pair)
	}
}

func TestPermitDNKey_IsOneForSpellingsOfRFC4514(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"cn=staff,dc=org", "CN=Staff,DC=ORG", "cn = staff , dc = org", `cn=\73taff,dc=org`, `cn=s\74\61ff,dc=org`, ` cn=staff,dc=org`},
		{`cn=a\,b,dc=org`, `cn=a\2cb,dc=org`, `cn=a\2Cb, dc=org`},
		{`cn=ö,dc=org`, `cn=\c3\b6,dc=org`, `cn=\C3\B6,dc=org`},
		{"cn=a+ou=b,dc=org", "ou=b+cn=a,dc=org", "OU = B + CN = A,dc=org"},
		{"cn=#0402AB01,dc=org", "CN=#0402ab01 , dc=org"},
		{`cn=\ a\ ,dc=org`, `cn= \ a\   ,dc=org`},
		{`cn=a b,dc=org`, `cn=a\ b,dc=org`},
		{"cn=,dc=org", "cn= ,dc=org"},
	} {
		for _, dn := range same {
			assert.Equal(t, ldapname.PermitDNKey(same[0]), ldapname.PermitDNKey(dn), dn)
			assert.True(t, ldapname.MayBeSameDN(same[0], dn), dn)
		}
	}
	different := []string{
		"cn=a b,dc=org", `cn=a\20b,dc=org`, "cn=a  b,dc=org", `cn=a\ \20b,dc=org`, `cn=a\20\ b,dc=org`, // entries of their own at 389 DS
		"cn=staff,dc=org", "cn=𝐒taff,dc=org", "cn=staff,dc=org,dc=org", "cn=staff", "dc=org,cn=staff", `cn=staff\,dc=org`, `cn=staff\20,dc=org`, `cn=\20staff,dc=org`, "cn=sta ff,dc=org",
		"cn=sta  ff,dc=org", "ou=staff,dc=org", "2.5.4.3=staff,dc=org", "cn=staff+ou=x,dc=org", "cn=staff+cn=x,dc=org", "cn=#04057374616666,dc=org", `cn=\#04057374616666,dc=org`,
		"cn=staﬀ,dc=org", "cn=ſtaff,dc=org", "cn=staf\u00adf,dc=org", `cn="staff",dc=org`, "cn=staff;dc=org", "staff", "", "cn", "cn=staff,", ",cn=staff", "cn=sta\x00ff", `cn=staff\`, `cn=staff\zz`, `cn=staff\7`,
	}
	for i, a := range different {
		for j, b := range different {
			assert.Equal(t, i == j, ldapname.PermitDNKey(a) == ldapname.PermitDNKey(b), "%q %q", a, b)
		}
	}
}

func TestMayBeSameDN_IsFalseOnlyForWhatNoDirectoryTakesForOne(t *testing.T) {
	t.Parallel()
	const one = "cn=staff,dc=org"
	for _, dn := range []string{
		"commonName=staff,dc=org", "2.5.4.3=staff,domainComponent=org", "cn=𝐒TAFF,dc=org", "cn=#04057374616666,dc=org", "cn=#0c05737461666 6,dc=org", "cn=#0c810573746166 66,dc=org",
		`cn="staff",dc=org`, "cn=staff;dc=org", `cn=staff\20,dc=org`, "no DN",
	} {
		assert.True(t, ldapname.MayBeSameDN(one, strings.ReplaceAll(dn, "6 6", "66")), dn)
	}
	for _, dn := range []string{"cn=stuff,dc=org", one + ",dc=org", "cn=staff", "dc=org,cn=staff", "cn=staff+ou=x,dc=org", "cn=s taff,dc=org", "cn=#0405,dc=org", "cn=#04,dc=org", ""} {
		assert.False(t, ldapname.MayBeSameDN(one, dn), dn)
	}
}

// FuzzKeys: no input makes a key coarser or finer than another that has to be.
func FuzzKeys(f *testing.F) {
	for _, s := range []string{"user0", "ｕｓｅｒ０ ", "ß\u0345", "\u1e9e", "ﬃ\u0300", "\xff", "a\u00ad b", "I\u0323\u0307", "¨", "cn=a,b"} {
		f.Add(s, "STAFF")
		f.Add("cn="+s, `\ff`)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, key := range []func(string) string{ldapname.CountKey, ldapname.CountKeyAD, ldapname.PermitKey} {
			require.Equal(t, key(a), key(key(a)), "%+q", a)
			require.Equal(t, key(a), key(ldapname.PermitKey(a)), "the permit key is the finest")
		}
		require.Equal(t, ldapname.CountKeyAD(a), ldapname.CountKeyAD(ldapname.CountKey(a)), "AD's key is the coarsest")
		ldapname.MayBeSameDN(a, b)
		if !utf8.ValidString(a) || !utf8.ValidString(b) {
			return
		}
		dn := func(s string) string { return "cn=" + escaped(s) + ",ou=groups" }
		require.Equal(t, ldapname.PermitKey(a) == ldapname.PermitKey(b), ldapname.PermitDNKey(dn(a)) == ldapname.PermitDNKey(dn(b)))
		require.True(t, ldapname.MayBeSameDN(dn(a), ldapname.CanonicalDN(dn(a))))
		require.Equal(t, ldapname.CountKeyAD(a) == ldapname.CountKeyAD(b), ldapname.MayBeSameDN(dn(a), dn(b)))
		require.Equal(t, ldapname.PermitDNKey(dn(a)), ldapname.PermitDNKey(strings.Replace(dn(a), ",", " ,  ", 1)))
	})
}

// escaped is a value of a DN with each byte escaped.
func escaped(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, `\%02x`, s[i])
	}
	return b.String()
}

// TestParse_TakesMemoryInProportionToADN: the encoded values of a DN from a directory are not
// decoded, however deeply they nest.
func TestParse_TakesMemoryInProportionToADN(t *testing.T) {
	dn := "uid=#" + strings.Repeat("3080", 1<<18)
	for name, f := range map[string]func(){
		"PermitDNKey": func() { ldapname.PermitDNKey(dn) },
		"MayBeSameDN": func() { ldapname.MayBeSameDN(dn, dn) },
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(40*len(dn)), name)
	}
}
