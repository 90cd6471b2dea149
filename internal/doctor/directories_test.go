package doctor_test

import (
	"strings"
	"testing"
	"time"

	"authsvc/config"
	"authsvc/internal/doctor"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// openConfig lets the service identity read slapd's configuration and monitor, as few directories
// do.
const openConfig = "\ndatabase config\naccess to * by dn.exact=\"" + ldaptest.ServiceDN + "\" read\n" +
	"database monitor\naccess to * by dn.exact=\"" + ldaptest.ServiceDN + "\" read\n"

func TestDoctor_FindsAHealthySetupHealthy(t *testing.T) { //nolint:tparallel // the group waits for its parallel ones
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		Users: 2, TLS: true, CertLife: 90 * 24 * time.Hour,
		ExtraGlobal:   "moduleload ppolicy\nmoduleload back_monitor",
		ExtraDatabase: "overlay ppolicy\nppolicy_default \"cn=policy," + ldaptest.BaseDN + "\"\nppolicy_use_lockout" + openConfig,
		LDIF:          ldaptest.PolicyLDIF() + "dn: cn=staff," + ldaptest.GroupsDN + "\nobjectClass: groupOfNames\ncn: staff\nmember: " + ldaptest.UserDN(0) + "\n",
	})
	user0 := all(withGroups(ldaptest.GroupsDN, "staff"), withThrottle(2, 2), withPassword("user0", ldaptest.Password(0)))
	secure := "ldaps://" + s.TLSAddr() // by address: slapd listens at one, and localhost may have two
	t.Run("of", func(t *testing.T) {
		for name, urls := range map[string][]string{
			"over TLS": {secure}, "in the clear on this machine": {s.URL()}, "over a socket": {s.LDAPIURL()}, "at two servers": {s.URL(), secure},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				steps := examine(t, all(user0, withTLS(config.LDAP{CAFile: s.CA().File()})), urls...)
				require.True(t, reportOf(steps).OK)
				text := printed(steps)
				assert.True(t, strings.HasSuffix(text, "\nno check failed\n"), "something is to be looked at")
				said := unwrapped(text)
				for _, want := range []string{
					"OpenLDAP; preset openldap fits", `"user0" may log in as ` + ldaptest.UserDN(0), "groups: staff", "indexed: uid",
					"it reports locked accounts", "agree within", "the directory accepts ",
				} {
					assert.Contains(t, said, want)
				}
			})
		}
	})
	steps := examine(t, all(user0, withTLS(config.LDAP{CAFile: s.CA().File(), TLSServerName: "localhost"}), startTLS), s.URL())
	samples.Compare(t, "openldap-well", output(t, "authsvc check -user user0 -password-stdin", steps))
}

// TestDoctor_SkipsWhatTheDirectoryHides expects a skipped step for an unknown fact, or a
// remark next to what the directory tells.
func TestDoctor_SkipsWhatTheDirectoryHides(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		Users: 1, ExtraGlobal: "moduleload ppolicy", LDIF: ldaptest.PolicyLDIF(),
		ExtraDatabase: "overlay ppolicy\nppolicy_default \"cn=policy," + ldaptest.BaseDN + "\"",
	})
	steps := examine(t, all(), s.URL())
	require.True(t, reportOf(steps).OK)
	said := unwrapped(printed(steps))
	for _, want := range []string{
		"not checked: whether the directory has an index on uid", "not checked: whether slapd has ppolicy_use_lockout",
		"skipped clock", "skipped connection limits",
	} {
		assert.Contains(t, said, want)
	}
}

// TestDoctor_ReadsTheConfigurationOfOpenLDAP if the service identity may read it.
func TestDoctor_ReadsTheConfigurationOfOpenLDAP(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		Users: 1, ExtraGlobal: "moduleload ppolicy\nmoduleload back_monitor", LDIF: ldaptest.PolicyLDIF(),
		ExtraDatabase: "index sn sub\nindex default eq\nindex givenName\noverlay ppolicy\nppolicy_default \"cn=policy," + ldaptest.BaseDN + "\"" + openConfig,
	})
	for name, c := range map[string]struct{ filter, step, want string }{
		"an index is missing":             {"(mail={username})", "user filter", "it has no index on mail"},
		"one is of substrings":            {"(sn={username})", "user filter", "it has no index on sn"},
		"one goes by another name":        {"(userid={username})", "user filter", "indexed: userid"},
		"others need none":                {"(&(cn=*)(uid={username}))", "user filter", "indexed: uid"},
		"a locked account is not told so": {"(uid={username})", "lockout", "slapd has no ppolicy_use_lockout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steps := examine(t, withFilter(c.filter), s.URL())
			require.True(t, reportOf(steps).OK)
			step := find(t, steps, c.step)
			assert.Contains(t, step.Finding+strings.Join(step.Details, "\n"), c.want)
			assert.Equal(t, !strings.Contains(c.want, "indexed: "), step.Mark == doctor.Warn, "%s", step.Mark)
		})
	}
}

// TestDoctor_ReadsTheConfigurationOf389DS if the service identity may read it, as the directory
// manager may.
func TestDoctor_ReadsTheConfigurationOf389DS(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartDS389(t)
	s.Add("uid=user0,"+ldaptest.PeopleDN, map[string][]string{"objectClass": {"inetOrgPerson"}, "cn": {"x"}, "sn": {"x"}, "description": {"user0"}})
	s.Modify("cn=config", map[string][]string{"passwordLockout": {"on"}, "passwordMaxFailure": {"4"}, "passwordResetFailureCount": {"600"}})
	service := withPreset("389ds")
	manager := all(service, withBind(ldaptest.DirectoryManagerDN, ldaptest.RootPassword))
	for name, c := range map[string]struct {
		change     change
		step, want string
	}{
		"the clock":                {service, "clock", "agree within"},
		"the limit on connections": {service, "connection limits", "the directory accepts "},
		"an index":                 {manager, "user filter", "indexed: uid"},
		"no index":                 {all(manager, withFilter("(description={username})")), "user filter", "it has no index on description"},
		"not whether there is one": {service, "user filter", "not checked: whether the directory has an index on uid"},
		"when it locks":            {manager, "lockout", "locks an account after 4 failures within 10m0s"},
		"not when it locks":        {service, "lockout", "does not show the service identity after how many failures it locks accounts"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steps := examine(t, c.change, s.URL())
			require.True(t, reportOf(steps).OK)
			step := find(t, steps, c.step)
			assert.Contains(t, step.Finding+strings.Join(step.Details, "\n"), c.want)
		})
	}
}

// TestDoctor_SaysWhatInTheEntryBlocksALogin, which a login would learn only from the bind.
func TestDoctor_SaysWhatInTheEntryBlocksALogin(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		ExtraGlobal: "moduleload ppolicy", LDIF: ldaptest.PolicyLDIF(),
		ExtraDatabase: "overlay ppolicy\nppolicy_default \"cn=policy," + ldaptest.BaseDN + "\"",
	})
	for user, want := range map[string]string{
		"locked": "would get status 3, account locked: according to the user's entry", "reset": "would get status 7, password must be changed: according to the user's entry",
		"good": "only a wrong password would prevent a login",
	} {
		steps := examine(t, withUser(user), s.URL())
		assert.Contains(t, find(t, steps, "user").Finding, want)
		assert.Equal(t, user == "good", reportOf(steps).OK)
	}
}

func TestDoctor_TriesAPasswordOnceAndExplainsTheVerdict(t *testing.T) {
	t.Parallel()
	first, second := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1}), ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	steps := examine(t, withPassword("user0", "mistaken-password"), first.URL(), second.URL())
	require.False(t, reportOf(steps).OK)
	assert.Contains(t, unwrapped(printed(steps)), "status 2, invalid password")
	binds := first.LogCount(`BIND dn="`+ldaptest.UserDN(0)+`" method=128`) + second.LogCount(`BIND dn="`+ldaptest.UserDN(0)+`" method=128`)
	assert.Equal(t, 1, binds, "binds as the user")
}

// TestDoctor_TriesTheServicePasswordOnce if it is wrong, because each try counts against the
// account.
func TestDoctor_TriesTheServicePasswordOnce(t *testing.T) {
	t.Parallel()
	first, second := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{}), ldaptest.StartSlapd(t, ldaptest.SlapdConfig{})
	steps := examine(t, all(withBind(ldaptest.ServiceDN, "not-the-one"), withUser("user0"), func(o *doctor.Options) { o.Idle = 50 * time.Millisecond }),
		first.URL(), second.URL())
	require.False(t, reportOf(steps).OK)
	line := `BIND dn="` + ldaptest.ServiceDN + `" method=128`
	assert.Equal(t, 1, first.LogCount(line)+second.LogCount(line), "binds as the service identity")
	assert.Contains(t, unwrapped(printed(steps)), "not tried: "+first.URL()+" refused the same password")
}

func TestDoctor_ComparesTheLockoutOfTheDirectoryWithTheThrottle(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		ExtraGlobal:   "moduleload ppolicy",
		ExtraDatabase: "overlay ppolicy\nppolicy_default \"cn=policy," + ldaptest.BaseDN + "\"",
		LDIF:          ldaptest.PolicyLDIF(),
	})
	for name, c := range map[string]struct {
		throttle change
		mark     doctor.Mark
		finding  string
	}{
		"one client can lock anybody out":           {all(), doctor.Warn, "the throttle allows 10 failures per client: one client can lock any account"},
		"several clients can":                       {withThrottle(2, 100), doctor.Warn, "the throttle allows 100 failures per account: several clients together can lock any account"},
		"the throttle is off":                       {withThrottle(0, 0), doctor.Warn, "the throttle is off"},
		"nobody can, for we stop before that":       {withThrottle(2, 2), doctor.OK, "after 3 failures"},
		"nobody can, by the account's limit though": {withThrottle(0, 2), doctor.OK, "the throttle stops attempts before that"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var found bool
			for _, step := range marked(examine(t, c.throttle, s.URL()), c.mark) {
				found = found || step.Name == "lockout" && strings.Contains(step.Finding, c.finding)
			}
			assert.True(t, found, "no lockout step %s: %s", c.mark, c.finding)
		})
	}
}
