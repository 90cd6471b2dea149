package ldapname_test

import (
	"math/rand/v2"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"
)

// pieces are what means something else next to another: marks, letters that a fold or a
// decomposition makes several of, digraphs, syllables, spaces, and what distinguishes no names.
// U+FEFF is not among them: behind it 389 DS drops a space, and RFC 4518 drops it instead.
var pieces = append(strings.Fields(`a e i I İ ı s σ ς Σ ß ẞ ﬁ ﬆ ſ ŉ ǆ Ǆ ǅ ΐ ᾳ α ω μ µ Ω ʼ Ꭰ ꭰ Ა ა ⴀ Ə ɘ ǝ Ǝ か ガ ｶ ﾞ 각 １ ① ½ ℡ ﷺ ﹰ K Å ø œ ꜩ - ' ’ · ; ´`),
	" ", "  ", "\u00a0", "\u3000", "\u2028", "\u00ad", "\u200b", "\u200d", "\u034f", "\u180e", "\ufe0f", "\u1100", "\u1161", "\u11a8",
	"\u0300", "\u0301", "\u0307", "\u030c", "\u0308\u0301", "\u0323", "\u0338", "\u0344", "\u0345", "\u0345\u0301", "\u3099", "\u0f71", "\u0f72", "\u0f73",
	"\u0f81", "\u1fef", "\u0387", "\u037e")

// spellings returns a name of some pieces, and names that a directory may take for it.
func spellings(random *rand.Rand) []string {
	name := "q"
	for range 1 + random.IntN(4) {
		name += pieces[random.IntN(len(pieces))]
	}
	name += "q"
	runes := []rune(name)
	swapped := []rune(name)
	if i := 1 + random.IntN(len(runes)-2); i < len(runes)-2 {
		swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
	}
	at := 1 + random.IntN(len(runes)-1)
	return []string{
		name, norm.NFC.String(name), norm.NFD.String(name), norm.NFKC.String(name), norm.NFKD.String(name),
		cases.Fold().String(name), cases.Upper(language.Und).String(name), cases.Lower(language.Turkish).String(name), cases.Upper(language.Turkish).String(name),
		strings.ToUpper(name), strings.ToLower(name), norm.NFC.String(strings.ToUpper(norm.NFD.String(name))),
		string(swapped), string(runes[:at]) + pieces[random.IntN(len(pieces))] + string(runes[at:]),
		strings.Map(func(r rune) rune {
			if unicode.In(r, unicode.M, unicode.Cf) {
				return -1
			}
			return r
		}, norm.NFKD.String(name)),
	}
}

// requireNeverFinerInSequences checks that the directory keeps names of several code points apart
// whose keys differ, at a directory that rejects a value which equals another of the entry.
func (c *client) requireNeverFinerInSequences(entries, size int, key func(string) string) {
	c.t.Helper()
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same names each time
	for range entries {
		seen := map[string]bool{}
		var values []string
		for len(values) < size {
			for _, name := range spellings(random) {
				if k := key(name); !seen[k] {
					seen[k] = true
					values = append(values, name)
				}
			}
		}
		if c.rejects(values) {
			c.reportPair(values)
			return
		}
	}
	c.t.Logf("%d names of several code points", entries*size)
}
