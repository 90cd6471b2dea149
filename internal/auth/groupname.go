package auth

import (
	"encoding/hex"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// requiredGroup is one that lets a user in: a DN, or the value of the groups' name attribute. One of the two is set, in the
// form in which it is compared.
type requiredGroup struct{ dn, name string }

// parseRequired reads one item of LDAP_REQUIRED_GROUPS. What is a DN (RFC 4514) is meant as one. In a name, a semicolon, which
// ends an item, and a backslash before one are escaped by a backslash; any other stands for itself.
func parseRequired(item string) requiredGroup {
	if dn, err := ldap.ParseDN(item); err == nil && len(dn.RDNs) > 0 {
		return requiredGroup{dn: dnKey(item)}
	}
	return requiredGroup{name: foldValue(strings.NewReplacer(`\;`, `;`, `\\`, `\`).Replace(item))}
}

// foldValue prepares a string for comparison as a directory does that ignores case (RFC 4518 section 2): compatibility forms,
// case, and spaces at its ends or beside others are no difference.
func foldValue(s string) string {
	if !utf8.ValidString(s) {
		return s
	}
	folded := norm.NFKC.String(cases.Fold().String(norm.NFKC.String(s)))
	return strings.Join(strings.FieldsFunc(folded, func(r rune) bool { return r == ' ' }), " ")
}

// dnKey is the same for spellings of the same DN and differs for others: escapes, spaces about separators, case, and the order of
// an RDN's attributes do not count (RFC 4514; RFC 4518 for the values, as if all were compared without case). An attribute's
// type under another of its names is another one. What is no DN is only like itself.
func dnKey(s string) string {
	dn, err := ldap.ParseDN(s)
	if err != nil || !utf8.ValidString(s) {
		return "no DN: " + s
	}
	rdns := make([]string, len(dn.RDNs))
	for i, rdn := range dn.RDNs {
		attributes := make([]string, len(rdn.Attributes))
		for j, a := range rdn.Attributes {
			// In hexadecimal, so that no value can hold a separator.
			attributes[j] = strings.ToLower(a.Type) + "=" + hex.EncodeToString([]byte(foldValue(a.Value)))
		}
		slices.Sort(attributes)
		rdns[i] = strings.Join(attributes, "+")
	}
	return strings.Join(rdns, ",")
}
