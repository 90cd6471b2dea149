package demo

import (
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
)

func FuzzFilter_IsTheOppositeOfItsNegation(f *testing.F) {
	for _, filter := range comparedFilters() {
		f.Add(filter)
	}
	f.Add("(sn>=b)")
	f.Add("(ou:dn:2.4.6:=people)")
	sample := sampleTree(f)
	f.Fuzz(func(t *testing.T, filter string) {
		plain, err := ldap.CompileFilter(filter)
		if err != nil {
			return
		}
		negated, err := ldap.CompileFilter("(!" + filter + ")")
		if err != nil {
			t.Fatal(err)
		}
		known := checkFilter(plain) == nil
		if known != (checkFilter(negated) == nil) {
			t.Fatalf("%s and its negation are not of one kind", filter)
		}
		for _, e := range sample.entries {
			if known && e.matches(plain) == e.matches(negated) {
				t.Errorf("%s: %s and its negation are the same", e.dn, filter)
			}
		}
	})
}

func FuzzName_IgnoresCase(f *testing.F) {
	for _, e := range sampleTree(f).entries {
		f.Add(e.dn)
	}
	f.Add(`cn=a\2C\20b+sn=\#c,dc=x`)
	f.Add("cn=#04024869")
	f.Fuzz(func(t *testing.T, dn string) {
		n, err := parseName(dn)
		if err != nil {
			return
		}
		if len(n) > 0 && (!n.within(n.parent()) || n.parent().within(n)) {
			t.Errorf("%q is not below its parent", dn)
		}
		if strings.Contains(dn, "#") || strings.ContainsRune(dn, '\\') {
			return // an octet of a longer character may be escaped
		}
		upper, err := parseName(asciiUpper(dn))
		if err != nil || !upper.equal(n) {
			t.Errorf("%q: %q in capitals is %q (%v)", dn, n, upper, err)
		}
	})
}

// asciiUpper turns a to z into capitals and nothing else.
func asciiUpper(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, s)
}
