package demo

import (
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// pattern is a substrings assertion: a value that starts with initial, ends with
// final, and has each of any between them, in order and without overlap
// (RFC 4511 section 4.5.1.7.2).
type pattern struct {
	initial, final string
	any            []string
}

// substrings judges whether any of the values fits the parts of a substrings
// filter.
func (r *rule) substrings(values []string, parts []*ber.Packet) truth {
	if r.prepareSubstring == nil {
		return undefined
	}
	p, ok := r.compilePattern(parts)
	if !ok {
		return undefined
	}
	for _, value := range values {
		if have, ok := r.prepare(value); ok && p.fits(have) {
			return yes
		}
	}
	return no
}

// compilePattern prepares the parts; false where one lacks the syntax.
func (r *rule) compilePattern(parts []*ber.Packet) (p pattern, ok bool) {
	for _, part := range parts {
		prepared, ok := r.prepareSubstring(text(part))
		if !ok {
			return pattern{}, false
		}
		switch part.Tag {
		case ldap.FilterSubstringsInitial:
			p.initial = strings.TrimLeft(prepared, " ")
		case ldap.FilterSubstringsAny:
			p.any = append(p.any, prepared)
		case ldap.FilterSubstringsFinal:
			p.final = strings.TrimRight(prepared, " ")
		}
	}
	return p, true
}

// fits reports whether a prepared value has the pattern.
func (p pattern) fits(value string) bool {
	rest, ok := strings.CutPrefix(value, p.initial)
	if !ok {
		return false
	}
	rest, ok = strings.CutSuffix(rest, p.final)
	if !ok {
		return false
	}
	for _, part := range p.any {
		_, rest, ok = strings.Cut(rest, part)
		if !ok {
			return false
		}
	}
	return true
}
