package doctor_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"authsvc/config"
	"authsvc/internal/doctor"
	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDoctor_AtActiveDirectory runs the doctor on Samba's domain, first with faults, most of
// which exist only there, and then without. Its output is in docs/doctor-samples.md.
func TestDoctor_AtActiveDirectory(t *testing.T) { //nolint:tparallel // the group waits for its parallel ones
	t.Parallel()
	s := ldaptest.StartSamba(t, ldaptest.SambaConfig{LockoutThreshold: 5, StrongAuth: true})
	member := s.AddUser("member", "member-secret", "mail", "member@example.org")
	s.AddUser("guest1", "guest-secret", "department", "shop")
	s.AddUser("guest2", "guest-secret", "department", "shop")
	s.AddUser("disabled", "disabled-secret", "userAccountControl", "514")
	locked := s.AddUser("locked", "guest-secret")
	lockOverTLS(t, s, locked)
	s.AddGroup("staff", member, locked,
		s.AddUser("expired", "guest-secret", "accountExpires", ldaptest.FileTime(time.Now().Add(-48*time.Hour))),
		s.AddUser("new", "guest-secret", "pwdLastSet", "0"))
	everything.Secret("disabled-secret")
	common := all(withPreset("ad"), withTLS(config.LDAP{CAFile: s.CA().File()}), withBase(ldaptest.SambaBaseDN), withGroups("", "staff"),
		withBind("service@"+ldaptest.SambaDNSName, ldaptest.SambaServicePassword))
	atSamba := func(url string, changes ...change) look { return at(url, common, all(changes...)) }
	ills := sambaIlls(t, s, atSamba)
	rows := make([]string, len(ills))
	t.Run("of", func(t *testing.T) {
		for i, c := range ills {
			t.Run(c.what, func(t *testing.T) {
				t.Parallel()
				rows[i] = c.told(t)
			})
		}
		for name, c := range sambaSteps(s, member, atSamba) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				steps := c.look(t)
				require.True(t, reportOf(steps).OK)
				assert.True(t, slices.ContainsFunc(marked(steps, c.mark), func(step doctor.Step) bool {
					return step.Name == c.step && strings.Contains(step.Finding, c.finding) && strings.Contains(step.Remedy, c.remedy)
				}), "no such step")
			})
		}
	})
	samples.Compare(t, "active-directory", tableHead+strings.Join(rows, ""))
	steps := atSamba(s.TLSURL(), withThrottle(2, 4), withPassword(`AD\member`, "member-secret"))(t)
	require.True(t, reportOf(steps).OK)
	samples.Compare(t, "active-directory-well", output(t, `authsvc check -user 'AD\member' -password-stdin`, steps))
}

// lockOverTLS tries wrong passwords until the account is locked. It uses TLS, because Samba accepts
// no password in the clear.
func lockOverTLS(t *testing.T, s *ldaptest.Samba, dn string) {
	t.Helper()
	c, err := ldap.DialURL(s.TLSURL(), ldap.DialWithTLSConfig(s.TLSConfig()))
	require.NoError(t, err)
	defer c.Close()
	for range 10 {
		if err = c.Bind(dn, "wrong"); strings.Contains(err.Error(), "data 775") {
			return
		}
	}
	t.Fatalf("%s is not locked: %v", dn, err)
}

// forAdministrators is a security descriptor (MS-DTYP 2.4.6) that lets BUILTIN\Administrators do
// everything and nobody else anything: protected from inheritance, without an owner of its own, and
// one entry in its list.
const forAdministrators = "\x01\x00\x04\x90\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x14\x00\x00\x00" + // header; the list is at 20
	"\x04\x00\x20\x00\x01\x00\x00\x00" + // 32 bytes, one entry
	"\x00\x00\x18\x00\xff\x01\x0f\x00" + // allow everything
	"\x01\x02\x00\x00\x00\x00\x00\x05\x20\x00\x00\x00\x20\x02\x00\x00" // S-1-5-32-544

// sambaIlls lists what can be wrong with a login at Samba, in addition to the faults of every
// directory. With at the doctor examines the domain, after some changes.
func sambaIlls(t *testing.T, s *ldaptest.Samba, at func(string, ...change) look) []illness {
	t.Helper()
	tls, netbios := s.TLSURL(), `AD\`
	for _, ou := range []string{"OU=Board", "OU=Users,OU=Board"} { // an identity that may not list the first one does not see the second
		s.Add(ou+","+ldaptest.SambaBaseDN, "objectClass", "organizationalUnit", "nTSecurityDescriptor", forAdministrators)
	}
	strangers := withTLS(config.LDAP{CAFile: caFile(t, ldaptest.NewKeyed(t, ldaptest.AuthorityTemplate(t, "Other CA"), nil, nil).PEM())})
	otherName := withTLS(config.LDAP{CAFile: s.CA().File(), TLSServerName: "dc." + ldaptest.SambaDNSName})
	return []illness{
		{"a plain bind is refused", at(s.URL()), "service bind", "accepts no password without TLS (result code 8)", "LDAP_START_TLS=true, or use ldaps://"},
		{"the authority is not known", at(tls, strangers), "tls", "which is not among the authorities of LDAP_CA_FILE", "set LDAP_CA_FILE"},
		{"the certificate is for another name", at(tls, otherName), "tls", ", not for dc." + ldaptest.SambaDNSName, "set LDAP_TLS_SERVER_NAME"},
		{"the service password is wrong", at(tls, withBind("service@"+ldaptest.SambaDNSName, "mistaken-password")), "service bind", "result code 49, data 52e", "correct LDAP_BIND_PASSWORD"},
		{"the service identity is disabled", at(tls, withBind("disabled@"+ldaptest.SambaDNSName, "disabled-secret")), "service bind", "is disabled (result code 49, data 533)", "enable the account"},
		{"nobody searches", at(tls, withoutBind), "base DN", "does not allow anonymous searches", "set LDAP_BIND_DN"},
		{"the base DN does not exist", at(tls, withBase("OU=Staff,"+ldaptest.SambaBaseDN)), "base DN", "OU=Staff," + ldaptest.SambaBaseDN + " is not visible", "correct LDAP_BASE_DN"},
		{"the base DN is hidden", at(tls, withBase("OU=Users,OU=Board,"+ldaptest.SambaBaseDN)), "base DN", "OU=Users,OU=Board," + ldaptest.SambaBaseDN + " is not visible", "give the service identity read"},
		{"the filter's attribute does not exist", at(tls, withFilter("(loginName={username})")), "user filter", "the directory's schema has no attribute loginName", "the preset's own filter finds users"},
		{"the user does not exist", at(tls, withUser(netbios+"nobody")), "user", "status 1", "LDAP_USER_FILTER"},
		{"the user is ambiguous", at(tls, withFilter("(department={username})"), withUser("shop")), "user", "the name matches more than one entry", "narrow LDAP_USER_FILTER or LDAP_BASE_DN"},
		{"the user is in no required group", at(tls, withUser("guest1")), "user", "status 8", "add the user to one of the required groups"},
		{"the account is disabled", at(tls, withUser("disabled")), "user", "status 4", "enable the account"},
		{"the account is locked", at(tls, withUser("locked")), "user", "status 3, account locked: according to the user's entry", "unlock the account"},
		{"the account has expired", at(tls, withUser("expired")), "user", "status 5, account expired: according to the user's entry", "extend the account's expiry date"},
		{"the password must be changed", at(tls, withUser("new")), "user", "status 7, password must be changed: according to the user's entry", "change the user's password"},
	}
}

// sambaStep is a step that the doctor takes at Samba, and what it finds.
type sambaStep struct {
	look    look
	step    string
	mark    doctor.Mark
	finding string
	remedy  string
}

// sambaSteps returns steps that find nothing wrong, or little.
func sambaSteps(s *ldaptest.Samba, member string, at func(string, ...change) look) map[string]sambaStep {
	tls := s.TLSURL()
	otherPreset := all(withPreset("openldap"), withFilter("(sAMAccountName={username})"), withGroups(ldaptest.SambaBaseDN, "staff"))
	return map[string]sambaStep{
		"the preset fits":                 {at(tls), "root DSE", doctor.OK, "preset ad fits", ""},
		"another preset does not":         {at(tls, otherPreset), "root DSE", doctor.Warn, "preset openldap does not fit", "LDAP_PRESET=ad"},
		"a member may log in":             {at(tls, withUser(`AD\member`)), "user", doctor.OK, "is " + member, ""},
		"one client can lock anybody out": {at(tls), "lockout", doctor.Warn, "locks an account after 5 failures within 30m0s", "AUTH_THROTTLE_FAILURES=2"},
		"the server tells the time":       {at(tls), "clock", doctor.OK, "agree within", ""},
		"an index is missing":             {at(tls, withFilter("(department={username})")), "user filter", doctor.Warn, "it has no index on department", "add an index in the directory on department"},
		"replicas fit":                    {at(tls, withReplicas(100, 32)), "connection limits", doctor.OK, "all replicas (100) open up to 3200 connections", ""},
		"more replicas do not":            {at(tls, withReplicas(200, 32)), "connection limits", doctor.Warn, "the directory accepts 5000 connections (MaxConnections of the default query policy), and all replicas (200) open up to 6400", "LDAP_POOL_MAX_CONNS to at most 25"},
		"with StartTLS binds are let in":  {at(s.URL(), startTLS), "service bind", doctor.OK, "accepts the bind of service@", ""},
	}
}
