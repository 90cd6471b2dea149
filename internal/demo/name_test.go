package demo

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestName_SpellingsOfOneEntryAreEqual(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		a, b string
		want bool
	}{
		"case":                         {"uid=alice,dc=org", "UID=ALICE,DC=Org", true},
		"case beyond ASCII":            {"cn=jürgen", "cn=JÜRGEN", true},
		"spaces around a separator":    {"uid=alice,dc=org", "uid = alice , dc = org", true},
		"several spaces in a value":    {"cn=Doe Jane", "cn=doe   jane", true},
		"other names of the type":      {"cn=a,dc=b", "commonName=a,domainComponent=b", true},
		"an escaped comma, two ways":   {`cn=Doe\, Jane`, `cn=Doe\2c Jane`, true},
		"a semicolon as the separator": {"cn=a;dc=b", "cn=a,dc=b", true},
		"an RDN of two, in any order":  {"cn=a+sn=b", "sn=b+cn=a", true},
		"compatibility forms":          {"uid=alice", "uid=ａlice", true},
		"a composed character":         {"cn=ü", "cn=u\u0308", true},
		"another value":                {"uid=alice", "uid=alicia", false},
		"another type":                 {"uid=alice", "cn=alice", false},
		"a type nobody knows":          {"nosuch=alice", "uid=alice", false},
		"one RDN more":                 {"uid=alice,dc=org", "uid=alice", false},
		"two RDNs and one of two":      {"cn=a,sn=b", "cn=a+sn=b", false},
		"an escaped separator is none": {`cn=a\,sn=b`, "cn=a,sn=b", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, err := parseName(tt.a)
			require.NoError(t, err)
			b, err := parseName(tt.b)
			require.NoError(t, err)
			assert.Equal(t, tt.want, a.equal(b))
			assert.Equal(t, tt.want, a.String() == b.String(), "entries are found by the string")
		})
	}
}

func TestName_IsWithinItselfAndItsAncestors(t *testing.T) {
	t.Parallel()
	parse := func(dn string) name {
		n, err := parseName(dn)
		require.NoError(t, err)
		return n
	}
	alice := parse("uid=alice," + PeopleDN)
	assert.True(t, alice.within(alice))
	assert.True(t, alice.within(parse(PeopleDN)))
	assert.True(t, alice.within(parse(BaseDN)))
	assert.True(t, alice.within(nil))
	assert.False(t, alice.within(parse(GroupsDN)))
	assert.False(t, parse(PeopleDN).within(alice))
	assert.Equal(t, parse(PeopleDN), alice.parent())
	assert.Empty(t, name(nil).parent())
}
