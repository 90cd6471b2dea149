package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
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

// runCheck runs it as a process of its own, against a directory at url.
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

// closedAddr is where nothing listens.
func closedAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

// tlsDirectory is a directory whose certificate is as cfg has it.
func tlsDirectory(t *testing.T, ca *ldaptest.CA, cfg ldaptest.CertConfig) string {
	t.Helper()
	config := ca.ServerTLS(t)
	config.Certificates[0] = ca.Issue(t, cfg).TLS
	s := ldaptest.NewServer(t, ldaptest.NewDirectory().Handle, ldaptest.WithTLS(config))
	return s.URL()
}

// stepsOf reads the steps with a mark from a report.
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

func TestTheDoctorFindsAllWell(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		Users: 2, TLS: true,
		LDIF: "dn: cn=staff," + ldaptest.GroupsDN + "\nobjectClass: groupOfNames\ncn: staff\nmember: " + ldaptest.UserDN(0) + "\n",
	})
	environ := []string{"LDAP_CA_FILE=" + s.CA().File(), "LDAP_GROUP_BASE_DN=" + ldaptest.GroupsDN, "LDAP_REQUIRED_GROUPS=staff"}
	for name, urls := range map[string]string{
		"over TLS": s.TLSURL(), "in the clear on this machine": s.URL(), "over a socket": s.LDAPIURL(), "at two servers": s.URL() + "," + s.TLSURL(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := runCheck(t, urls, environ, ldaptest.Password(0)+"\n", "-user", "user0", "-password-stdin")
			require.Equal(t, exitOK, r.code)
			assert.Contains(t, r.stdout, "\nall well")
			assert.Contains(t, r.stdout, "OpenLDAP; preset openldap fits")
			assert.Contains(t, r.stdout, `"user0" may log in as `+ldaptest.UserDN(0))
			assert.Contains(t, r.stdout, "groups: staff")
		})
	}
}

func TestTheDoctorTriesAPasswordOnceAndExplainsTheVerdict(t *testing.T) {
	t.Parallel()
	first, second := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1}), ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	r := runCheck(t, first.URL()+","+second.URL(), nil, "mistaken-password\n", "-user", "user0", "-password-stdin")
	require.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.stdout, "status 2, invalid password")
	binds := first.LogCount(`BIND dn="`+ldaptest.UserDN(0)+`" method=128`) + second.LogCount(`BIND dn="`+ldaptest.UserDN(0)+`" method=128`)
	assert.Equal(t, 1, binds, "binds as the user")
}

// TestTheDoctorTriesAServicePasswordOnce where it is wrong: each try counts against the account.
func TestTheDoctorTriesAServicePasswordOnce(t *testing.T) {
	t.Parallel()
	first, second := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{}), ldaptest.StartSlapd(t, ldaptest.SlapdConfig{})
	r := runCheck(t, first.URL()+","+second.URL(), []string{"LDAP_BIND_PASSWORD=not-the-one"}, "", "-user", "user0", "-idle", "50ms")
	require.Equal(t, exitFailed, r.code)
	line := `BIND dn="` + ldaptest.ServiceDN + `" method=128`
	assert.Equal(t, 1, first.LogCount(line)+second.LogCount(line), "binds as the service identity")
	assert.Contains(t, r.stdout, "not tried: "+first.URL()+" refused the same password")
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
		"one client can lock anybody out":           {nil, doctor.Warn, "one client may try 10: it can lock anybody out"},
		"several clients can":                       {[]string{"AUTH_THROTTLE_FAILURES=2"}, doctor.Warn, "several clients together may try 100"},
		"the throttle is off":                       {[]string{"AUTH_THROTTLE_FAILURES=0", "AUTH_THROTTLE_ACCOUNT_FAILURES=0"}, doctor.Warn, "the throttle is off"},
		"nobody can, for we stop before that":       {[]string{"AUTH_THROTTLE_FAILURES=2", "AUTH_THROTTLE_ACCOUNT_FAILURES=2"}, doctor.OK, "after 3 failures"},
		"nobody can, by the account's limit though": {[]string{"AUTH_THROTTLE_FAILURES=0", "AUTH_THROTTLE_ACCOUNT_FAILURES=2"}, doctor.OK, "we stop before"},
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

// TestTheDoctorMeasuresWhenQuietConnectionsAreCut by the server itself, and by something between that says nothing.
func TestTheDoctorMeasuresWhenQuietConnectionsAreCut(t *testing.T) {
	t.Parallel()
	cuts := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1, IdleTimeout: 2 * time.Second})
	lasts := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	between := ldaptest.NewProxy(t, lasts.Addr())
	between.SetFaults(ldaptest.Faults{IdleDrop: 2500 * time.Millisecond})
	for name, c := range map[string]struct{ url, finding, remedy string }{
		"by the server":             {cuts.URL(), "closes connections that are quiet for ", "LDAP_POOL_MAX_IDLE_TIME="},
		"silently, between":         {between.URL(), "drops connections silently that are quiet for a time between 2.4s and 3.2s", "LDAP_POOL_MAX_IDLE_TIME=1.9s"},
		"by nobody within the time": {lasts.URL(), "quiet connections live for 8s at the least", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := runCheck(t, c.url, []string{"LDAP_REQUEST_TIMEOUT=1s"}, "", "-idle", "8s", "-json")
			require.Equal(t, exitOK, r.code)
			var idle doctor.Step
			for _, mark := range []doctor.Mark{doctor.OK, doctor.Warn} {
				for _, step := range stepsOf(t, r.stdout, mark) {
					if step.Name == "idle" {
						idle = step
					}
				}
			}
			assert.Contains(t, idle.Finding, c.finding)
			assert.Contains(t, idle.Remedy, c.remedy)
			assert.Contains(t, r.stderr, "of silence", "progress")
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
		"a password is not empty":        {args: []string{"-user", "user0", "-password-stdin"}, want: "it is empty"},
		"a wrong configuration is told":  {environ: []string{"LDAP_BASE_DN=people"}, want: "LDAP_BASE_DN: \"people\" is not a DN"},
		"a time of silence has a unit":   {args: []string{"-idle", "20"}, want: "invalid value"},
		"there is nothing but the flags": {args: []string{"now"}, want: `unexpected "now"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := runCheck(t, "ldap://127.0.0.1:1", c.environ, "", c.args...)
			assert.Equal(t, exitUsage, r.code)
			assert.Contains(t, r.stderr, c.want)
		})
	}
}
