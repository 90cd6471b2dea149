package auth

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of credentials, in bytes.
const (
	MaxUsername = 256
	maxPassword = 1024
)

// Validate returns what is wrong with the credentials, before they are used. The error names the
// field and the rule, never a value.
//
// The rules reject input that directories may read differently: control characters that a DN parser
// skips, and white space that matching rules ignore. They also reject the empty password, which
// makes a bind anonymous and successful (RFC 4513 section 5.1.2).
func (c Credentials) Validate() error {
	switch {
	case len(c.Username) < 1 || len(c.Username) > MaxUsername:
		return fmt.Errorf("username: must be 1 to %d bytes", MaxUsername)
	case !utf8.ValidString(c.Username):
		return errors.New("username: must be valid UTF-8")
	case strings.ContainsFunc(c.Username, unicode.IsControl):
		return errors.New("username: must not contain a control character")
	case strings.TrimSpace(c.Username) != c.Username:
		return errors.New("username: must not begin or end with white space")
	case len(c.Password) < 1 || len(c.Password) > maxPassword:
		return fmt.Errorf("password: must be 1 to %d bytes", maxPassword)
	case !utf8.ValidString(c.Password):
		return errors.New("password: must be valid UTF-8")
	case strings.Contains(c.Password, "\x00"):
		return errors.New("password: must not contain NUL")
	}
	return nil
}
