package ldapname_test

import (
	"testing"

	"authsvc/internal/ldapname"

	"github.com/stretchr/testify/require"
)

func TestSameDescription_ComparesOptionsInAnyOrder(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"cn;lang-en", "CN;LANG-EN", "commonName;lang-en", "2.5.4.3;lang-en", "cn;lang-en;lang-en", "cn;lang-en;binary"},
		{"cn;lang-en;x-new", "commonname;X-new;lang-en"},
		{"userCertificate", "userCertificate;binary", "USERCERTIFICATE;Binary", "2.5.4.36;binary"},
		{"member", "member;range=0-1499", "Member;Range=1500-*", "2.5.4.31;range=0-*"},
	} {
		for _, a := range same {
			for _, b := range same {
				require.True(t, ldapname.SameDescription(a, b), "%s %s", a, b)
			}
			for _, b := range []string{"", "cn", "cn;lang-de", "cn;lang-en-us", "sn;lang-en", "cn;lang-en;x-other", "cACertificate;binary", "memberOf"} {
				require.False(t, ldapname.SameDescription(a, b), "%s %s", a, b)
				require.False(t, ldapname.SameDescription(b, a), "%s %s", a, b)
			}
		}
	}
}

func TestParseRange_ReadsWhatServersSend(t *testing.T) {
	t.Parallel()
	unreadable := ldapname.Range{First: -1}
	for description, want := range map[string]struct {
		whole  string
		parsed ldapname.Range
	}{
		"member;range=0-1499":         {"member", ldapname.Range{First: 0, Last: 1499}},
		"Member;Range=1500-*":         {"Member", ldapname.Range{First: 1500, Last: ldapname.ToLast}},
		"cn;lang-en;range=0-0":        {"cn;lang-en", ldapname.Range{}},
		"cn;range=7-9;lang-en":        {"cn;lang-en", ldapname.Range{First: 7, Last: 9}},
		"member;range=":               {"member", unreadable},
		"member;range=0":              {"member", unreadable},
		"member;range=0-":             {"member", unreadable},
		"member;range=-1-5":           {"member", unreadable},
		"member;range=5-4":            {"member", unreadable},
		"member;range=*-*":            {"member", unreadable},
		"member;range=0-1e3":          {"member", unreadable},
		"member;range=0-99999999999":  {"member", unreadable},
		"member;range=99999999999-*":  {"member", unreadable},
		"member;range=0-1499;range=1": {"member;range=1", ldapname.Range{First: 0, Last: 1499}},
	} {
		whole, parsed, ranged := ldapname.ParseRange(description)
		require.True(t, ranged, description)
		require.Equal(t, want.whole, whole, description)
		require.Equal(t, want.parsed, parsed, description)
	}
	for _, description := range []string{"", "member", "member;binary", "range=0-1", "member;x-range"} {
		whole, _, ranged := ldapname.ParseRange(description)
		require.False(t, ranged, description)
		require.Equal(t, description, whole)
	}
	require.Equal(t, "1500-*", ldapname.Range{First: 1500, Last: ldapname.ToLast}.String())
	require.Equal(t, "0-1499", ldapname.Range{Last: 1499}.String())
}
