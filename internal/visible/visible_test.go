package visible

import (
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

func TestEscape_ShowsWhatAReaderWouldNotSee(t *testing.T) {
	t.Parallel()
	none := func(rune) bool { return false }
	for in, want := range map[string]string{
		"user0":                    "user0",
		"Jürgen Žižek 李 ω١":        "Jürgen Žižek 李 ω١",
		"a\u200bb":                 `a\u200bb`,
		"\ufeffa":                  `\ufeffa`,
		"a\U000e0041b":             `a\U000e0041b`,
		"a\u202eb\u2066c":          `a\u202eb\u2066c`,
		"a\u00a0b\u3000c\u2003d":   `a\u00a0b\u3000c\u2003d`,
		"a\u00adb\u2060c":          `a\u00adb\u2060c`,
		"a\u3164b\u115fc\u034fd":   `a\u3164b\u115fc\u034fd`,
		"a\ufe0fb\U000e0100c":      `a\ufe0fb\U000e0100c`,
		"a\u2028b\u2029c":          `a\u2028b\u2029c`,
		"a\ue000b\U00100000":       `a\ue000b\U00100000`,
		"a\u0378b\ufffec":          `a\u0378b\ufffec`,
		"a\u2800b":                 `a\u2800b`,
		"a\u0085b\u009bc\x7fd\x1b": `a\u0085b\u009bc\x7fd\x1b`,
		"a\xffb":                   "a\uFFFDb",
	} {
		require.Equal(t, want, Escape(in, none))
	}
	require.Equal(t, "a\nb", Escape("a\nb", unicode.IsControl))
}

func TestRune_NoCharacterOfACategoryWithoutAFormIsSeen(t *testing.T) {
	t.Parallel()
	seen := 0
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !Rune(r) {
			continue
		}
		seen++
		require.True(t, unicode.IsGraphic(r), "%U", r)
		require.False(t, unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) || unicode.Is(unicode.Zs, r) && r != ' ', "%U", r)
		require.NotEmpty(t, strings.TrimSpace(string(r))+map[bool]string{true: " "}[r == ' '], "%U", r)
	}
	require.Greater(t, seen, 100_000)
}
