package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"authsvc/internal/doctor"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// checkRun is one run of authsvc check.
type checkRun struct {
	code           int
	stdout, stderr string
}

// runCheck runs authsvc check as a separate process, against a directory at url.
func runCheck(t *testing.T, url string, environ []string, stdin string, args ...string) checkRun {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	var out, problems bytes.Buffer
	cmd := exec.Command(self, append([]string{"check"}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Stdout = everything.writer("stdout of "+t.Name(), &out)
	cmd.Stderr = everything.writer("stderr of "+t.Name(), &problems)
	cmd.Env = append([]string{
		asProgram + "=1", "LDAP_URL=" + url, "LDAP_BASE_DN=" + ldaptest.PeopleDN,
		"LDAP_BIND_DN=" + ldaptest.ServiceDN, "LDAP_BIND_PASSWORD=" + ldaptest.ServicePassword,
	}, environ...)
	everything.secret(ldaptest.ServicePassword, strings.TrimSuffix(stdin, "\n"))
	for _, e := range environ {
		if password, ok := strings.CutPrefix(e, "LDAP_BIND_PASSWORD="); ok {
			everything.secret(password)
		}
	}
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	r := checkRun{cmd.ProcessState.ExitCode(), out.String(), problems.String()}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("exit %d\n%s\n%s", r.code, r.stdout, r.stderr)
		}
	})
	return r
}

// closedAddr returns an address on which nothing listens.
func closedAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

// tlsDirectory starts a directory with a certificate made from cfg, and returns its URL.
func tlsDirectory(t *testing.T, ca *ldaptest.CA, cfg ldaptest.CertConfig) string {
	t.Helper()
	config := ca.ServerTLS(t)
	config.Certificates[0] = ca.Issue(t, cfg).TLS
	s := ldaptest.NewServer(t, ldaptest.NewDirectory().Handle, ldaptest.WithTLS(config))
	return "ldaps://" + s.Addr() // it listens at one address, and localhost may have two
}

// stepsOf returns the steps with a given mark from a report.
func stepsOf(t *testing.T, report string, mark doctor.Mark) (steps []doctor.Step) {
	t.Helper()
	var r doctor.Report
	require.NoError(t, json.Unmarshal([]byte(report), &r))
	for _, s := range r.Steps {
		if s.Mark == mark {
			steps = append(steps, s)
		}
	}
	return steps
}

// openConfig lets the service identity read slapd's configuration and monitor, as few directories
// do.
const openConfig = "\ndatabase config\naccess to * by dn.exact=\"" + ldaptest.ServiceDN + "\" read\n" +
	"database monitor\naccess to * by dn.exact=\"" + ldaptest.ServiceDN + "\" read\n"

// stepOf returns the one step with a given name from a report.
func stepOf(t *testing.T, report, name string) doctor.Step {
	t.Helper()
	var r doctor.Report
	require.NoError(t, json.Unmarshal([]byte(report), &r))
	i := slices.IndexFunc(r.Steps, func(s doctor.Step) bool { return s.Name == name })
	require.GreaterOrEqual(t, i, 0, "no step %q", name)
	return r.Steps[i]
}

func TestTheDoctorFindsAllWell(t *testing.T) { //nolint:tparallel // the group waits for its parallel ones
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		Users: 2, TLS: true, CertLife: 90 * 24 * time.Hour,
		ExtraGlobal:   "moduleload ppolicy\nmoduleload back_monitor",
		ExtraDatabase: "overlay ppolicy\nppolicy_default \"cn=policy," + ldaptest.BaseDN + "\"\nppolicy_use_lockout" + openConfig,
		LDIF:          policyLDIF() + "dn: cn=staff," + ldaptest.GroupsDN + "\nobjectClass: groupOfNames\ncn: staff\nmember: " + ldaptest.UserDN(0) + "\n",
	})
	environ := []string{
		"LDAP_CA_FILE=" + s.CA().File(), "LDAP_GROUP_BASE_DN=" + ldaptest.GroupsDN, "LDAP_REQUIRED_GROUPS=staff",
		"AUTH_THROTTLE_FAILURES=2", "AUTH_THROTTLE_ACCOUNT_FAILURES=2",
	}
	secure := "ldaps://" + s.TLSAddr() // by address: slapd listens at one, and localhost may have two
	t.Run("of", func(t *testing.T) {
		for name, urls := range map[string]string{
			"over TLS": secure, "in the clear on this machine": s.URL(), "over a socket": s.LDAPIURL(), "at two servers": s.URL() + "," + secure,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := runCheck(t, urls, environ, ldaptest.Password(0)+"\n", "-user", "user0", "-password-stdin")
				require.Equal(t, exitOK, r.code)
				assert.True(t, strings.HasSuffix(r.stdout, "\nno check failed\n"), "something is to be looked at")
				said := unwrapped(r.stdout)
				for _, want := range []string{
					"OpenLDAP; preset openldap fits", `"user0" may log in as ` + ldaptest.UserDN(0), "groups: staff", "indexed: uid",
					"it reports locked accounts", "agree within", "the directory accepts ",
				} {
					assert.Contains(t, said, want)
				}
			})
		}
	})
	r := runCheck(t, s.URL(), append(environ, "LDAP_START_TLS=true", "LDAP_TLS_SERVER_NAME=localhost"), ldaptest.Password(0)+"\n", "-user", "user0", "-password-stdin", "-json")
	documented(t, "openldap-well", output(t, "authsvc check -user user0 -password-stdin", r.stdout))
}

// TestTheDoctorSaysWhatADirectoryDoesNotTell expects a skipped step for an unknown fact, or a
// remark next to what the directory tells.
func TestTheDoctorSaysWhatADirectoryDoesNotTell(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		Users: 1, ExtraGlobal: "moduleload ppolicy", LDIF: policyLDIF(),
		ExtraDatabase: "overlay ppolicy\nppolicy_default \"cn=policy," + ldaptest.BaseDN + "\"",
	})
	r := runCheck(t, s.URL(), nil, "")
	require.Equal(t, exitOK, r.code)
	said := unwrapped(r.stdout)
	for _, want := range []string{
		"not checked: whether the directory has an index on uid", "not checked: whether slapd has ppolicy_use_lockout",
		"skipped clock", "skipped connection limits",
	} {
		assert.Contains(t, said, want)
	}
}

// TestTheDoctorReadsOpenLDAPsConfiguration if the service identity may read it.
func TestTheDoctorReadsOpenLDAPsConfiguration(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		Users: 1, ExtraGlobal: "moduleload ppolicy\nmoduleload back_monitor", LDIF: policyLDIF(),
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
			r := runCheck(t, s.URL(), []string{"LDAP_USER_FILTER=" + c.filter}, "", "-json")
			require.Equal(t, exitOK, r.code)
			step := stepOf(t, r.stdout, c.step)
			assert.Contains(t, step.Finding+strings.Join(step.Details, "\n"), c.want)
			assert.Equal(t, !strings.Contains(c.want, "indexed: "), step.Mark == doctor.Warn, "%s", step.Mark)
		})
	}
}

// TestTheDoctorReads389DSsConfiguration if the service identity may read it, as the directory
// manager may.
func TestTheDoctorReads389DSsConfiguration(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartDS389(t)
	s.Add("uid=user0,"+ldaptest.PeopleDN, map[string][]string{"objectClass": {"inetOrgPerson"}, "cn": {"x"}, "sn": {"x"}, "description": {"user0"}})
	s.Modify("cn=config", map[string][]string{"passwordLockout": {"on"}, "passwordMaxFailure": {"4"}, "passwordResetFailureCount": {"600"}})
	manager := []string{"LDAP_PRESET=389ds", "LDAP_BIND_DN=" + ldaptest.DirectoryManagerDN, "LDAP_BIND_PASSWORD=" + ldaptest.RootPassword}
	for name, c := range map[string]struct {
		environ    []string
		step, want string
	}{
		"the clock":                {nil, "clock", "agree within"},
		"the limit on connections": {nil, "connection limits", "the directory accepts "},
		"an index":                 {manager, "user filter", "indexed: uid"},
		"no index":                 {append(manager, "LDAP_USER_FILTER=(description={username})"), "user filter", "it has no index on description"},
		"not whether there is one": {nil, "user filter", "not checked: whether the directory has an index on uid"},
		"when it locks":            {manager, "lockout", "locks an account after 4 failures within 10m0s"},
		"not when it locks":        {nil, "lockout", "does not show the service identity after how many failures it locks accounts"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := runCheck(t, s.URL(), append([]string{"LDAP_PRESET=389ds"}, c.environ...), "", "-json")
			require.Equal(t, exitOK, r.code)
			step := stepOf(t, r.stdout, c.step)
			assert.Contains(t, step.Finding+strings.Join(step.Details, "\n"), c.want)
		})
	}
}

// TestTheDoctorSaysWhatTheEntryHasAgainstALogin, which a login would learn only from the bind.
func TestTheDoctorSaysWhatTheEntryHasAgainstALogin(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		ExtraGlobal: "moduleload ppolicy", LDIF: policyLDIF(),
		ExtraDatabase: "overlay ppolicy\nppolicy_default \"cn=policy," + ldaptest.BaseDN + "\"",
	})
	for user, want := range map[string]string{
		"locked": "would get status 3, account locked: according to the user's entry", "reset": "would get status 7, password must be changed: according to the user's entry",
		"good": "only a wrong password would prevent a login",
	} {
		r := runCheck(t, s.URL(), nil, "", "-user", user, "-json")
		step := stepOf(t, r.stdout, "user")
		assert.Contains(t, step.Finding, want)
		assert.Equal(t, user == "good", r.code == exitOK)
	}
}

func TestTheDoctorTriesAPasswordOnceAndExplainsTheVerdict(t *testing.T) {
	t.Parallel()
	first, second := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1}), ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	r := runCheck(t, first.URL()+","+second.URL(), nil, "mistaken-password\n", "-user", "user0", "-password-stdin")
	require.Equal(t, exitFailed, r.code)
	assert.Contains(t, unwrapped(r.stdout), "status 2, invalid password")
	binds := first.LogCount(`BIND dn="`+ldaptest.UserDN(0)+`" method=128`) + second.LogCount(`BIND dn="`+ldaptest.UserDN(0)+`" method=128`)
	assert.Equal(t, 1, binds, "binds as the user")
}

// TestTheDoctorTriesAServicePasswordOnce if it is wrong, because each try counts against the
// account.
func TestTheDoctorTriesAServicePasswordOnce(t *testing.T) {
	t.Parallel()
	first, second := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{}), ldaptest.StartSlapd(t, ldaptest.SlapdConfig{})
	r := runCheck(t, first.URL()+","+second.URL(), []string{"LDAP_BIND_PASSWORD=not-the-one"}, "", "-user", "user0", "-idle", "50ms")
	require.Equal(t, exitFailed, r.code)
	line := `BIND dn="` + ldaptest.ServiceDN + `" method=128`
	assert.Equal(t, 1, first.LogCount(line)+second.LogCount(line), "binds as the service identity")
	assert.Contains(t, unwrapped(r.stdout), "not tried: "+first.URL()+" refused the same password")
}

func TestTheDoctorComparesTheDirectorysLockoutWithOurs(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		ExtraGlobal:   "moduleload ppolicy",
		ExtraDatabase: "overlay ppolicy\nppolicy_default \"cn=policy," + ldaptest.BaseDN + "\"",
		LDIF:          policyLDIF(),
	})
	for name, c := range map[string]struct {
		environ []string
		mark    doctor.Mark
		finding string
	}{
		"one client can lock anybody out":           {nil, doctor.Warn, "the throttle allows 10 failures per client: one client can lock any account"},
		"several clients can":                       {[]string{"AUTH_THROTTLE_FAILURES=2"}, doctor.Warn, "the throttle allows 100 failures per account: several clients together can lock any account"},
		"the throttle is off":                       {[]string{"AUTH_THROTTLE_FAILURES=0", "AUTH_THROTTLE_ACCOUNT_FAILURES=0"}, doctor.Warn, "the throttle is off"},
		"nobody can, for we stop before that":       {[]string{"AUTH_THROTTLE_FAILURES=2", "AUTH_THROTTLE_ACCOUNT_FAILURES=2"}, doctor.OK, "after 3 failures"},
		"nobody can, by the account's limit though": {[]string{"AUTH_THROTTLE_FAILURES=0", "AUTH_THROTTLE_ACCOUNT_FAILURES=2"}, doctor.OK, "the throttle stops attempts before that"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := runCheck(t, s.URL(), c.environ, "", "-json")
			var found bool
			for _, step := range stepsOf(t, r.stdout, c.mark) {
				found = found || step.Name == "lockout" && strings.Contains(step.Finding, c.finding)
			}
			assert.True(t, found, "no lockout step %s: %s", c.mark, c.finding)
		})
	}
}

// TestAWrongConfigurationIsAReportToo: each variable with its remedy.
func TestAWrongConfigurationIsAReportToo(t *testing.T) {
	t.Parallel()
	r := runCheck(t, "http://ldap.example.org", []string{"LDAP_BASE_DN=people"}, "", "-json")
	require.Equal(t, exitUsage, r.code)
	failed := stepsOf(t, r.stdout, doctor.Failed)
	require.Len(t, failed, 2)
	for i, variable := range []string{"LDAP_URL", "LDAP_BASE_DN"} {
		assert.Equal(t, "configuration", failed[i].Name)
		assert.Contains(t, failed[i].Finding, variable+": ")
		assert.Contains(t, failed[i].Remedy, "for example "+variable+"=")
	}
}

func TestTheDoctorsUsage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		environ []string
		args    []string
		want    string
	}{
		"a password is somebody's":       {args: []string{"-password-stdin"}, want: "-password-stdin needs -user"},
		"a user has a name":              {args: []string{"-user", ""}, want: "-user must not be empty"},
		"a password is not empty":        {args: []string{"-user", "user0", "-password-stdin"}, want: "the password must not be empty"},
		"a wrong configuration is told":  {environ: []string{"LDAP_BASE_DN=people"}, want: "LDAP_BASE_DN: \"people\" is not a DN"},
		"a time of silence has a unit":   {args: []string{"-idle", "20"}, want: "invalid value"},
		"there is nothing but the flags": {args: []string{"now"}, want: `unexpected argument "now"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := runCheck(t, "ldap://127.0.0.1:1", c.environ, "", c.args...)
			assert.Equal(t, exitUsage, r.code)
			assert.Contains(t, r.stderr, c.want)
		})
	}
}
