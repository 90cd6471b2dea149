package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"authsvc/internal/doctor"
	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTheDoctorAtActiveDirectory runs the doctor on Samba's domain, first with faults, most of
// which exist only there, and then without. Its output is in docs/doctor.md.
func TestTheDoctorAtActiveDirectory(t *testing.T) { //nolint:tparallel // the group waits for its parallel ones
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
	everything.secret(ldaptest.SambaServicePassword, "member-secret", "disabled-secret")
	common := []string{
		"LDAP_PRESET=ad", "LDAP_CA_FILE=" + s.CA().File(), "LDAP_BASE_DN=" + ldaptest.SambaBaseDN, "LDAP_REQUIRED_GROUPS=staff",
		"LDAP_BIND_DN=service@" + ldaptest.SambaDNSName, "LDAP_BIND_PASSWORD=" + ldaptest.SambaServicePassword,
	}
	ills := sambaIlls(t, s)
	rows := make([]string, len(ills))
	t.Run("of", func(t *testing.T) {
		for i, c := range ills {
			t.Run(c.what, func(t *testing.T) {
				t.Parallel()
				c.environ = append(slices.Clone(common), c.environ...)
				rows[i] = c.told(t)
			})
		}
		for name, c := range sambaSteps(s, member) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := runCheck(t, c.url, append(slices.Clone(common), c.environ...), "", append(c.args, "-json")...)
				require.Equal(t, exitOK, r.code)
				assert.True(t, slices.ContainsFunc(stepsOf(t, r.stdout, c.mark), func(step doctor.Step) bool {
					return step.Name == c.step && strings.Contains(step.Finding, c.finding) && strings.Contains(step.Remedy, c.remedy)
				}), "no such step")
			})
		}
	})
	documented(t, "active-directory", tableHead+strings.Join(rows, ""))
	r := runCheck(t, s.TLSURL(), append(common, "AUTH_THROTTLE_FAILURES=2", "AUTH_THROTTLE_ACCOUNT_FAILURES=4"), "member-secret\n", "-user", `AD\member`, "-password-stdin", "-json")
	require.Equal(t, exitOK, r.code)
	documented(t, "active-directory-well", output(t, `authsvc check -user 'AD\member' -password-stdin`, r.stdout))
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
// directory.
func sambaIlls(t *testing.T, s *ldaptest.Samba) []illness {
	t.Helper()
	tls, netbios := s.TLSURL(), `AD\`
	for _, ou := range []string{"OU=Board", "OU=Users,OU=Board"} { // an identity that may not list the first one does not see the second
		s.Add(ou+","+ldaptest.SambaBaseDN, "objectClass", "organizationalUnit", "nTSecurityDescriptor", forAdministrators)
	}
	return []illness{
		{"a plain bind is refused", s.URL(), nil, nil, "service bind", "accepts no password without TLS (result code 8)", "LDAP_START_TLS=true, or use ldaps://"},
		{"the authority is not known", tls, []string{"LDAP_CA_FILE=" + caFile(t, ldaptest.NewKeyed(t, ldaptest.AuthorityTemplate(t, "Other CA"), nil,
			nil).PEM())}, nil, "tls", "which is not among the authorities of LDAP_CA_FILE", "set LDAP_CA_FILE"},
		{"the certificate is for another name", tls, []string{"LDAP_TLS_SERVER_NAME=dc." + ldaptest.SambaDNSName}, nil, "tls", ", not for dc." + ldaptest.SambaDNSName, "set LDAP_TLS_SERVER_NAME"},
		{"the service password is wrong", tls, []string{"LDAP_BIND_PASSWORD=mistaken-password"}, nil, "service bind", "result code 49, data 52e", "correct LDAP_BIND_PASSWORD"},
		{"the service identity is disabled", tls, []string{"LDAP_BIND_DN=disabled@" + ldaptest.SambaDNSName, "LDAP_BIND_PASSWORD=disabled-secret"}, nil, "service bind", "is disabled (result code 49, data 533)", "enable the account"},
		{"nobody searches", tls, []string{"LDAP_BIND_DN=", "LDAP_BIND_PASSWORD="}, nil, "base DN", "does not allow anonymous searches", "set LDAP_BIND_DN"},
		{"the base DN does not exist", tls, []string{"LDAP_BASE_DN=OU=Staff," + ldaptest.SambaBaseDN}, nil, "base DN", "OU=Staff," + ldaptest.SambaBaseDN + " is not visible", "correct LDAP_BASE_DN"},
		{"the base DN is hidden", tls, []string{"LDAP_BASE_DN=OU=Users,OU=Board," + ldaptest.SambaBaseDN}, nil, "base DN", "OU=Users,OU=Board," + ldaptest.SambaBaseDN + " is not visible", "give the service identity read"},
		{"the filter's attribute does not exist", tls, []string{"LDAP_USER_FILTER=(loginName={username})"}, nil, "user filter", "the directory's schema has no attribute loginName", "the preset's own filter finds users"},
		{"the user does not exist", tls, nil, []string{"-user", netbios + "nobody"}, "user", "status 1", "LDAP_USER_FILTER"},
		{"the user is ambiguous", tls, []string{"LDAP_USER_FILTER=(department={username})"}, []string{"-user", "shop"}, "user", "the name matches more than one entry", "narrow LDAP_USER_FILTER or LDAP_BASE_DN"},
		{"the user is in no required group", tls, nil, []string{"-user", "guest1"}, "user", "status 8", "add the user to one of the required groups"},
		{"the account is disabled", tls, nil, []string{"-user", "disabled"}, "user", "status 4", "enable the account"},
		{"the account is locked", tls, nil, []string{"-user", "locked"}, "user", "status 3, account locked: according to the user's entry", "unlock the account"},
		{"the account has expired", tls, nil, []string{"-user", "expired"}, "user", "status 5, account expired: according to the user's entry", "extend the account's expiry date"},
		{"the password must be changed", tls, nil, []string{"-user", "new"}, "user", "status 7, password must be changed: according to the user's entry", "change the user's password"},
	}
}

// sambaStep is a step that the doctor takes at Samba, and what it finds.
type sambaStep struct {
	illness
	mark    doctor.Mark
	finding string
}

// sambaSteps returns steps that find nothing wrong, or little.
func sambaSteps(s *ldaptest.Samba, member string) map[string]sambaStep {
	tls := s.TLSURL()
	otherPreset := []string{"LDAP_PRESET=openldap", "LDAP_USER_FILTER=(sAMAccountName={username})", "LDAP_GROUP_BASE_DN=" + ldaptest.SambaBaseDN}
	return map[string]sambaStep{
		"the preset fits":                 {illness{url: tls, step: "root DSE"}, doctor.OK, "preset ad fits"},
		"another preset does not":         {illness{url: tls, environ: otherPreset, step: "root DSE", remedy: "LDAP_PRESET=ad"}, doctor.Warn, "preset openldap does not fit"},
		"a member may log in":             {illness{url: tls, args: []string{"-user", `AD\member`}, step: "user"}, doctor.OK, "is " + member},
		"one client can lock anybody out": {illness{url: tls, step: "lockout", remedy: "AUTH_THROTTLE_FAILURES=2"}, doctor.Warn, "locks an account after 5 failures within 30m0s"},
		"the server tells the time":       {illness{url: tls, step: "clock"}, doctor.OK, "agree within"},
		"an index is missing":             {illness{url: tls, environ: []string{"LDAP_USER_FILTER=(department={username})"}, step: "user filter", remedy: "add an index in the directory on department"}, doctor.Warn, "it has no index on department"},
		"with StartTLS binds are let in":  {illness{url: s.URL(), environ: []string{"LDAP_START_TLS=true"}, step: "service bind"}, doctor.OK, "accepts the bind of service@"},
	}
}
