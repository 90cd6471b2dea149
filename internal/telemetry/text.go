package telemetry

import (
	"strings"
	"unicode"
)

// Bounds on what others can have written to the log, in bytes.
const (
	maxUsername = 256
	maxText     = 1024
)

const ellipsis = "…"

// clean makes a text from outside fit for a log: at most limit bytes, an ellipsis where it was cut, valid UTF-8.
// Control characters below U+0020 and line separators are left to the handler, whose encoding escapes them; it
// does not escape DEL, the C1 controls (of which U+0085 is a line break and U+009B starts a terminal's commands)
// or bidirectional controls, so those become U+FFFD here. A text that needs none of this is returned as it is.
func clean(s string, limit int) string {
	cut := len(s) > limit
	if cut {
		s = s[:limit]
	}
	s = strings.Map(visible, s) // makes invalid bytes U+FFFD too, which is longer
	if !cut && len(s) <= limit {
		return s
	}
	s = s[:min(len(s), limit-len(ellipsis))]
	return strings.ToValidUTF8(s, "") + ellipsis
}

// Printable makes a text from outside fit for a page: as for the log, and what the log's encoding would escape is a space.
func Printable(s string, limit int) string {
	cut := s[:min(len(s), 4*limit)] // the rest would not stay
	spaced := strings.Map(func(r rune) rune {
		if r < ' ' || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, cut)
	return clean(spaced, limit)
}

func visible(r rune) rune {
	switch {
	case r < 0x7f:
		return r
	case r <= 0x9f, unicode.Is(unicode.Bidi_Control, r):
		return unicode.ReplacementChar
	}
	return r
}
