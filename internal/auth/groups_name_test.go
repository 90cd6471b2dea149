package auth_test

import (
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// TestWhatWasTypedIsNobodysNameInAGroup: mallory's entry, which has no uid, is found by a mail address that was set to another's
// name, of whom a group has the memberUid.
func TestWhatWasTypedIsNobodysNameInAGroup(t *testing.T) {
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
