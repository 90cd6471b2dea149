package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
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
	require.NoError(f.t, os.Link(self, f.path("authsvc.test"))) // which another user than the tests' can run
	path := f.path("authsvc")
	script := "#!/bin/sh\n" + asProgram + "=1 GORACE=atexit_sleep_ms=0 exec '" + f.path("authsvc.test") + "' \"$@\"\n"
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

// apache is an Apache with deploy/apache in front of an application that answers with the headers
// it got.
type apache struct {
	f    *frontage
	url  string
	user http.Client // at an address of its own
}

// modules are what the recipe needs. docs/scripts.md names those that Debian does not load anyway.
var modules = []string{"mpm_event", "authn_core", "auth_basic", "authz_core", "authz_user", "authnz_external", "headers", "proxy", "proxy_http"}

// startApache starts an Apache. Where the tests run as root, its children run as another user, who
// may then read f's files.
func startApache(t *testing.T, f *frontage) *apache {
	t.Helper()
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.Header.Write(w)
	}))
	t.Cleanup(application.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	var conf strings.Builder
	for _, name := range modules {
		fmt.Fprintf(&conf, "LoadModule %[1]s_module /usr/lib/apache2/modules/mod_%[1]s.so\n", name)
	}
	f.copy("ca.pem", f.ca.File())
	fmt.Fprintf(&conf, "ServerRoot %[1]s\nDefaultRuntimeDir %[1]s\nPidFile %[1]s/pid\nErrorLog %[1]s/error.log\nServerName localhost\nListen %[2]s\nUser www-data\nGroup www-data\n", f.files, addr)
	conf.WriteString(f.recipe("apache/authsvc.conf", "http://127.0.0.1:3000", application.URL))
	f.write("apache.conf", strings.ReplaceAll(conf.String(), f.ca.File(), f.path("ca.pem")))
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chmod(filepath.Dir(f.files), 0o711))
		for _, name := range []string{"authsvc", "authsvc.test", "key", "ca.pem"} {
			require.NoError(t, os.Chmod(f.path(name), 0o755))
		}
	}
	require.NoError(t, l.Close())
	cmd := exec.Command("/usr/sbin/apache2", "-D", "FOREGROUND", "-f", f.path("apache.conf"))
	said := everything.writer("output of apache", os.Stderr)
	cmd.Stdout, cmd.Stderr = said, said
	require.NoError(t, cmd.Start(), "run scripts/install-test-deps as root")
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	a := &apache{f: f, url: "http://" + addr, user: http.Client{Transport: &http.Transport{DialContext: from.DialContext, DisableKeepAlives: true}}}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // its children end with it
		_ = cmd.Wait()                          // by a signal
		everything.wrote("log of apache", []byte(a.logged()))
	})
	ldaptest.Eventually(t, "Apache answers", func() bool {
		resp, err := a.user.Get(a.url)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return true
	})
	return a
}

func (a *apache) logged() string {
	a.f.t.Helper()
	log, err := os.ReadFile(a.f.path("error.log"))
	require.NoError(a.f.t, err)
	return string(log)
}

// get asks for the application, with a name and a password and with headers of the client's own. It
// returns the HTTP status and what the application got.
func (a *apache) get(user, password string, header ...string) (status int, got string) {
	a.f.t.Helper()
	req, err := http.NewRequest(http.MethodGet, a.url+"/page", nil)
	require.NoError(a.f.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header[header[i]] = append(req.Header[header[i]], header[i+1])
	}
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	resp, err := a.user.Do(req)
	require.NoError(a.f.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(a.f.t, err)
	return resp.StatusCode, string(body)
}

// TestRecipe_Apache runs deploy/apache with the real Apache and its mod_authnz_external.
func TestRecipe_Apache(t *testing.T) {
	t.Parallel()
	f := startFrontageTo(t, ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10}), "HTTP_TRUSTED_PROXIES=127.0.0.1,::1")
	a := startApache(t, f)
	everything.secret(ldaptest.Password(1), ldaptest.Password(2), "wr0ng-w0rd")

	status, got := a.get("user1", ldaptest.Password(1), "Remote-User", "user2", "remote-user", "user2", "Remote_User", "user2", "X-Other", "kept")
	require.Equal(t, http.StatusOK, status, got)
	assert.Contains(t, got, "Remote-User: user1\r\n")
	assert.Contains(t, got, "X-Other: kept\r\n")
	assert.NotContains(t, got, "user2", "the client's own headers reached the application")
	assert.NotContains(t, got, "Authorization", "the application gets the password")
	assert.Contains(t, f.p.logged(), `"client":"127.0.0.2"`, "the throttle takes all users for one client")

	refused := func(why, user, password string) {
		t.Helper()
		status, got := a.get(user, password)
		assert.Equal(t, http.StatusUnauthorized, status, user)
		assert.NotContains(t, got, "User-Agent", "the application was asked")
		if why != "" {
			ldaptest.Eventually(t, "Apache logs "+why, func() bool { return strings.Contains(a.logged(), why) })
		}
	}
	refused("", "", "")
	refused("rejected: invalid password", "user1", "wr0ng-w0rd")
	refused("rejected: password: must be 1 to 1024 bytes", "user1", "")
	refused("rejected: invalid user", "nobody", ldaptest.Password(1))
	// Apache logs names, so the password in this one is no secret.
	refused("must end after two lines", "user3\n"+ldaptest.Password(3), "x")
	refused("must end after two lines", "user4\n"+ldaptest.Password(4), "")
	refused("rejected: username", " user1", ldaptest.Password(1))
	f.write("key", "another-key-than-the-services")
	require.NoError(t, os.Chmod(f.path("key"), 0o644))
	refused("caller refused (status 15", "user1", ldaptest.Password(1))
	f.p.end(t)
	f.write("key", shopKey)
	require.NoError(t, os.Chmod(f.path("key"), 0o644))
	refused("the service cannot be asked", "user1", ldaptest.Password(1))
}
