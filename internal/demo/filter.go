package demo

import (
	"errors"
	"slices"
	"strings"

	"authsvc/internal/ldapname"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

var (
	errFilterKind = errors.New("filter not supported: the demo directory supports only and, or, not, equality, presence and substrings")
	errFilter     = errors.New("the filter cannot be decoded")
)

// checkFilter returns an error unless matches can evaluate the filter.
func checkFilter(f *ber.Packet) error {
	parts := len(f.Children)
	switch f.Tag {
	case ldap.FilterPresent:
		return nil
	case ldap.FilterEqualityMatch, ldap.FilterSubstrings:
		if parts != 2 {
			return errFilter
		}
		return nil
	case ldap.FilterAnd, ldap.FilterOr:
	case ldap.FilterNot:
		if parts != 1 {
			return errFilter
		}
	default:
		return errFilterKind
	}
	for _, part := range f.Children {
		if err := checkFilter(part); err != nil {
			return err
		}
	}
	return nil
}

// matches evaluates a filter that checkFilter has accepted (RFC 4511 section 4.5.1.7).
func (e *entry) matches(f *ber.Packet) bool {
	switch f.Tag {
	case ldap.FilterAnd: // RFC 4526: "(&)" is true
		return !slices.ContainsFunc(f.Children, func(part *ber.Packet) bool { return !e.matches(part) })
	case ldap.FilterOr: // and "(|)" is false
		return slices.ContainsFunc(f.Children, e.matches)
	case ldap.FilterNot:
		return !e.matches(f.Children[0])
	case ldap.FilterPresent:
		return len(e.visible(text(f))) > 0
	case ldap.FilterEqualityMatch:
		attribute, want := text(f.Children[0]), text(f.Children[1])
		same := func(value string) bool { return sameValue(attribute, value, want) }
		return slices.ContainsFunc(e.visible(attribute), same)
	default: // substrings
		fits := func(value string) bool { return fitsParts(fold(value), f.Children[1].Children) }
		return slices.ContainsFunc(e.visible(text(f.Children[0])), fits)
	}
}

// visible returns the values of an attribute that a filter may see.
func (e *entry) visible(attribute string) []string {
	if isPassword(attribute) {
		return nil
	}
	return e.values(attribute)
}

// sameValue reports whether two values of an attribute are equal.
func sameValue(attribute, a, b string) bool {
	if !ldapname.SameAttribute(attribute, "member") && !ldapname.SameAttribute(attribute, "manager") {
		return fold(a) == fold(b)
	}
	nameA, errA := parseName(a)
	nameB, errB := parseName(b)
	return errA == nil && errB == nil && nameA.equal(nameB)
}

// fitsParts reports whether a folded value begins with the initial part, ends with the final one,
// and has the others between them, in order and without overlap (RFC 4511 section 4.5.1.7.2).
// Nothing fits no parts.
func fitsParts(value string, parts []*ber.Packet) bool {
	for i, p := range parts {
		part, ok := foldPart(text(p)), false
		switch p.Tag {
		case ldap.FilterSubstringsInitial:
			value, ok = strings.CutPrefix(value, strings.TrimLeft(part, " "))
		case ldap.FilterSubstringsFinal:
			value, ok = strings.CutSuffix(value, strings.TrimRight(part, " "))
			ok = ok && i == len(parts)-1
		default:
			_, value, ok = strings.Cut(value, part)
		}
		if !ok {
			return false
		}
	}
	return len(parts) > 0
}

// fold returns the form in which values are compared: case and white space do not count.
func fold(value string) string { return ldapname.CountKey(value) }

// foldPart is fold for a part of a value. It keeps one space at an end that has any.
func foldPart(part string) string {
	const end = "." // so that fold does not trim
	return strings.TrimSuffix(strings.TrimPrefix(fold(end+part+end), end), end)
}

// text returns the octets of a primitive element.
func text(p *ber.Packet) string {
	if p.Data == nil {
		return ""
	}
	return p.Data.String()
}
