package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"maps"
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

// recipe is a file of deploy, made ready to run here: its program, its URL, its files and what
// replacements name are replaced by those of a test.
func (f *frontage) recipe(name string, replacements map[string]string) string {
	f.t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(deployed + name))
	require.NoError(f.t, err)
	f.write("key", shopKey+"\n")
	f.copy("ca.pem", f.ca.File())
	everything.Secret(shopKey)
	recipe := strings.NewReplacer(
		"/usr/local/bin/authsvc", f.path("authsvc"),
		"https://authsvc.example.org:8080", strings.Replace(f.p.url, "127.0.0.1", "localhost", 1),
		"/etc/authsvc/key", f.path("key"), "/etc/authsvc/ca.pem", f.path("ca.pem"),
	).Replace(string(text))
	for from, to := range replacements {
		require.Contains(f.t, recipe, from)
		recipe = strings.ReplaceAll(recipe, from, to)
	}
	return recipe
}

// program puts a command into f's files that runs this test binary as authsvc, for programs that
// pass on none of their environment.
func (f *frontage) program() {
	f.t.Helper()
	self, err := os.Executable()
	require.NoError(f.t, err)
	require.NoError(f.t, os.Link(self, f.path("authsvc.test"))) // which another user than the tests' can run
	script := "#!/bin/sh\n" + asProgram + "=1 GORACE=atexit_sleep_ms=0 exec '" + f.path("authsvc.test") + "' \"$@\"\n"
	require.NoError(f.t, os.WriteFile(f.path("authsvc"), []byte(script), 0o700))
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
	everything.Wrote("pamtester", out)
	if err != nil {
		require.ErrorAs(f.t, err, new(*exec.ExitError))
	}
	return err == nil, string(out)
}

// A user whose password has what programs on the way could change. Its beginning could be taken for
// the end of a name.
const (
	oddUser     = "odd"
	oddPassword = `x:y "p\'ä$& <%2f`
)

// recipesSlapd is a directory with the odd user.
func recipesSlapd(t *testing.T) *ldaptest.Slapd {
	t.Helper()
	everything.Secret(oddPassword, ldaptest.Password(1), ldaptest.Password(2), "wr0ng-w0rd")
	return ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10, LDIF: fmt.Sprintf(
		"dn: uid=%[1]s,%[2]s\nobjectClass: inetOrgPerson\nuid: %[1]s\ncn: Odd\nsn: Odd\nuserPassword:: %[3]s\n",
		oddUser, ldaptest.PeopleDN, base64.StdEncoding.EncodeToString([]byte(oddPassword)))})
}

// syslogLine is what libpam_wrapper prints for a line of the system's log.
var syslogLine = regexp.MustCompile(`PWRAP_ERROR\[.* - SYSLOG\(.*`)

// TestRecipe_PAM runs deploy/pam with the real PAM and its pam_exec.
func TestRecipe_PAM(t *testing.T) {
	t.Parallel()
	f := startFrontageTo(t, recipesSlapd(t), "HTTP_TRUSTED_PROXIES=127.0.0.1,::1")
	require.NoError(t, os.Mkdir(f.path("pam.d"), 0o700))
	f.write("pam.d/other", "auth required pam_deny.so\naccount required pam_deny.so\n")
	f.program()
	f.write("pam.d/mail", f.recipe("pam/authsvc", nil))

	accepted, saw := f.pamLogin("user1", ldaptest.Password(1))
	require.True(t, accepted, saw)
	assert.Contains(t, f.p.logged(), `"client":"192.0.2.7"`, "the throttle takes all users for one client")
	accepted, saw = f.pamLogin(oddUser, oddPassword)
	require.True(t, accepted, saw)
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

// public lets every user read and run files, if the tests run as root and what they start as
// another user.
func (f *frontage) public(names ...string) {
	f.t.Helper()
	for _, name := range names {
		if os.Geteuid() == 0 {
			require.NoError(f.t, os.Chmod(f.path(name), 0o755)) //nolint:gosec // that is what it is for
		}
	}
}

// apache is an Apache with deploy/apache in front of an application that answers with the headers
// it got.
type apache struct {
	f    *frontage
	url  string
	user http.Client // at an address of its own
}

// modules are what the recipe needs. docs/scripts.md names those that Debian does not load anyway.
var modules = []string{"mpm_prefork", "authn_core", "auth_basic", "authz_core", "authz_user", "authnz_external", "headers", "proxy", "proxy_http"}

// startApache starts an Apache. Where the tests run as root, its children run as another user, who
// may then read f's files.
func startApache(t *testing.T, f *frontage) *apache {
	t.Helper()
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.Header.Write(w)
	}))
	t.Cleanup(application.Close)
	f.program()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	var conf strings.Builder
	for _, name := range modules {
		fmt.Fprintf(&conf, "LoadModule %[1]s_module /usr/lib/apache2/modules/mod_%[1]s.so\n", name)
	}
	fmt.Fprintf(&conf, "ServerRoot %[1]s\nDefaultRuntimeDir %[1]s\nPidFile %[1]s/pid\nErrorLog %[1]s/error.log\nServerName localhost\nListen %[2]s\nUser www-data\nGroup www-data\n", f.files, addr)
	conf.WriteString(f.recipe("apache/authsvc.conf", map[string]string{"http://127.0.0.1:3000": application.URL}))
	f.write("apache.conf", conf.String())
	f.public("..", "authsvc", "authsvc.test", "key", "ca.pem")
	require.NoError(t, l.Close())
	cmd := exec.Command("/usr/sbin/apache2", "-D", "FOREGROUND", "-f", f.path("apache.conf"))
	said := everything.Writer("output of apache", os.Stderr)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // at its end it kills its process group
	require.NoError(t, cmd.Start(), "run scripts/install-test-deps as root")
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	a := &apache{f: f, url: "http://" + addr, user: http.Client{Transport: &http.Transport{DialContext: from.DialContext, DisableKeepAlives: true}}}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // its children end with it
		_ = cmd.Wait()                          // by a signal
		if t.Failed() {
			t.Log(a.logged())
		}
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
func (a *apache) get(user, password string, header http.Header) (status int, got string) {
	a.f.t.Helper()
	req, err := http.NewRequest(http.MethodGet, a.url+"/page", nil)
	require.NoError(a.f.t, err)
	maps.Copy(req.Header, header)
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
	f := startFrontageTo(t, recipesSlapd(t), "HTTP_TRUSTED_PROXIES=127.0.0.1,::1")
	a := startApache(t, f)

	status, got := a.get("user1", ldaptest.Password(1), http.Header{
		"Remote-User": {"user2"}, "remote-user": {"user2"}, "Remote_User": {"user2"}, "REMOTE_USER": {"user2"}, "Remote.User": {"user2"},
		"Remote-Groups": {"user2"}, "Remote_Groups": {"user2"}, "Remote.Groups": {"user2"},
		"Connection": {"close, Remote-User"}, "X-Other": {"kept"},
	})
	require.Equal(t, http.StatusOK, status, got)
	assert.Contains(t, got, "Remote-User: user1\r\n")
	assert.Contains(t, got, "X-Other: kept\r\n")
	assert.NotContains(t, got, "user2", "the client's own headers reached the application")
	assert.NotContains(t, got, "Authorization", "the application gets the password")
	assert.Contains(t, f.p.logged(), `"client":"127.0.0.2"`, "the throttle takes all users for one client")

	status, got = a.get(oddUser, oddPassword, nil)
	require.Equal(t, http.StatusOK, status, got)

	refused := func(why, user, password string) {
		t.Helper()
		status, got := a.get(user, password, nil)
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
	f.public("key")
	refused("caller refused (status 15", "user1", ldaptest.Password(1))
	f.p.end(t)
	f.write("key", shopKey)
	f.public("key")
	refused("the service cannot be asked", "user1", ldaptest.Password(1))
}

// radiusConf is what a FreeRADIUS needs besides the recipe; Debian's configuration has it too.
const radiusConf = `
run_dir = DIR
libdir = /usr/lib/freeradius
log {
	destination = stdout
	auth = yes
}
security {
	allow_core_dumps = no
}
thread pool {
	start_servers = 2
	max_servers = 4
	min_spare_servers = 1
	max_spare_servers = 3
}
client localhost {
	ipaddr = 127.0.0.1
	secret = radius-secret
}
modules {
	always reject {
		rcode = reject
	}
	always handled {
		rcode = handled
	}
$INCLUDE module
}
$INCLUDE site
`

// startRadius starts a FreeRADIUS with deploy/freeradius and returns its address.
func startRadius(t *testing.T, f *frontage) (addr string) {
	t.Helper()
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	addr = l.LocalAddr().String()
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	f.write("radiusd.conf", strings.ReplaceAll(radiusConf, "DIR", f.files))
	f.write("module", f.recipe("freeradius/mods-available/authsvc", nil))
	f.write("site", f.recipe("freeradius/sites-available/authsvc", map[string]string{"ipaddr = *": "ipaddr = 127.0.0.1", "port = 1812": "port = " + port, "THE-KEY": shopKey}))
	require.NoError(t, l.Close())
	output, err := os.Create(f.path("radius.log"))
	require.NoError(t, err)
	logged := func() string {
		text, err := os.ReadFile(output.Name())
		require.NoError(t, err)
		return string(text)
	}
	cmd := exec.Command("/usr/sbin/freeradius", "-f", "-l", "stdout", "-d", f.files, "-D", "/usr/share/freeradius")
	cmd.Stdout, cmd.Stderr = output, output
	require.NoError(t, cmd.Start(), "run scripts/install-test-deps as root")
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // by a signal
		output.Close()
		if t.Failed() {
			t.Log(logged())
		}
	})
	ldaptest.Eventually(t, "FreeRADIUS is ready", func() bool { return strings.Contains(logged(), "Ready to process requests") })
	return addr
}

// radiusLogin returns what a RADIUS server answers: "Access-Accept", "Access-Reject", or "" for
// nothing.
func radiusLogin(t *testing.T, addr, user, password string) string {
	t.Helper()
	cmd := exec.Command(tool(t, "radclient"), "-r", "1", "-t", "2", addr, "auth", "radius-secret")
	cmd.Stdin = strings.NewReader(fmt.Sprintf("User-Name = %q, User-Password = %q\n", user, password))
	out, err := cmd.CombinedOutput()
	if err != nil {
		require.ErrorAs(t, err, new(*exec.ExitError))
	}
	return regexp.MustCompile("Received (Access-[A-Za-z]+)|$").FindStringSubmatch(string(out))[1]
}

// TestRecipe_FreeRADIUS runs deploy/freeradius with the real FreeRADIUS and its rlm_rest.
func TestRecipe_FreeRADIUS(t *testing.T) {
	t.Parallel()
	f := startFrontageTo(t, recipesSlapd(t), "AUTH_ALWAYS_200=true")
	addr := startRadius(t, f)

	require.Equal(t, "Access-Accept", radiusLogin(t, addr, "user1", ldaptest.Password(1)))
	require.Equal(t, "Access-Accept", radiusLogin(t, addr, oddUser, oddPassword))
	for _, c := range []struct{ user, password string }{
		{"user1", "wr0ng-w0rd"},
		{"user1", ""},
		{"user2", ldaptest.Password(1)},
		{"nobody", ldaptest.Password(1)},
		{"user3:" + ldaptest.Password(3), "x"}, // no secret: FreeRADIUS logs names
		{oddUser + ":x", strings.TrimPrefix(oddPassword, "x:")},
		{"user1:", ldaptest.Password(1)},
		{"user%{User-Name}", ldaptest.Password(1)},
	} {
		assert.Equal(t, "Access-Reject", radiusLogin(t, addr, c.user, c.password), c.user)
	}
	f.p.end(t)
	assert.Empty(t, radiusLogin(t, addr, "user2", ldaptest.Password(2)), "nobody could say, but there is an answer")
}
