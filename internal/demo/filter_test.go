package demo

import (
	"authsvc/internal/ldapserver"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
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
	n, err := parseName(dn)
	require.NoError(t, err)
	e := sample.find(n)
	require.NotNil(t, e)
	return e
}

// searchFor is a search request for what a filter matches.
func searchFor(t testing.TB, filter string) ldapserver.Request {
	t.Helper()
	packet, err := ldap.CompileFilter(filter)
	require.NoError(t, err)
	return ldapserver.Request{Op: ldapserver.OpSearch, DN: BaseDN, Scope: ldap.ScopeWholeSubtree, FilterPacket: packet}
}

// TestFilter_MatchesWhatTheEntryHas covers what the comparison with slapd cannot, or where the demo
// differs from it.
func TestFilter_MatchesWhatTheEntryHas(t *testing.T) {
	t.Parallel()
	alice := sampleEntry(t, sampleTree(t), "uid=alice,"+PeopleDN)
	for filter, want := range map[string]bool{
		"(uid=alice)": true, "(uid=bob)": false, "(manager=*)": false,
		"(!(nosuch=x))": true, "(!(userPassword=*))": true, // slapd: Undefined
		"(userPassword=alice-password)": false, "(userPassword=*)": false, "(userPassword=a*)": false,
		"(sn=arch*cher)": false, "(cn=a*ce*ar*er)": true, "(cn=*ar*ce*)": false, "(objectClass=*person*)": true,
	} {
		assert.Equal(t, want, alice.matches(searchFor(t, filter).FilterPacket), filter)
	}
}

func TestFilter_RejectsUnsupportedKinds(t *testing.T) {
	t.Parallel()
	conn := connectAsService(t, start(t, Config{}).URL())
	for _, filter := range []string{
		"(sn>=b)", "(sn<=b)", "(sn~=archer)", "(sn:=archer)", "(sn:caseExactMatch:=Archer)", "(ou:dn:=people)",
		"(!(sn>=b))", "(&(uid=alice)(sn>=b))", "(|(uid=alice)(sn>=b))",
	} {
		found, err := conn.Search(below(BaseDN, filter))
		require.Equal(t, 53, codeOf(err), filter)
		require.Empty(t, found.Entries, filter)
	}
}

func TestFilter_RejectsMalformedOnes(t *testing.T) {
	t.Parallel()
	sample := sampleTree(t)
	for tag := range ber.Tag(12) {
		if tag == ldap.FilterAnd || tag == ldap.FilterOr || tag == ldap.FilterPresent { // complete without a part
			continue
		}
		req := searchFor(t, "(uid=*)")
		req.FilterPacket = ber.Encode(ber.ClassContext, ber.TypeConstructed, tag, nil, "")
		found, r := sample.search(req, false)
		assert.NotZero(t, r.Code, tag)
		assert.Empty(t, found)
	}
}
