package auth_test

import (
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"
	"authsvc/ldappool"

	"github.com/stretchr/testify/require"
)

// requireMissing asserts what every login needs and the directory does not have; "" is nothing.
func requireMissing(t *testing.T, want string, cfg auth.Config, d auth.Directory) {
	t.Helper()
	a, _ := newAuthenticator(t, cfg, d)
	missing, err := a.Missing(t.Context())
	require.NoError(t, err)
	if want == "" {
		require.NoError(t, missing)
	} else {
		require.ErrorContains(t, missing, want)
	}
}

// testADMissing is of TestActiveDirectory_Logins.
func testADMissing(t *testing.T, p *ldappool.Pool) {
	t.Helper()
	absent := "OU=absent," + ldaptest.SambaBaseDN
	in := func(base string, required ...string) auth.Config {
		cfg := inADGroups(required...)
		cfg.Groups.BaseDNs = []string{base}
		return cfg
	}
	wrong := byAD()
	wrong.BaseDNs = []string{absent}
	requireMissing(t, "", byAD(), p)
	requireMissing(t, "", inADGroups("gone", "outer"), p)
	requireMissing(t, "", in(ldaptest.SambaBaseDN), p)
	requireMissing(t, `LDAP_BASE_DN: "`+absent, wrong, p)
	requireMissing(t, `LDAP_GROUP_BASE_DN: "`+absent, in(absent), p)
	requireMissing(t, "none of the required groups exists or is visible", inADGroups("gone"), p)
}

func TestMissing_IsWhatLoginsCannotDoWithout(t *testing.T) {
	t.Parallel()
	s := startGroups(t)
	p := newPool(t, s.URL())
	requireMissing(t, "", byFilter(), p)
	requireMissing(t, "", byTemplate(), p)
	requireMissing(t, "", inGroups(), p)
	requireMissing(t, "", inGroups("gone", "cn=staff,"+ldaptest.GroupsDN), p)
	requireMissing(t, `LDAP_BASE_DN: "`+absentDN, byFilter(ldaptest.PeopleDN, absentDN), p)
	requireMissing(t, `LDAP_BASE_DN: "`+hiddenDN, byFilter(hiddenDN), p)
	requireMissing(t, "none of the required groups exists or is visible", inGroups("gone", "cn=gone,"+ldaptest.GroupsDN), p)
	cfg := inGroups("staff")
	cfg.Groups.BaseDNs = append(cfg.Groups.BaseDNs, absentDN)
	requireMissing(t, `LDAP_GROUP_BASE_DN: "`+absentDN, cfg, p)
	cfg = inGroups()
	cfg.Groups.Filter = "(gidNumber={gidNumber})"
	requireMissing(t, "", cfg, p)

	s.Kill()
	a, _ := newAuthenticator(t, byFilter(absentDN), p)
	missing, err := a.Missing(t.Context())
	require.Error(t, err, "nobody knows")
	require.NoError(t, missing)
}
