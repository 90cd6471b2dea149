package auth_test

import (
	"context"
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// TestOwnName_IsTheOneInTheRDN: mallory has added another's name to the values of uid, before her
// own and behind it.
func TestOwnName_IsTheOneInTheRDN(t *testing.T) {
	t.Parallel()
	user := func(rdn, password string, uids ...string) string {
		ldif := "dn: " + rdn + "," + ldaptest.PeopleDN + "\nobjectClass: inetOrgPerson\ncn: x\nsn: x\nuserPassword: " + password + "\n"
		for _, uid := range uids {
			ldif += "uid: " + uid + "\n"
		}
		return ldif + "\n"
	}
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{LDIF: user("uid=mallory", "secret", "root", "mallory") +
		user("uid=Mallory2", "secret", "mallory2", "root2") + user("userid=mallory3", "secret", "root3", "mallory3") +
		user("cn=x+0.9.2342.19200300.100.1.1=mallory4", "secret", "root4", "mallory4") + // the directory writes it in its own way
		user("uid=𝐔ser5", "secret", "user5", "𝐔ser5") + // a look-alike, and another value to slapd
		group("posixGroup", "admins", "gidNumber: 1", "memberUid: root", "memberUid: root2", "memberUid: root3", "memberUid: root4", "memberUid: user5") +
		group("posixGroup", "staff", "gidNumber: 2", "memberUid: mallory")})
	p := newPool(t, s.URL())
	for typed, want := range map[string]string{
		"mallory": "mallory", "root": "mallory", "mallory2": "mallory2", "root2": "mallory2", "mallory3": "mallory3",
		"mallory4": "mallory4", "𝐔ser5": "𝐔ser5", "user5": "𝐔ser5",
	} {
		for _, attribute := range []string{"uid", "userid", "0.9.2342.19200300.100.1.1"} {
			cfg := inGroups()
			cfg.NameAttribute = attribute
			r := authenticate(t, cfg, p, typed, "secret")
			requireOutcome(t, auth.OK, r)
			require.Equal(t, want, r.User.Username, "%s, %s", typed, attribute)
			require.NotContains(t, r.User.Groups, "admins", typed)
		}
		requireOutcome(t, auth.NotPermitted, authenticate(t, inGroups("admins"), p, typed, "secret"))
	}
	requireOutcome(t, auth.OK, authenticate(t, inGroups("staff"), p, "root", "secret"))
}

// TestOwnName_OfAGroupIsTheOneInTheRDN: the owner of a group has added another group's name to it.
func TestOwnName_OfAGroupIsTheOneInTheRDN(t *testing.T) {
	t.Parallel()
	fake := func(cn, number string) string {
		return "dn: cn=" + cn + "," + ldaptest.GroupsDN + "\nobjectClass: posixGroup\ncn: admins\ncn: " + cn + "\ngidNumber: " + number + "\nmemberUid: user0\n\n"
	}
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1, LDIF: fake("choir", "1") + fake("band", "2")})
	for _, attribute := range []string{"cn", "commonName"} {
		cfg := inGroups()
		cfg.Groups.NameAttribute = attribute
		r := authenticate(t, cfg, newPool(t, s.URL()), "user0", "password0")
		requireOutcome(t, auth.OK, r)
		require.Equal(t, []string{"band", "choir"}, r.User.Groups)
	}
}

// TestRequiredGroup_WhatOneGroupIsCalledSaysNothingOfAnother: one look-alike has the required name
// too, as a value that is not shown, and the other does not.
func TestRequiredGroup_WhatOneGroupIsCalledSaysNothingOfAnother(t *testing.T) {
	t.Parallel()
	lookAlike := attribute("cn", "𝐒taff")
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 2, LDIF: "dn: cn=one," + ldaptest.GroupsDN +
		"\nobjectClass: posixGroup\ncn: one\n" + lookAlike + "cn;lang-en: staff\ngidNumber: 1\nmemberUid: user0\n\n" +
		"dn: cn=two," + ldaptest.GroupsDN + "\nobjectClass: posixGroup\ncn: two\n" + lookAlike + "gidNumber: 2\nmemberUid: user1\n\n"})
	a, _ := newAuthenticator(t, inGroups("staff"), newPool(t, s.URL()))
	for range 2 {
		requireOutcome(t, auth.OK, a.Authenticate(context.Background(), auth.Credentials{Username: "user0", Password: "password0"}))
		requireOutcome(t, auth.NotPermitted, a.Authenticate(context.Background(), auth.Credentials{Username: "user1", Password: "password1"}))
	}
}
