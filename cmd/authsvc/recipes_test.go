package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recipe is a file of deploy for a program that asks authsvc login, made ready to run here: its
// program, its URL and its files are replaced by those of a test.
func (f *frontage) recipe(name string, replacements ...string) string {
	f.t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(deployed + name))
	require.NoError(f.t, err)
	f.write("key", shopKey+"\n")
	everything.secret(shopKey)
	recipe := string(text)
	replacements = append([]string{
		"/usr/local/bin/authsvc", f.program(),
		"https://authsvc.example.org:8080", strings.Replace(f.p.url, "127.0.0.1", "localhost", 1),
		"/etc/authsvc/key", f.path("key"), "/etc/authsvc/ca.pem", f.ca.File(),
	}, replacements...)
	for i := 0; i < len(replacements); i += 2 {
		require.Contains(f.t, recipe, replacements[i])
		recipe = strings.ReplaceAll(recipe, replacements[i], replacements[i+1])
	}
	return recipe
}

// program is a command that runs this test binary as authsvc, for programs that pass on none of
// their environment.
func (f *frontage) program() string {
	f.t.Helper()
	self, err := os.Executable()
	require.NoError(f.t, err)
	path := f.path("authsvc")
	script := "#!/bin/sh\n" + asProgram + "=1 GORACE=atexit_sleep_ms=0 exec '" + self + "' \"$@\"\n"
	require.NoError(f.t, os.WriteFile(path, []byte(script), 0o700))
	return path
}

// pamLogin logs in with pamtester at a PAM service in f's files, which libpam_wrapper makes libpam
// read instead of /etc/pam.d. It reports whether PAM accepted, and what the user saw.
func (f *frontage) pamLogin(user, password string) (accepted bool, saw string) {
	f.t.Helper()
	wrapper, err := filepath.Glob("/usr/lib/*/libpam_wrapper.so")
	require.NoError(f.t, err)
	require.Len(f.t, wrapper, 1, "run scripts/install-test-deps as root")
	cmd := exec.Command(tool(f.t, "pamtester"), "-I", "rhost=192.0.2.7", "mail", user, "authenticate", "acct_mgmt", "open_session")
	cmd.Env = []string{"LD_PRELOAD=" + wrapper[0], "PAM_WRAPPER=1", "PAM_WRAPPER_SERVICE_DIR=" + f.path("pam.d")}
	cmd.Stdin = strings.NewReader(password + "\n")
	out, err := cmd.CombinedOutput()
	everything.wrote("pamtester", out)
	if err != nil {
		require.ErrorAs(f.t, err, new(*exec.ExitError))
	}
	return err == nil, string(out)
}

// syslogLine is what libpam_wrapper prints for a line of the system's log.
var syslogLine = regexp.MustCompile(`PWRAP_ERROR\[.* - SYSLOG\(.*`)

// TestRecipe_PAM runs deploy/pam with the real PAM and its pam_exec.
func TestRecipe_PAM(t *testing.T) {
	t.Parallel()
	f := startFrontageTo(t, ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10}), "HTTP_TRUSTED_PROXIES=127.0.0.1,::1")
	require.NoError(t, os.Mkdir(f.path("pam.d"), 0o700))
	f.write("pam.d/other", "auth required pam_deny.so\naccount required pam_deny.so\n")
	f.write("pam.d/mail", f.recipe("pam/authsvc"))
	everything.secret(ldaptest.Password(1), ldaptest.Password(2), "wr0ng-w0rd")

	accepted, saw := f.pamLogin("user1", ldaptest.Password(1))
	require.True(t, accepted, saw)
	assert.Contains(t, f.p.logged(), `"client":"192.0.2.7"`, "the throttle takes all users for one client")
	refused := func(code int, user, password string) {
		t.Helper()
		accepted, saw := f.pamLogin(user, password)
		assert.False(t, accepted, user)
		// libpam_wrapper shows what goes to the system's log; users see the rest.
		logged := syslogLine.FindString(saw)
		assert.Contains(t, logged, fmt.Sprintf(" failed: exit code %d", code))
		assert.NotContains(t, syslogLine.ReplaceAllString(saw, ""), "exit code")
	}
	refused(exitRejected, "user1", "wr0ng-w0rd")
	refused(exitRejected, "user1", ldaptest.Password(2))
	refused(exitRejected, "user1", "")
	refused(exitRejected, "nobody", ldaptest.Password(1))
	refused(exitRejected, "user*", ldaptest.Password(1))
	f.write("key", "another-key-than-the-services")
	refused(exitSetup, "user1", ldaptest.Password(1))
	f.write("key", shopKey)
	f.p.end(t)
	refused(exitTryAgain, "user1", ldaptest.Password(1))
}
