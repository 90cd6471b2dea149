package ldapname

import (
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// maxBytes bounds a name that is read. Active Directory's longest have some 2,000 bytes; the pool
// refuses an entry with a longer name than this.
const maxBytes = 8 << 10

// maxHex bounds a value that stands in the name as the hexadecimal form of its BER encoding (RFC
// 4514 section 2.4), in bytes of the name. go-ldap decodes it element by element, without a bound
// of its own.
const maxHex = 256

var (
	errTooLong = fmt.Errorf("name of more than %d bytes", maxBytes)
	errHex     = fmt.Errorf("name with a value of more than %d hexadecimal digits", maxHex)
)

// ParseDN reads a name. It refuses what is too long, as a whole or in a value in hexadecimal.
func ParseDN(s string) (*ldap.DN, error) {
	if len(s) > maxBytes {
		return nil, errTooLong
	}
	if hasLongHex(s) {
		return nil, errHex
	}
	return ldap.ParseDN(s)
}

// hasLongHex reports whether a name has too long a value that begins with a number sign.
func hasLongHex(s string) bool {
	for {
		_, rest, found := strings.Cut(s, "=")
		if !found {
			return false
		}
		s = rest
		if hex, isHex := strings.CutPrefix(strings.TrimLeft(rest, " "), "#"); isHex {
			end := strings.IndexAny(hex, ",+;")
			if end > maxHex || end < 0 && len(hex) > maxHex {
				return true
			}
		}
	}
}
