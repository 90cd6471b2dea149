// Package visible makes characters seen that a reader would not see, or that would do something to
// a terminal.
package visible

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// blanks are characters that Unicode counts among letters, marks and symbols, and that fonts show
// as nothing.
var blanks = []*unicode.RangeTable{unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector}

// Rune reports whether a reader sees r: a letter, mark, number, sign or symbol that is assigned and
// has a form, or the space of ASCII. Controls, formats (zero-width and bidirectional ones, tags),
// other spaces, separators, private and unassigned characters have none.
func Rune(r rune) bool {
	return strconv.IsPrint(r) && r != '\u2800' && !unicode.In(r, blanks...) // U+2800 is the empty pattern of Braille
}

// Escape writes what a reader would not see as in source code, such as \u200b, but for what keep
// keeps. Bytes that are no UTF-8 become U+FFFD. A text that needs none of this is returned as it
// is.
func Escape(s string, keep func(rune) bool) string {
	if isPrintableASCII(s) {
		return s
	}
	hidden := func(r rune) bool { return !Rune(r) && !keep(r) }
	if utf8.ValidString(s) && !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if !hidden(r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRuneToASCII(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

func isPrintableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
