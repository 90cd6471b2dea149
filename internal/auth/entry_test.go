package auth_test

import (
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// TestOwnName_FallsBackToTheRDN: each is found by a mail address that says
// "root".
func TestOwnName_FallsBackToTheRDN(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ dn, attributes, want string }{
		"its DN's first attribute":          {"cn=Mallory", "cn: Mallory", "Mallory"},
		"escaped":                           {`cn=Mallory\, \+1`, "cn: Mallory, +1", "Mallory, +1"},
		"with umlauts":                      {"cn=Müller", "cn: Müller", "Müller"},
		"of two attributes":                 {"cn=Mallory+sn=x", "cn: Mallory", "Mallory"},
		"the name attribute where it is":    {"cn=Mallory", "cn: Mallory\nuid: mallory", "mallory"},
		"the name attribute, in its DN":     {"uid=mallory+cn=Mallory", "cn: Mallory\nuid: mallory", "mallory"},
		"spelt otherwise than it was typed": {"uid=ROOT", "cn: Mallory\nuid: ROOT", "ROOT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{LDIF: "dn: " + tc.dn + "," + ldaptest.PeopleDN +
				"\nobjectClass: inetOrgPerson\nsn: x\nmail: root\nuserPassword: secret\n" + tc.attributes + "\n\n"})
			cfg := byFilter()
			cfg.Filter = "(mail={username})"
			r := authenticate(t, cfg, newPool(t, s.URL()), "root", "secret")
			requireOutcome(t, auth.OK, r)
			require.Equal(t, tc.want, r.User.Username)
		})
	}
}

// TestOwnName_HiddenOneIsTakenFromTheRDN: an access rule hides uid, and the RDN has it.
func TestOwnName_HiddenOneIsTakenFromTheRDN(t *testing.T) {
	t.Parallel()
	for dn, want := range map[string]struct {
		name    string
		unnamed bool
	}{
		"uid=mallory,ou=people": {"mallory", false},
		"UID=mallory,ou=people": {"mallory", false},
		"cn=M+uid=mallory":      {"mallory", false},
		"cn=M,uid=mallory":      {"M", true},
		`cn=\ff\fe,ou=people`:   {"//4=", true},
		"no DN":                 {"no DN", true},
		"no DN\xff":             {"bm8gRE7/", true},
	} {
		name, nameless := auth.NameInDN(dn, "uid")
		require.Equal(t, want.name, name, dn)
		require.Equal(t, want.unnamed, nameless, dn)
	}
}
