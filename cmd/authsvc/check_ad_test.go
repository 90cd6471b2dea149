package main

import (
	"strings"
	"testing"

	"authsvc/internal/doctor"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTheDoctorAtActiveDirectory is asked about Samba's domain: all well, and what is wrong there only.
func TestTheDoctorAtActiveDirectory(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSamba(t, ldaptest.SambaConfig{LockoutThreshold: 5, StrongAuth: true})
	member := s.AddUser("member", "member-secret")
	s.AddUser("guest1", "guest-secret")
	s.AddUser("disabled", "disabled-secret", "userAccountControl", "514")
	s.AddGroup("staff", member)
	everything.secret(ldaptest.SambaServicePassword, "member-secret", "disabled-secret")
	common := []string{
		"LDAP_PRESET=ad", "LDAP_CA_FILE=" + s.CA().File(), "LDAP_BASE_DN=" + ldaptest.SambaBaseDN, "LDAP_REQUIRED_GROUPS=staff",
		"LDAP_BIND_DN=service@" + ldaptest.SambaDNSName, "LDAP_BIND_PASSWORD=" + ldaptest.SambaServicePassword,
	}
	for name, c := range map[string]struct {
		url     string
		environ []string // after the common ones
		user    string
		step    string
		mark    doctor.Mark
		finding string
		remedy  string
	}{
		"the preset fits":                        {s.TLSURL(), nil, "member", "root DSE", doctor.OK, "preset ad fits", ""},
		"another preset does not":                {s.TLSURL(), []string{"LDAP_PRESET=openldap", "LDAP_USER_FILTER=(sAMAccountName={username})", "LDAP_GROUP_BASE_DN=" + ldaptest.SambaBaseDN}, "", "root DSE", doctor.Warn, "preset openldap does not fit", "LDAP_PRESET=ad"},
		"a member may log in":                    {s.TLSURL(), nil, `AD\member`, "user", doctor.OK, "is " + member, ""},
		"who is no member may not":               {s.TLSURL(), nil, "guest1", "user", doctor.Failed, "status 8", "put the user into one of the required groups"},
		"a disabled account may not":             {s.TLSURL(), nil, "disabled", "user", doctor.Failed, "status 4", "enable the account"},
		"one client can lock anybody out":        {s.TLSURL(), nil, "", "lockout", doctor.Warn, "locks an account after 5 failures within 30m0s", "AUTH_THROTTLE_FAILURES=2"},
		"the server tells the time":              {s.TLSURL(), nil, "", "clock", doctor.OK, "of ours", ""},
		"a plain bind is refused":                {s.URL(), nil, "", "service bind", doctor.Failed, "takes no password without TLS (result code 8)", "LDAP_START_TLS=true, or ldaps://"},
		"with StartTLS it is not":                {s.URL(), []string{"LDAP_START_TLS=true"}, "", "service bind", doctor.OK, "lets service@", ""},
		"a wrong service password has its data":  {s.TLSURL(), []string{"LDAP_BIND_PASSWORD=mistaken-password"}, "", "service bind", doctor.Failed, "result code 49, data 52e", "correct LDAP_BIND_PASSWORD"},
		"a disabled service identity is told so": {s.TLSURL(), []string{"LDAP_BIND_DN=disabled@" + ldaptest.SambaDNSName, "LDAP_BIND_PASSWORD=disabled-secret"}, "", "service bind", doctor.Failed, "is disabled (result code 49, data 533)", "enable it"},
		"nobody may search":                      {s.TLSURL(), []string{"LDAP_BIND_DN=", "LDAP_BIND_PASSWORD="}, "", "base DN", doctor.Failed, "lets nobody search who has not bound", "set LDAP_BIND_DN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := []string{"-json"}
			if c.user != "" {
				args = append(args, "-user", c.user)
			}
			r := runCheck(t, c.url, append(append([]string{}, common...), c.environ...), "", args...)
			want := exitOK
			if c.mark == doctor.Failed {
				want = exitFailed
			}
			require.Equal(t, want, r.code)
			var names []string
			for _, step := range stepsOf(t, r.stdout, c.mark) {
				names = append(names, step.Name+": "+step.Finding+" do: "+step.Remedy)
			}
			all := strings.Join(names, "\n")
			assert.Contains(t, all, c.step+": ")
			assert.Contains(t, all, c.finding)
			assert.Contains(t, all, c.remedy)
		})
	}
}
