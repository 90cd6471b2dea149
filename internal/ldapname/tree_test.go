package ldapname

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSameDN_IgnoresCaseAndSpacesAlone(t *testing.T) {
	t.Parallel()
	for _, same := range []string{"cn=service,dc=example,dc=org", "CN=Service, DC=example,dc=ORG", `cn=\73ervice,dc=example,dc=org`} {
		require.True(t, SameDN(same, "cn=service,dc=example,dc=org"), same)
	}
	for _, other := range []string{"cn=service,dc=example", "cn=other,dc=example,dc=org", "", "service"} {
		require.False(t, SameDN(other, "cn=service,dc=example,dc=org"), other)
	}
	require.True(t, SameDN("service@EXAMPLE.org", "Service@example.org"), "no DN, but the same text")
}

func TestIsBelow_IsTheEntryAndWhatIsBeneath(t *testing.T) {
	t.Parallel()
	require.True(t, IsBelow("uid=a,OU=People,dc=org", "ou=people, dc=org"))
	require.True(t, IsBelow("dc=org", "DC=org"))
	for _, other := range []string{"dc=org", "ou=peoples,dc=org", "xou=people,dc=org", "no DN", ""} {
		require.False(t, IsBelow(other, "ou=people,dc=org"), other)
	}
	require.False(t, IsBelow("dc=org", "no DN"))
}

func TestParent_IsTheDNAbove(t *testing.T) {
	t.Parallel()
	for dn, want := range map[string]string{"uid=a,ou=x,dc=org": "ou=x,dc=org", `cn=a\,b,dc=org`: "dc=org", "dc=org": "", "": "", "no DN": ""} {
		require.Equal(t, want, Parent(dn), dn)
	}
}

func TestDomainSuffix_IsTheDomainAtTheEnd(t *testing.T) {
	t.Parallel()
	for dn, want := range map[string]string{
		"cn=users,cn=accounts,DC=example , dc=org": "dc=example,dc=org", "dc=a,ou=b,dc=org": "dc=org", "o=example": "", "": "", "no DN": "",
		`ou=x,dc=a\,b`: `dc=a\,b`, "ou=x,dc=a+cn=b": "",
	} {
		require.Equal(t, want, DomainSuffix(dn), dn)
	}
}

func TestDNSName_JoinsTheDomainComponents(t *testing.T) {
	t.Parallel()
	for dn, want := range map[string]string{"CN=x,DC=ad,DC=example,DC=org": "ad.example.org", "o=example": "", "": ""} {
		parsed, err := ParseDN(dn)
		require.NoError(t, err)
		require.Equal(t, want, DNSName(parsed), dn)
	}
}

func TestIsDescription_IsANameOrAnOIDWithOptions(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"cn", "cn;lang-en", "2.5.4.3", "2.5.4.3;binary;x-1", "mS-DS-ConsistencyGuid", "x1-", "userCertificate;binary"} {
		require.True(t, IsDescription(good), good)
	}
	for _, bad := range []string{"", "1", "1.", ".1", "1..2", "-cn", "1cn", "cn;", ";binary", "cn;;x", "c n", "cn;ä", "ä", "cn:base64", "2.5a", "cn_1"} {
		require.False(t, IsDescription(bad), bad)
	}
}
