package auth_test

import (
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// TestGroups_ByAttributesOfTheEntry: the primary group of RFC 2307 names no members; the user's
// entry names the group.
func TestGroups_ByAttributesOfTheEntry(t *testing.T) {
	t.Parallel()
	account := func(uid, number string) string {
		return "dn: uid=" + uid + "," + ldaptest.PeopleDN + "\nobjectClass: inetOrgPerson\nobjectClass: posixAccount\ncn: x\nsn: x\nuid: " + uid +
			"\nuserPassword: secret\nuidNumber: 1\nhomeDirectory: /\ngidNumber: " + number + "\n\n"
	}
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		LDIF: account("primary", "100") + account("other", "101") +
			person("none", ldaptest.PeopleDN, "userPassword: secret", "departmentNumber: *", "ou: a", "ou: {dn}") +
			group("posixGroup", "users", "gidNumber: 100") + group("posixGroup", "guests", "gidNumber: 101", "memberUid: none") +
			group("posixGroup", "a", "gidNumber: 102") + group("posixGroup", "{dn}", "gidNumber: 103"),
	})
	p := newPool(t, s.URL())
	const filter = "(&(objectClass=posixGroup)(|(gidNumber={gidNumber})(memberUid={username})))"
	for name, c := range map[string]struct {
		filter, user string
		want         []string
	}{
		"a primary group":                {filter, "primary", []string{"users"}},
		"another's":                      {filter, "other", []string{"guests"}},
		"an entry without it":            {filter, "none", []string{"guests"}},
		"the attribute alone":            {"(gidNumber={gidNumber})", "primary", []string{"users"}},
		"none at all":                    {"(gidNumber={gidNumber})", "none", []string{}},
		"by its OID and in another case": {"(|(gidNumber={1.3.6.1.1.1.1.1})(gidNumber={GIDNUMBER}))", "primary", []string{"users"}},
		"a value that looks like a star": {"(cn={departmentNumber})", "none", []string{}},
		"several values":                 {"(cn={ou})", "none", []string{"a", "{dn}"}},
		"a negation without a value":     {"(&(objectClass=posixGroup)(!(gidNumber={gidNumber})))", "none", []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, cfg := range []auth.Config{inGroups(), byTemplate()} {
				cfg.Groups = inGroups().Groups
				cfg.Groups.Filter = c.filter
				r := authenticate(t, cfg, p, c.user, "secret")
				requireOutcome(t, auth.OK, r)
				require.Equal(t, c.want, r.User.Groups)
				cfg.Groups.Required = []string{"users"}
				want := auth.NotPermitted
				if len(c.want) > 0 && c.want[0] == "users" {
					want = auth.OK
				}
				requireOutcome(t, want, authenticate(t, cfg, p, c.user, "secret"))
			}
		})
	}
}
