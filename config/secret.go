package config

import (
	"fmt"
	"log/slog"
)

// redacted stands wherever a secret would.
const redacted = "[redacted]"

// Secret is a value that must not be seen. Whatever prints, logs or marshals it gets "[redacted]", or nothing where it is
// empty; Reveal alone gives the value.
type Secret struct {
	// Behind a pointer, so that not even what bypasses the methods shows it: fmt does for fields that are not exported,
	// and for verbs that do not fit.
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
