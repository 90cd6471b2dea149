package demo

import (
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
)

func FuzzAFilterNegatedTwiceIsItself(f *testing.F) {
	for _, filter := range comparedFilters() {
		f.Add(filter)
	}
	f.Add("(sn>=b)")
	f.Add("(ou:dn:2.4.6:=people)")
	sample := sampleTree(f)
	f.Fuzz(func(t *testing.T, filter string) {
		once, err := ldap.CompileFilter(filter)
		if err != nil {
			return
		}
		not, err := ldap.CompileFilter("(!" + filter + ")")
		if err != nil {
			t.Fatal(err)
		}
		twice, err := ldap.CompileFilter("(!(!" + filter + "))")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range sample.entries {
			got := sample.schema.evaluate(once, e)
			if negated := sample.schema.evaluate(not, e); negated != -got {
				t.Errorf("%s: %s is %d, its negation %d", e.dn, filter, got, negated)
			}
			if back := sample.schema.evaluate(twice, e); back != got {
				t.Errorf("%s: %s is %d, negated twice %d", e.dn, filter, got, back)
			}
		}
	})
}

func FuzzANameEqualsItselfInAnotherCase(f *testing.F) {
	for _, e := range sampleTree(f).entries {
		f.Add(e.dn)
	}
	f.Add(`cn=a\2C\20b+sn=\#c,dc=x`)
	f.Add("cn=#04024869")
	s := newSchema()
	f.Fuzz(func(t *testing.T, dn string) {
		n, err := s.parseName(dn)
		if err != nil {
			return
		}
		if len(n) > 0 && (!n.within(n.parent()) || n.parent().within(n)) {
			t.Errorf("%q is not below its parent", dn)
		}
		if strings.Contains(dn, "#") || strings.ContainsRune(dn, '\\') {
			return // an octet of a longer character may be escaped
		}
		upper, err := s.parseName(asciiUpper(dn))
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
