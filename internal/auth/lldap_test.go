package auth_test

import (
	"strings"
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"
	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// lldapService is a user of lldap's group lldap_strict_readonly, as its documentation advises: it
// has no other entries to bind as.
const lldapService = "uid=service," + ldaptest.PeopleDN

// lldapStates are all that lldap has.
func lldapStates() []accountState {
	return []accountState{
		{stateGood, "good", says(auth.OK), says(auth.InvalidPassword)},
		{stateUnknown, "nobody", says(auth.InvalidUser), says(auth.InvalidUser)},
	}
}

// startLLDAP plays lldap before version 0.6.0 after its documentation and its source: it closes the
// connection when a control arrives, ignores size limits, lets nobody search who has not bound, and
// gives groups a uid. Its users are good and good-w, and a group has the name of the first.
func startLLDAP(t *testing.T) string {
	t.Helper()
	d := &ldaptest.Directory{
		Passwords: map[string]string{lldapService: ldaptest.ServicePassword},
		Reader:    lldapService,
		RootDSE: ldaptest.Entry{Attributes: map[string][]string{
			"objectClass": {"top"}, "vendorName": {"LLDAP"}, "vendorVersion": {"lldap_0.5.0"}, "supportedLDAPVersion": {"3"},
			"supportedControl": {}, "namingContexts": {ldaptest.BaseDN}, "subschemaSubentry": {"cn=Subschema"},
		}},
		Entries: []ldaptest.Entry{{DN: ldaptest.BaseDN}, {DN: ldaptest.PeopleDN}, {DN: ldaptest.GroupsDN}},
	}
	for _, name := range []string{"good", "good-w", "service"} {
		dn := "uid=" + name + "," + ldaptest.PeopleDN
		d.Entries = append(d.Entries, ldaptest.Entry{DN: dn, Attributes: map[string][]string{
			"objectclass": {"inetOrgPerson", "posixAccount", "mailAccount", "person"}, "uid": {name}, "mail": {name + "@example.org"},
			"memberof": {"cn=good," + ldaptest.GroupsDN}, "entryuuid": {"a02eaf13-48a7-30f6-a3d4-040ff7c52b04"},
		}})
		if name != "service" {
			d.Passwords[dn] = rightPassword
		}
	}
	d.Entries = append(d.Entries, ldaptest.Entry{DN: "cn=good," + ldaptest.GroupsDN, Attributes: map[string][]string{
		"objectclass": {"groupOfUniqueNames", "groupOfNames"}, "uid": {"good"}, "cn": {"good"},
		"member": {"uid=good," + ldaptest.PeopleDN}, "uniquemember": {"uid=good," + ldaptest.PeopleDN},
	}})
	return ldaptest.NewServer(t, func(c *ldaptest.Conn, req ldaptest.Request) {
		switch {
		case len(req.Controls) > 0:
			c.Close()
		case req.Op == ldaptest.OpBind && req.DN == "":
			c.ReplyBind(req, ldap.LDAPResultInappropriateAuthentication, "Anonymous bind not allowed")
		case req.Op == ldaptest.OpBind && !strings.HasSuffix(req.DN, ","+ldaptest.PeopleDN):
			c.ReplyBind(req, ldap.LDAPResultNamingViolation, "Not a subtree of the base tree")
		case req.Op == ldaptest.OpSearch && req.DN != "" && c.Identity() == "":
			c.ReplySearch(req, ldap.LDAPResultInsufficientAccessRights)
		default:
			req.SizeLimit = 0
			d.Handle(c, req)
		}
	}).URL()
}

// TestLLDAP_GroupOfTheSameNameIsIgnored, though lldap gives it the same uid; and the group is found
// with one search.
func TestLLDAP_GroupOfTheSameNameIsIgnored(t *testing.T) {
	t.Parallel()
	lldap := named("lldap")
	cfg := byPreset(lldap)
	cfg.BaseDNs = []string{ldaptest.BaseDN}
	cfg.Groups = auth.GroupConfig{
		Enabled: true, BaseDNs: []string{lldap.Groups.Base(ldaptest.BaseDN)}, Filter: lldap.Defaults.GroupFilter, NameAttribute: "cn", Required: []string{"good"},
	}
	p := newPool(t, startLLDAP(t), func(c *ldappool.Config) { c.BindDN = lldapService })
	r := authenticate(t, cfg, p, "good", rightPassword)
	requireOutcome(t, auth.OK, r)
	require.Equal(t, &auth.User{Username: "good", DN: "uid=good," + ldaptest.PeopleDN, Groups: []string{"good"}}, r.User)
	requireOutcome(t, auth.NotPermitted, authenticate(t, cfg, p, "good-w", rightPassword))
}

// TestLLDAP_GetsNoControl by its preset, even if the pool would send one: a connection that lldap
// closes is a fault.
func TestLLDAP_GetsNoControl(t *testing.T) {
	t.Parallel()
	p := newPool(t, startLLDAP(t), func(c *ldappool.Config) { c.BindDN, c.OnlyListedControls = lldapService, false })
	cfg := byPreset(named("lldap"))
	requireOutcome(t, auth.OK, authenticate(t, cfg, p, "good", rightPassword))
	cfg.NoPasswordPolicy = false
	requireOutcome(t, auth.DirectoryUnavailable, authenticate(t, cfg, p, "good", rightPassword))
}

// TestLLDAP_ByTemplateAnUnknownUserIsAWrongPassword, since lldap does not distinguish them.
func TestLLDAP_ByTemplateAnUnknownUserIsAWrongPassword(t *testing.T) {
	t.Parallel()
	p := newPool(t, startLLDAP(t), func(c *ldappool.Config) { c.BindDN = lldapService })
	cfg := auth.Config{Dialect: named("lldap"), DNTemplate: "uid={username}," + ldaptest.PeopleDN, NoPasswordPolicy: true, Timeout: patience}
	requireOutcome(t, auth.OK, authenticate(t, cfg, p, "good", rightPassword))
	requireOutcome(t, auth.InvalidPassword, authenticate(t, cfg, p, "nobody", rightPassword))
}
