package ldapname_test

import (
	"testing"

	"authsvc/internal/ldapname"

	"github.com/stretchr/testify/require"
)

func TestSameAttribute_KnowsCaseSynonymsAndOIDs(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"uid", "UID", "userId", "0.9.2342.19200300.100.1.1"}, {"cn", "commonName", "2.5.4.3"}, {"surname", "SN", "2.5.4.4"},
		{"mail", "rfc822Mailbox", "0.9.2342.19200300.100.1.3"}, {"sAMAccountName", "samaccountname"},
		{"givenName", "gn", "2.5.4.42"}, {"displayName", "2.16.840.1.113730.3.1.241"}, {"gidNumber", "1.3.6.1.1.1.1.1"}, {"emailAddress", "email",
			"1.2.840.113549.1.9.1"}, {"1.3.6.1.4", "1.3.6.1.4"},
	} {
		for _, a := range same {
			for _, b := range same {
				require.True(t, ldapname.SameAttribute(a, b), "%s %s", a, b)
			}
			for _, b := range []string{"", "cnx", "initials", "2.5.4", "2.5.4.33", "uid;lang-en", "sAMAccountType"} {
				require.False(t, ldapname.SameAttribute(a, b), "%s %s", a, b)
				require.False(t, ldapname.SameAttribute(b, a), "%s %s", a, b)
			}
		}
	}
}
