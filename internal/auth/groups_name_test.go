package auth_test

import (
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// TestGroups_UseTheEntrysNameInsteadOfTheTypedOne: mallory's entry, which has no uid, is found by a
// mail address that was set to another's name, of whom a group has the memberUid.
func TestGroups_UseTheEntrysNameInsteadOfTheTypedOne(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1, LDIF: "dn: cn=mallory," + ldaptest.PeopleDN +
		"\nobjectClass: inetOrgPerson\ncn: mallory\nsn: x\nmail: root\nuserPassword: secret\n\n" +
		group("posixGroup", "admins", "gidNumber: 1", "memberUid: root") + members("staff", "cn=mallory,"+ldaptest.PeopleDN)})
	p := newPool(t, s.URL())
	cfg := inGroups("admins")
	cfg.Filter = "(|(uid={username})(mail={username}))"
	r := authenticate(t, cfg, p, "root", "secret")
	requireOutcome(t, auth.DirectoryUnavailable, r)
	require.ErrorContains(t, r.Cause, "shows no uid")
	requireOutcome(t, auth.NotPermitted, authenticate(t, cfg, p, "user0", "password0"))
	cfg = inGroups("staff")
	cfg.Filter, cfg.Groups.Filter = "(mail={username})", "(member={dn})"
	requireOutcome(t, auth.OK, authenticate(t, cfg, p, "root", "secret"))
}

// TestGroups_NameInADNOfAFilterIsOneValue: mallory chose a name that is read as bob's, or as a
// user's elsewhere, where the filter has it as a part of a DN.
func TestGroups_NameInADNOfAFilterIsOneValue(t *testing.T) {
	t.Parallel()
	odd := []string{`b\6fb`, `bob,ou=people,dc=example,dc=org`, `bob+cn=x`, `#0403626f62`, `b\ob`}
	ldif := person("bob", ldaptest.PeopleDN, "userPassword: secret") +
		members("admins", "uid=bob,"+ldaptest.PeopleDN, "uid=bob,ou=people,dc=example,dc=org,"+ldaptest.PeopleDN, "uid=bob+cn=x,"+ldaptest.PeopleDN)
	for i, name := range odd {
		ldif += "dn: cn=" + string(rune('a'+i)) + "," + ldaptest.PeopleDN + "\nobjectClass: inetOrgPerson\nsn: x\n" + attribute("uid", name) +
			"mail: mallory" + string(rune('a'+i)) + "\nuserPassword: secret\n\n"
	}
	p := newPool(t, ldaptest.StartSlapd(t, ldaptest.SlapdConfig{LDIF: ldif}).URL())
	cfg := inGroups("admins")
	cfg.Filter, cfg.Groups.Filter = "(|(uid={username})(mail={username}))", "(member=uid={username},"+ldaptest.PeopleDN+")"
	for i := range odd {
		requireOutcome(t, auth.NotPermitted, authenticate(t, cfg, p, "mallory"+string(rune('a'+i)), "secret"))
	}
	requireOutcome(t, auth.OK, authenticate(t, cfg, p, "bob", "secret"))
	// Of the user, not of a group.
	cfg = byFilter()
	cfg.Filter = "(entryDN=uid={username}," + ldaptest.PeopleDN + ")"
	for _, name := range odd {
		requireOutcome(t, auth.InvalidUser, authenticate(t, cfg, p, name, "secret"))
	}
	requireOutcome(t, auth.OK, authenticate(t, cfg, p, "bob", "secret"))
}
