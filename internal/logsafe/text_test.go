package logsafe

import (
	"strings"
	"testing"
	"unicode/utf8"

	"authsvc/internal/memtest"

	"github.com/stretchr/testify/assert"
)

func TestClean_CutsBetweenCharacters(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"short", "añb", "añb"},
		{"as long as may be", strings.Repeat("x", 16), strings.Repeat("x", 16)},
		{"one too long", strings.Repeat("x", 17), strings.Repeat("x", 13) + "…"},
		{"in the middle of a character", strings.Repeat("ñ", 9), strings.Repeat("ñ", 6) + "…"},
		{"longer for its replacements", strings.Repeat("\xff", 16), "\uFFFD\uFFFD\uFFFD\uFFFD…"},
		{"a character cut by the first cut", strings.Repeat("x", 15) + "€", strings.Repeat("x", 13) + "…"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, test.want, Clean(test.text, 16))
		})
	}
}

func FuzzClean(f *testing.F) {
	for _, seed := range []string{"", "user0", "añb", "\xff\xfe", "a\u0085b", strings.Repeat("€", 30), "x\u202ey", strings.Repeat("\xff\u200b", 64<<10)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		// What other goroutines allocate meanwhile counts too: with the race detector 4 KiB were
		// too few.
		memtest.Bound(t, min(len(s), 32), 16<<10, 100, func() { got = Clean(s, 32) })
		if len(got) > 32 || !utf8.ValidString(got) {
			t.Fatalf("Clean(%q) is %q", s, got)
		}
		if again := Clean(got, 32); again != got {
			t.Fatalf("Clean(%q) is %q, and then %q", s, got, again)
		}
	})
}
