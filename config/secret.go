package config

import (
	"fmt"
	"log/slog"
	"strings"
	"unicode/utf8"
)

// redacted stands wherever a secret would.
const redacted = "[redacted]"

// Secret is a value that must not be seen. Whatever prints, logs or marshals it gets "[redacted]",
// or nothing where it is empty; Reveal alone gives the value.
type Secret struct {
	// Behind a pointer, so that not even what bypasses the methods shows it: fmt does for fields
	// that are not exported, and for verbs that do not fit.
	value *string
}

// NewSecret makes a Secret of value.
func NewSecret(value string) Secret { return Secret{&value} }

// Reveal gives the value, to whoever needs it to do its work.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// String is what may be seen.
func (s Secret) String() string {
	if s.Reveal() == "" {
		return ""
	}
	return redacted
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return fmt.Sprintf("config.Secret(%q)", s.String()) }

// Format is String for every verb: without it, %x or %d would reach the field.
func (s Secret) Format(f fmt.State, verb rune) {
	if verb == 'v' && f.Flag('#') {
		fmt.Fprint(f, s.GoString())
		return
	}
	fmt.Fprint(f, s.String())
}

// MarshalText is String, for JSON and its like.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue is String, for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// UnmarshalText takes the value.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}

// SuspiciousEnds says what a secret begins or ends with that an editor, a shell or a file may have
// added, or nothing. The secret is used as it is all the same. Nothing else of it is shown.
func (s Secret) SuspiciousEnds() string {
	value := s.Reveal()
	if value == "" {
		return ""
	}
	var found []string
	if strings.HasPrefix(value, "\xff\xfe") || strings.HasPrefix(value, "\xfe\xff") {
		found = append(found, "begins with a byte order mark (UTF-16)")
	} else if first, _ := utf8.DecodeRuneInString(value); strange(first) {
		found = append(found, "begins with "+characterName(first))
	}
	if last, _ := utf8.DecodeLastRuneInString(value); strange(last) {
		found = append(found, "ends with "+characterName(last))
	}
	return strings.Join(found, " and ")
}

// strange reports whether a character at the end of a secret is seldom a part of it.
func strange(r rune) bool {
	return invisible(r) || strings.ContainsRune("\"'`\u201c\u201d\u2018\u2019\u201e\u201a\u00ab\u00bb", r)
}

// warnOfSecrets notes secrets that may have more at their ends than was meant.
func (c *Config) warnOfSecrets(sources map[string]source) {
	for _, v := range variables() {
		s, set := sources[v.name]
		if ends := NewSecret(s.value).SuspiciousEnds(); v.secret && set && ends != "" {
			name := v.name
			if s.file != "" {
				name += fileSuffix
			}
			c.Warnings = append(c.Warnings, name+": the secret "+ends+", which is used as part of the secret; remove it if it does not belong there")
		}
	}
}
