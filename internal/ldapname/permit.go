package ldapname

import (
	"slices"
	"strings"
)

// PermitKey returns the same key for names that differ in the case of ASCII letters alone. A
// directory may take more names for one; it takes no two with one key for different names.
func PermitKey(name string) string {
	isUpper := func(c rune) bool { return c >= 'A' && c <= 'Z' }
	if !strings.ContainsFunc(name, isUpper) {
		return name
	}
	key := []byte(name) // bytes, since strings.ToLower would replace what is not UTF-8
	for i, c := range key {
		if isUpper(rune(c)) {
			key[i] = c + ('a' - 'A')
		}
	}
	return string(key)
}

// PermitDNKey returns the same key for spellings of one DN that RFC 4514 makes equal: escapes other
// than \20, spaces around separators, the order of the parts of a multi-valued RDN, and the case of
// ASCII letters. The key of a DN that cannot be parsed is the DN itself, byte for byte.
func PermitDNKey(dn string) string {
	if isPlainDN(dn) {
		return PermitKey(dn) // what parsing it comes to
	}
	rdns, ok := parseDN(dn)
	if !ok {
		return "unparsed:" + dn
	}
	return joinDN(rdns, permitPartKey)
}

func permitPartKey(a attributeValue) string {
	typ := PermitKey(a.typ)
	switch {
	case a.encoded:
		return typ + "=#" + PermitKey(a.value)
	case a.hexSpaces != "":
		return typ + "=" + EscapeValue(PermitKey(a.value)) + ";" + a.hexSpaces // no escaped value has a bare semicolon
	}
	return typ + "=" + EscapeValue(PermitKey(a.value))
}

// isPlainDN reports whether a DN is in ASCII, without escapes, optional spaces, encoded values and
// multi-valued RDNs.
func isPlainDN(dn string) bool {
	for len(dn) > 0 {
		rdn, rest, more := strings.Cut(dn, ",")
		typ, value, found := strings.Cut(rdn, "=")
		if !found || !IsAttributeType(typ) || !isPlainValue(value) || more && rest == "" {
			return false
		}
		dn = rest
	}
	return true
}

func isPlainValue(value string) bool {
	if value == "" || value[0] == ' ' || value[len(value)-1] == ' ' {
		return false
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' || c >= 0x7f || strings.IndexByte(`"#+;<=>\`, c) >= 0 {
			return false
		}
	}
	return true
}

// joinDN makes one key of the keys of a DN's parts. The parts of one RDN are a set (X.501).
func joinDN(rdns [][]attributeValue, key func(attributeValue) string) string {
	keys := make([]string, len(rdns))
	for i, rdn := range rdns {
		parts := make([]string, len(rdn))
		for j, a := range rdn {
			parts[j] = key(a)
		}
		slices.Sort(parts)
		keys[i] = strings.Join(parts, "+")
	}
	return strings.Join(keys, ",")
}
