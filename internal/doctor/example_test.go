package doctor

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// TestExample_IsTheSameUserInAnyOrderOfAnswers prefers what a reader recognizes as a
// user.
func TestExample_IsTheSameUserInAnyOrderOfAnswers(t *testing.T) {
	t.Parallel()
	entry := func(name string, attributes map[string][]string) *ldap.Entry {
		return ldap.NewEntry("CN="+name+",DC=example,DC=org", attributes)
	}
	// From best to worst; of two alike the name that sorts first is better.
	ordered := []*ldap.Entry{
		entry("zoe", map[string][]string{"objectClass": {"top", "person"}, "mail": {"zoe@example.org"}}),
		entry("Adam", map[string][]string{"objectclass": {"inetOrgPerson"}}),
		entry("bea", map[string][]string{"objectClass": {"posixAccount"}}),
		entry("a thing", map[string][]string{"objectClass": {"device"}}),
		entry("Administrator", map[string][]string{"objectClass": {"person"}, "isCriticalSystemObject": {"TRUE"}, "mail": {"a@example.org"}}),
		entry("disabled", map[string][]string{"objectClass": {"person"}, "userAccountControl": {"514"}, "mail": {"d@example.org"}}),
		entry("dns-dc", map[string][]string{"objectClass": {"person"}, "servicePrincipalName": {"DNS/ad.example.org"}}),
		entry("AAA", map[string][]string{"objectClass": {"person", "computer"}, "sAMAccountName": {"AAA$"}}),
	}
	for best := range ordered {
		entries := slices.Clone(ordered[best:])
		for range 20 {
			rand.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] }) //nolint:gosec // an order is no secret
			require.Equal(t, ordered[best].DN, chooseExample(entries))
		}
	}
}
