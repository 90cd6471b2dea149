package demo

import (
	"slices"
	"strings"

	"authsvc/internal/ldapname"
)

// name is a distinguished name in normal form, one string for each RDN, the entry's own first. Two
// spellings of one name are equal: attribute types by any of their names, values without regard to
// case and spacing, a multi-valued RDN in any order.
type name []string

// parseName reads the string form of RFC 4514. The error is of its syntax.
func parseName(dn string) (name, error) {
	parsed, err := ldapname.ParseDN(dn)
	if err != nil {
		return nil, err
	}
	n := make(name, 0, len(parsed.RDNs))
	for _, rdn := range parsed.RDNs {
		for _, ava := range rdn.Attributes {
			ava.Type = ldapname.AttributeKey(ava.Type)
			ava.Value = fold(ava.Value)
		}
		n = append(n, rdn.String())
	}
	return n, nil
}

// String returns a DN in normal form.
func (n name) String() string { return strings.Join(n, ",") }

// equal reports whether both name the same entry.
func (n name) equal(other name) bool { return slices.Equal(n, other) }

// parent returns the name without its first RDN, the empty name for an empty one.
func (n name) parent() name {
	if len(n) == 0 {
		return n
	}
	return n[1:]
}

// within reports whether n is base or below it.
func (n name) within(base name) bool {
	return len(n) >= len(base) && n[len(n)-len(base):].equal(base)
}
