package logsafe

import (
	"log/slog"
	"strings"

	"authsvc/internal/visible"
)

// Bounds on texts from outside, in bytes.
const (
	MaxText  = 1024 // in a line of the log
	MaxShown = 300  // on a page and in a probe's answer
)

const ellipsis = "…"

// Clean makes a text from outside fit for a log: at most limit bytes, an ellipsis where it was cut,
// valid UTF-8. It leaves control characters below U+0020 to the log's handler, whose encoding
// escapes them. The handler does not escape DEL, the C1 controls (U+0085 is a line break, U+009B
// starts a terminal's commands), or invisible characters. Clean escapes those, as \u200b. A text
// that needs none of this is returned as it is.
func Clean(s string, limit int) string {
	cut := len(s) > limit
	if cut {
		s = s[:limit]
	}
	s = visible.Escape(s, isC0) // which may be longer
	if !cut && len(s) <= limit {
		return s
	}
	s = s[:min(len(s), limit-len(ellipsis))]
	return strings.ToValidUTF8(s, "") + ellipsis
}

// Printable makes a text from outside fit for a page: as Clean does, and each control that the
// log's encoding would escape becomes a space.
func Printable(s string, limit int) string {
	cut := s[:min(len(s), 4*limit)] // the rest would not stay
	spaced := strings.Map(func(r rune) rune {
		if isC0(r) {
			return ' '
		}
		return r
	}, cut)
	return Clean(spaced, limit)
}

// isC0 reports whether r is one of the controls that the log's encodings escape.
func isC0(r rune) bool { return r < ' ' }

// AppendText adds a text from outside to a line's fields, cleaned. It adds nothing for an empty
// text.
func AppendText(attrs []slog.Attr, key, value string, limit int) []slog.Attr {
	if value == "" {
		return attrs
	}
	return append(attrs, slog.String(key, Clean(value, limit)))
}

// ErrorText returns the text of err, or nothing for nil.
func ErrorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
