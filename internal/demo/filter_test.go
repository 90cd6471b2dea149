package demo

import (
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/jimlambrt/gldap"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sampleTree is the embedded directory without a server.
func sampleTree(t testing.TB) *tree {
	t.Helper()
	sample, err := parseLDIF(directoryLDIF)
	require.NoError(t, err)
	return sample
}

// sampleEntry is the entry of a DN that is there.
func sampleEntry(t testing.TB, sample *tree, dn string) *entry {
	t.Helper()
	n, err := sample.schema.parseName(dn)
	require.NoError(t, err)
	e := sample.find(n)
	require.NotNil(t, e)
	return e
}

func TestAFilterIsTrueFalseOrUndefined(t *testing.T) {
	t.Parallel()
	sample := sampleTree(t)
	alice := sampleEntry(t, sample, "uid=alice,"+PeopleDN)
	tests := map[string]struct {
		filter string
		want   truth
	}{
		"what the entry has":                            {"(uid=alice)", yes},
		"what it has not":                               {"(uid=bob)", no},
		"an attribute it lacks":                         {"(manager=uid=bob,ou=people,dc=example,dc=org)", no},
		"an attribute nobody knows":                     {"(nosuch=x)", undefined},
		"its negation":                                  {"(!(nosuch=x))", undefined},
		"and: undefined with true is undefined":         {"(&(uid=alice)(nosuch=x))", undefined},
		"and: undefined with false is false":            {"(&(uid=bob)(nosuch=x))", no},
		"or: undefined with true is true":               {"(|(uid=alice)(nosuch=x))", yes},
		"or: undefined with false is undefined":         {"(|(uid=bob)(nosuch=x))", undefined},
		"an empty and (RFC 4526)":                       {"(&)", yes},
		"an empty or (RFC 4526)":                        {"(|)", no},
		"text is ordered, unlike in slapd: greater":     {"(sn>=ARCH)", yes},
		"text is ordered, unlike in slapd: equal":       {"(sn>=archer)", yes},
		"text is ordered, unlike in slapd: not greater": {"(sn>=b)", no},
		"text is ordered, unlike in slapd: less":        {"(sn<=b)", yes},
		"text is ordered, unlike in slapd: not less":    {"(sn<=arch)", no},
		"any of several values will do":                 {"(mail<=alice.b)", yes},
		"a DN has no order":                             {"(manager>=a)", undefined},
		"about the same is the same":                    {"(sn~=ARCHER)", yes},
		"a matching rule of its own is not supported":   {"(sn:caseExactMatch:=Archer)", undefined},
		"nor are the attributes of the DN":              {"(ou:dn:=people)", undefined},
		"nor a matching rule without an attribute":      {"(:caseExactMatch:=Archer)", undefined},
		"extensible without a rule is equality":         {"(sn:=archer)", yes},
		"extensible on what nobody knows":               {"(nosuch:=archer)", undefined},
		"a password cannot be probed":                   {"(userPassword=alice-password)", undefined},
		"nor by its presence":                           {"(userPassword=*)", undefined},
		"nor by its parts":                              {"(userPassword=a*)", undefined},
		"parts do not overlap":                          {"(sn=arch*cher)", no},
		"parts in order":                                {"(cn=a*ce*ar*er)", yes},
		"parts out of order":                            {"(cn=*ar*ce*)", no},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			filter, err := ldap.CompileFilter(tt.filter)
			require.NoError(t, err)
			assert.Equal(t, tt.want, sample.schema.evaluate(filter, alice))
		})
	}
}

func TestAMalformedFilterPacketIsUndefined(t *testing.T) {
	t.Parallel()
	sample := sampleTree(t)
	for tag := range ber.Tag(12) {
		if tag == ldap.FilterAnd || tag == ldap.FilterOr { // complete without a part
			continue
		}
		empty := ber.Encode(ber.ClassContext, ber.TypeConstructed, tag, nil, "")
		assert.Equal(t, undefined, sample.schema.evaluate(empty, sample.entries[0]), tag)
	}
}

func TestAFilterThatDoesNotCompileIsAProtocolError(t *testing.T) {
	t.Parallel()
	got := sampleTree(t).search(&gldap.SearchMessage{BaseDN: BaseDN, Filter: "(uid=alice"}, false)
	assert.Equal(t, 2, got.code)
}
