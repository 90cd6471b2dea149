package ldapname

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// attributeValue is one part of an RDN.
type attributeValue struct {
	typ     string
	value   string // unescaped, or the digits behind the # of an encoded value
	encoded bool   // the value is written as "#" and the hexadecimal digits of its BER encoding
	// hexSpaces lists the places of spaces that are written as \20. To 389 DS, cn=a\20b is another
	// entry than cn=a b.
	hexSpaces string
}

// specials are the characters that a backslash escapes (RFC 4514 section 3), and the space.
const specials = ` "#+,;<=>\`

// parseDN parses the string form of a DN (RFC 4514 section 3), with optional spaces around
// separators (RFC 2253 section 4). It takes time and memory in proportion to the length of dn: it
// does not decode the BER of an encoded value. It rejects what only RFC 1779 permits, quoted values
// and semicolons as separators. The empty DN has no RDNs.
func parseDN(dn string) (rdns [][]attributeValue, ok bool) {
	if dn == "" {
		return nil, true
	}
	rdns = [][]attributeValue{nil}
	for {
		typ, rest, found := strings.Cut(dn, "=")
		if typ = strings.Trim(typ, " "); !found || !IsAttributeType(typ) {
			return nil, false
		}
		a, rest, ok := parseValue(strings.TrimLeft(rest, " "))
		if !ok {
			return nil, false
		}
		a.typ = typ
		last := len(rdns) - 1
		rdns[last] = append(rdns[last], a)
		switch {
		case rest == "":
			return rdns, true
		case rest[0] == ',':
			rdns = append(rdns, nil)
		}
		dn = rest[1:]
	}
}

// IsAttributeType reports whether s is made as an attribute type or an OID is (RFC 4512 section
// 1.4).
func IsAttributeType(s string) bool {
	other := func(r rune) bool {
		return r != '-' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}
	return s != "" && !strings.ContainsFunc(s, other)
}

// parseValue parses the value at the start of s. The rest begins with the separator after it.
func parseValue(s string) (a attributeValue, rest string, ok bool) {
	if strings.HasPrefix(s, "#") {
		end := len(s)
		if i := strings.IndexAny(s, ",+"); i >= 0 {
			end = i
		}
		digits := strings.TrimRight(s[1:end], " ")
		ok = digits != "" && len(digits)%2 == 0 && strings.Trim(digits, "0123456789abcdefABCDEF") == ""
		return attributeValue{value: digits, encoded: true}, s[end:], ok
	}
	var hexSpaces []byte
	value := make([]byte, 0, len(s))
	kept := 0 // length of value up to the last byte that is no unescaped space
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case ',', '+':
			return attributeValue{value: string(value[:kept]), hexSpaces: string(hexSpaces)}, s[i:], true
		case '"', ';', '<', '>', 0:
			return attributeValue{}, "", false
		case '\\':
			escaped, length := unescape(s[i+1:])
			if length == 0 {
				return attributeValue{}, "", false
			}
			if escaped == ' ' && length == 2 {
				hexSpaces = append(strconv.AppendInt(hexSpaces, int64(len(value)), 10), '.')
			}
			value = append(value, escaped)
			kept = len(value)
			i += length
		default:
			value = append(value, c)
			if c != ' ' {
				kept = len(value)
			}
		}
	}
	return attributeValue{value: string(value[:kept]), hexSpaces: string(hexSpaces)}, "", true
}

// unescape returns the byte that is escaped at the start of s, behind the backslash, and the length
// of its escape: 0 if s begins with none.
func unescape(s string) (c byte, length int) {
	if s != "" && strings.IndexByte(specials, s[0]) >= 0 {
		return s[0], 1
	}
	if len(s) < 2 {
		return 0, 0
	}
	b, err := hex.DecodeString(s[:2])
	if err != nil {
		return 0, 0
	}
	return b[0], 2
}

// CanonicalDN spells a DN without optional spaces and with no more escapes than it needs, for a
// directory that rejects it as it is: Samba rejects some of what RFC 2253 permits. What cannot be
// parsed is returned as it is.
func CanonicalDN(dn string) string {
	rdns, ok := parseDN(dn)
	if !ok {
		return dn
	}
	var b strings.Builder
	for i, rdn := range rdns {
		if i > 0 {
			b.WriteByte(',')
		}
		for j, a := range rdn {
			if j > 0 {
				b.WriteByte('+')
			}
			b.WriteString(a.typ)
			b.WriteByte('=')
			if a.encoded {
				b.WriteByte('#')
				b.WriteString(a.value)
			} else {
				writeEscaped(&b, a.value)
			}
		}
	}
	return b.String()
}

// EscapeValue escapes an attribute value for a DN (RFC 4514 section 2.4).
func EscapeValue(value string) string {
	var b strings.Builder
	writeEscaped(&b, value)
	return b.String()
}

// writeEscaped also escapes control characters, which the RFC does not and OpenLDAP's parser skips,
// and bytes that are not UTF-8.
func writeEscaped(b *strings.Builder, value string) {
	valid := utf8.ValidString(value)
	for i := range len(value) {
		switch c := value[i]; {
		case c < ' ', c == 0x7f, c > 0x7f && !valid:
			fmt.Fprintf(b, `\%02x`, c)
		case strings.IndexByte(`"+,;<>\=`, c) >= 0,
			c == '#' && i == 0,
			c == ' ' && (i == 0 || i == len(value)-1):
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
}
