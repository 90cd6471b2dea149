package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// loginRun is what one run of authsvc login came to.
type loginRun struct {
	code           int
	stdout, stderr string
}

// runLogin runs authsvc login with an input and with variables of the environment.
func runLogin(t *testing.T, input string, environ []string, args ...string) loginRun {
	t.Helper()
	return runLoginFrom(t, strings.NewReader(input), environ, args...)
}

func runLoginFrom(t *testing.T, input io.Reader, environ []string, args ...string) loginRun {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	var stdout, stderr strings.Builder
	cmd := exec.Command(self, append([]string{"login"}, args...)...)
	cmd.Env = append([]string{asProgram + "=1", "GORACE=atexit_sleep_ms=0"}, environ...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = input, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		require.ErrorAs(t, err, new(*exec.ExitError))
	}
	everything.Wrote("login of "+t.Name(), []byte(stdout.String()+stderr.String()))
	return loginRun{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func TestLogin_ExitsAsTheStatusSays(t *testing.T) {
	t.Parallel()
	codes := []int{0, 1, 1, 1, 1, 1, 1, 1, 1, 75, 78, 75, 75, 75, 78, 78, 78}
	status, code := 0, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"status":%d,"code":%q,"request_id":"R1","user":{"username":"ali\u001bce"}}`, status, code)
	}))
	t.Cleanup(server.Close)
	outcomes := auth.Outcomes()
	require.Len(t, codes, len(outcomes)+1) // and one that is not known yet
	for want := range codes {
		status, code = want, "of_the_future"
		if want < len(outcomes) {
			code = outcomes[want].Code()
		}
		got := runLogin(t, "alice\npassword\n", nil, "-url", server.URL)
		assert.Equal(t, codes[want], got.code, "status %d", want)
		if want == 0 {
			assert.Equal(t, loginRun{stdout: "accepted: ali\\x1bce\n"}, got)
			continue
		}
		assert.Empty(t, got.stdout)
		assert.Equal(t, 1, strings.Count(got.stderr, "\n"), "not one line: %s", got.stderr)
		assert.Contains(t, got.stderr, fmt.Sprintf("(status %d, request ID R1)", want))
		asJSON := runLogin(t, "alice\npassword\n", nil, "-url", server.URL, "-json")
		assert.Equal(t, loginRun{code: codes[want], stdout: fmt.Sprintf(`{"status":%d,"code":%q,"request_id":"R1","user":{"username":"ali\u001bce"}}`, want, code) + "\n"}, asJSON)
	}
}

// TestLogin_AtTheRealService has a key or a certificate, and trusts an authority of its own.
func TestLogin_AtTheRealService(t *testing.T) {
	t.Parallel()
	f := startFrontage(t)
	f.write("key", shopKey+"\n")
	f.write("wrong-key", "another-key-than-the-services")
	everything.Secret("another-key-than-the-services", ldaptest.Password(1), "wr0ng-w0rd")
	cert := f.callers.Issue(t, ldaptest.CertConfig{Client: true})
	url := strings.Replace(f.p.url, "127.0.0.1", "localhost", 1)
	at := func(args ...string) []string { return append([]string{"-url", url, "-u", "user1"}, args...) }
	trusting := func(args ...string) []string { return at(append([]string{"-ca-file", f.ca.File()}, args...)...) }

	for name, c := range map[string]struct {
		input string
		args  []string
		code  int
		says  string
	}{
		"a key":                  {ldaptest.Password(1), trusting("-api-key-file", f.path("key")), 0, "accepted: user1"},
		"a certificate":          {ldaptest.Password(1), trusting("-cert-file", cert.CertFile, "-cert-key-file", cert.KeyFile), 0, "accepted: user1"},
		"a wrong password":       {"wr0ng-w0rd", trusting("-api-key-file", f.path("key")), 1, "rejected: invalid password"},
		"neither":                {ldaptest.Password(1), trusting(), 78, "caller refused (status 15"},
		"a wrong key":            {ldaptest.Password(1), trusting("-api-key-file", f.path("wrong-key")), 78, "caller refused (status 15"},
		"an unknown authority":   {ldaptest.Password(1), at("-api-key-file", f.path("key")), 78, "-ca-file names the authorities to trust"},
		"a path that is not its": {ldaptest.Password(1), append(trusting("-api-key-file", f.path("key")), "-url", url+"/auth"), 78, "is -url that of the service"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := runLogin(t, c.input+"\n", nil, c.args...)
			assert.Equal(t, c.code, got.code, got)
			assert.Contains(t, got.stdout+got.stderr, c.says)
		})
	}
}

// TestLogin_TellsWhereTheUserIs: else all users of a PAM host or an Apache are one client to the
// throttle.
func TestLogin_TellsWhereTheUserIs(t *testing.T) {
	t.Parallel()
	var forwarded []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		forwarded = r.Header["X-Forwarded-For"]
		_, _ = io.WriteString(w, `{"status":0,"code":"ok"}`)
	}))
	t.Cleanup(server.Close)
	for _, c := range []struct {
		environ []string
		want    []string
	}{
		{nil, nil},
		{[]string{"PAM_RHOST=192.0.2.7"}, []string{"192.0.2.7"}},
		{[]string{"PAM_RHOST=fe80::1%eth0"}, []string{"fe80::1"}},
		{[]string{"PAM_RHOST=host.example.org"}, nil},
		{[]string{"PAM_RHOST=", "AUTHTYPE=PASS", "IP=192.0.2.9"}, nil},
		{[]string{"AUTHTYPE=PASS", "IP=192.0.2.9"}, []string{"192.0.2.9"}},
		{[]string{"IP=192.0.2.9"}, nil},
	} {
		require.Equal(t, 0, runLogin(t, "password", c.environ, "-url", server.URL, "-u", "alice").code)
		assert.Equal(t, c.want, forwarded, c.environ)
	}
}

func TestLogin_TakesThePasswordAsPAMGivesIt(t *testing.T) {
	t.Parallel()
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		body = string(b)
		_, _ = io.WriteString(w, `{"status":0,"code":"ok"}`)
	}))
	t.Cleanup(server.Close)
	require.Equal(t, 0, runLogin(t, "pass\nword\x00", []string{"PAM_USER=alice"}, "-url", server.URL).code)
	assert.JSONEq(t, `{"username":"alice","password":"pass\nword"}`, body)
	require.Equal(t, 0, runLogin(t, "password\x00", []string{"PAM_USER=alice"}, "-url", server.URL, "-u", "bob").code)
	assert.JSONEq(t, `{"username":"bob","password":"password"}`, body)
}

func TestLogin_BoundsWhatItReads(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close() // nobody writes to it
	got := runLoginFrom(t, r, nil, "-timeout", "50ms")
	assert.Equal(t, 64, got.code)
	assert.Equal(t, "authsvc: login: standard input: must end within 50ms, which -timeout sets\n", got.stderr)

	got = runLogin(t, strings.Repeat("x", 4097), nil)
	assert.Equal(t, 64, got.code)
	assert.Equal(t, "authsvc: login: standard input: must be at most 4096 bytes\n", got.stderr)
	got = runLogin(t, "password\n", nil, "-u", strings.Repeat("x", 257))
	assert.Equal(t, 1, got.code)
	assert.Equal(t, "authsvc: login: rejected: username: must be 1 to 256 bytes\n", got.stderr)
}
