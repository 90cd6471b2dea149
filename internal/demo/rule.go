package demo

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// rule compares the values of an attribute type (RFC 4517 section 4.2). Each
// prepares both sides to a normal form (RFC 4518) and compares those.
type rule struct {
	// prepare returns the normal form, or false where the value does not have
	// the attribute's syntax: the filter item is Undefined then.
	prepare func(value string) (string, bool)
	// prepareSubstring does the same for a part of a value, keeping the spaces
	// at its ends; nil where the type has no substrings rule.
	prepareSubstring func(part string) (string, bool)
	// ordered permits ">=" and "<=" on the normal forms.
	ordered bool
}

// textRule is caseIgnoreMatch and its kin for Directory Strings, which are
// never empty (RFC 4517 section 3.3.6).
func textRule() *rule {
	return &rule{
		prepare: func(value string) (string, bool) {
			return foldText(value), value != ""
		},
		prepareSubstring: func(part string) (string, bool) { return foldSpaced(part), true },
		ordered:          true,
	}
}

// ia5Rule is caseIgnoreIA5Match: ASCII only.
func ia5Rule() *rule {
	return &rule{
		prepare:          func(value string) (string, bool) { return foldText(value), isASCII(value) },
		prepareSubstring: func(part string) (string, bool) { return foldSpaced(part), isASCII(part) },
		ordered:          true,
	}
}

// telephoneRule is telephoneNumberMatch: spaces and hyphens do not count.
func telephoneRule() *rule {
	dense := strings.NewReplacer(" ", "", "-", "")
	prepare := func(value string) (string, bool) {
		return dense.Replace(foldText(value)), value != ""
	}
	return &rule{prepare: prepare, prepareSubstring: prepare}
}

// dnRule is distinguishedNameMatch.
func dnRule(s schema) *rule {
	return &rule{prepare: func(value string) (string, bool) {
		n, err := s.parseName(value)
		return n.String(), err == nil
	}}
}

// objectClassRule is objectIdentifierMatch on object classes. A class that is
// not recognized makes the item Undefined (RFC 4517 section 4.2.26).
func objectClassRule() *rule {
	known := make(map[string]bool)
	for name := range strings.FieldsSeq(`top alias country locality organization
		organizationalunit person organizationalperson organizationalrole
		groupofnames groupofuniquenames device dcobject uidobject
		simplesecurityobject referral subentry account domain inetorgperson`) {
		known[name] = true
	}
	return &rule{prepare: func(value string) (string, bool) {
		class := foldText(value)
		return class, known[class]
	}}
}

// foldText is the normal form of a whole text value: compatibility forms, case
// and the number of spaces do not count, spaces at the ends neither.
func foldText(s string) string { return strings.Trim(foldSpaced(s), " ") }

// foldSpaced is foldText that keeps one space at an end that has any.
func foldSpaced(s string) string {
	if !isASCII(s) {
		s = norm.NFKC.String(s)
	}
	spaced := false
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			if spaced {
				return -1
			}
			spaced = true
			return ' '
		}
		spaced = false
		return foldRune(r)
	}, s)
}

// foldRune returns the lower case of r, the same for all runes that differ in
// case only.
func foldRune(r rune) rune { return unicode.ToLower(unicode.ToUpper(r)) }

// isASCII reports whether s has no byte above 0x7f.
func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
