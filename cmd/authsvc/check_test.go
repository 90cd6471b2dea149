package main

import (
	"bytes"
	"encoding/json"
	"errors"
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
	cmd.Stdout = everything.Writer("stdout of "+t.Name(), &out)
	cmd.Stderr = everything.Writer("stderr of "+t.Name(), &problems)
	cmd.Env = append([]string{
		asProgram + "=1", "LDAP_URL=" + url, "LDAP_BASE_DN=" + ldaptest.PeopleDN,
		"LDAP_BIND_DN=" + ldaptest.ServiceDN, "LDAP_BIND_PASSWORD=" + ldaptest.ServicePassword,
	}, environ...)
	everything.Secret(ldaptest.ServicePassword, strings.TrimSuffix(stdin, "\n"))
	for _, e := range environ {
		if password, ok := strings.CutPrefix(e, "LDAP_BIND_PASSWORD="); ok {
			everything.Secret(password)
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

// stepsOf returns the steps with a given mark from a report.
func stepsOf(t *testing.T, report string, mark doctor.Mark) []doctor.Step {
	t.Helper()
	var r doctor.Report
	require.NoError(t, json.Unmarshal([]byte(report), &r))
	return slices.DeleteFunc(r.Steps, func(s doctor.Step) bool { return s.Mark != mark })
}

// TestCheck_ExaminesWithTheServicesEnvironment and its flags: the doctor's own tests show what it
// finds.
func TestCheck_ExaminesWithTheServicesEnvironment(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		Users: 1, TLS: true, CertLife: 90 * 24 * time.Hour, ExtraGlobal: "moduleload ppolicy",
		ExtraDatabase: "overlay ppolicy\nppolicy_default \"cn=policy," + ldaptest.BaseDN + "\"\nppolicy_use_lockout",
		LDIF:          ldaptest.PolicyLDIF() + "dn: cn=staff," + ldaptest.GroupsDN + "\nobjectClass: groupOfNames\ncn: staff\nmember: " + ldaptest.UserDN(0) + "\n",
	})
	environ := []string{"LDAP_START_TLS=true", "LDAP_CA_FILE=" + s.CA().File(), "LDAP_TLS_SERVER_NAME=localhost"}
	groups := []string{"LDAP_GROUP_BASE_DN=" + ldaptest.GroupsDN, "LDAP_REQUIRED_GROUPS=staff"}
	password := []string{"-user", "user0", "-password-stdin"}
	for name, c := range map[string]struct {
		environ []string
		stdin   string
		args    []string
		step    string
		mark    doctor.Mark
		fact    string // in the step
	}{
		"StartTLS":                 {step: "starttls", mark: doctor.OK},
		"the authority":            {step: "tls", mark: doctor.OK, fact: "CN=ldaptest CA"},
		"the server's name":        {environ: []string{"LDAP_TLS_SERVER_NAME=ldap.example.net"}, step: "tls", mark: doctor.Failed, fact: "ldap.example.net"},
		"the service password":     {environ: []string{"LDAP_BIND_PASSWORD=not-the-one"}, step: "service bind", mark: doctor.Failed, fact: ldaptest.ServiceDN},
		"the preset":               {environ: []string{"LDAP_PRESET=389ds"}, step: "root DSE", mark: doctor.Warn, fact: "LDAP_PRESET=openldap"},
		"the base DN":              {environ: []string{"LDAP_BASE_DN=ou=nowhere," + ldaptest.BaseDN}, step: "base DN", mark: doctor.Failed, fact: "ou=nowhere," + ldaptest.BaseDN},
		"the filter":               {environ: []string{"LDAP_USER_FILTER=(mail={username})"}, step: "user filter", mark: doctor.OK, fact: "(mail={username})"},
		"the groups":               {environ: groups, step: "groups", mark: doctor.OK, fact: "staff"},
		"the throttle":             {step: "lockout", mark: doctor.Warn, fact: "10"},
		"the throttle of clients":  {environ: []string{"AUTH_THROTTLE_FAILURES=2"}, step: "lockout", mark: doctor.Warn, fact: "100"},
		"the throttle, off":        {environ: []string{"AUTH_THROTTLE_FAILURES=0", "AUTH_THROTTLE_ACCOUNT_FAILURES=0"}, step: "lockout", mark: doctor.Warn},
		"the throttle of accounts": {environ: []string{"AUTH_THROTTLE_FAILURES=0", "AUTH_THROTTLE_ACCOUNT_FAILURES=2"}, step: "lockout", mark: doctor.OK},
		"the pool":                 {environ: []string{"LDAP_POOL_MAX_CONNS=7"}, step: "connection limits", mark: doctor.Skipped, fact: "LDAP_POOL_MAX_CONNS=7"},
		"all replicas": {environ: []string{"LDAP_POOL_MAX_CONNS=7"}, args: []string{"-replicas", "3", "-user", "user0"}, step: "connection limits", mark: doctor.Skipped,
			fact: "all replicas (3) open up to 21 connections at this server (LDAP_POOL_MAX_CONNS=7 each)"},
		"a user":                      {environ: groups, args: []string{"-user", "user0"}, step: "user", mark: doctor.OK, fact: "groups: staff"},
		"a user that is not there":    {args: []string{"-user", "nobody"}, step: "user", mark: doctor.Failed, fact: "status 1"},
		"a password":                  {stdin: ldaptest.Password(0) + "\n", args: password, step: "password", mark: doctor.OK, fact: ldaptest.UserDN(0)},
		"a password that is mistaken": {stdin: "mistaken-password\n", args: password, step: "password", mark: doctor.Failed, fact: "status 2"},
		"a time of silence": {environ: []string{"LDAP_POOL_MAX_IDLE_TIME=7s"}, args: []string{"-idle", "50ms"},
			step: "idle", mark: doctor.OK, fact: "7s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			environ, code := append(slices.Clone(environ), c.environ...), exitOK
			if c.mark == doctor.Failed {
				code = exitFailed
			}
			r := runCheck(t, s.URL(), environ, c.stdin, append(slices.Clone(c.args), "-json")...)
			require.Equal(t, code, r.code)
			steps := stepsOf(t, r.stdout, c.mark)
			i := slices.IndexFunc(steps, func(s doctor.Step) bool { return s.Name == c.step })
			require.GreaterOrEqual(t, i, 0, "no step %q", c.step)
			assert.Contains(t, steps[i].Finding+steps[i].Remedy+strings.Join(steps[i].Details, "\n"), c.fact)

			r = runCheck(t, s.URL(), environ, c.stdin, c.args...)
			require.Equal(t, code, r.code)
			assert.NotContains(t, r.stdout, "\x1b", "colours where there is no terminal")
			assert.Equal(t, code == exitOK, strings.Contains(r.stdout, "\nno check failed\n"))
			assert.Equal(t, code == exitFailed, strings.Contains(r.stdout, "\nFAILED "))
			assert.Equal(t, c.step == "idle", strings.HasPrefix(r.stderr, s.URL()+": "), "progress is told where something takes long")
		})
	}
}

// TestDoctor_ReportsAWrongConfiguration: each variable with its remedy.
func TestDoctor_ReportsAWrongConfiguration(t *testing.T) {
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

func TestDoctor_Usage(t *testing.T) {
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
		"replicas are none":              {args: []string{"-replicas", "0"}, want: `invalid value "0" for flag -replicas: must be a whole number from 1 to 1000000`},
		"replicas are fewer than none":   {args: []string{"-replicas", "-3"}, want: `invalid value "-3" for flag -replicas: must be a whole number`},
		"replicas are a part of one":     {args: []string{"-replicas", "1.5"}, want: `invalid value "1.5" for flag -replicas: must be a whole number`},
		"replicas are not a number":      {args: []string{"-replicas", ""}, want: `invalid value "" for flag -replicas: must be a whole number`},
		"replicas are countless":         {args: []string{"-replicas", "1000001"}, want: `invalid value "1000001" for flag -replicas: must be a whole number`},
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
