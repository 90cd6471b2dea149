package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"authsvc/internal/doctor"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startNginxTLS runs the recipe for nginx with TLS until the test ends, in front of an application
// that answers with the headers it got, and returns its URL.
func startNginxTLS(t *testing.T, p *process, ca *ldaptest.CA) string {
	t.Helper()
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = r.Header.Write(w) }))
	t.Cleanup(application.Close)
	text, err := os.ReadFile("../../deploy/nginx/authsvc.conf")
	require.NoError(t, err)
	dir, listen, cert := t.TempDir(), ldaptest.FreeAddr(t), ca.Issue(t, ldaptest.CertConfig{})
	recipe := strings.NewReplacer(
		"listen 8000;", "listen "+listen+" ssl; ssl_certificate "+cert.CertFile+"; ssl_certificate_key "+cert.KeyFile+";",
		"127.0.0.1:8080", strings.TrimPrefix(p.url, "http://"), "127.0.0.1:3000", strings.TrimPrefix(application.URL, "http://"),
	).Replace(string(text))
	main := "pid nginx.pid; daemon off; error_log stderr warn; worker_processes 1;\n"
	if os.Getuid() == 0 {
		main += "user root;\n" // who owns the folder
	}
	main += "events {}\nhttp {\n access_log off;\n"
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		main += " " + kind + "_temp_path " + kind + ";\n"
	}
	file := filepath.Join(dir, "nginx.conf")
	require.NoError(t, os.WriteFile(file, []byte(main+recipe+"}\n"), 0o600)) //nolint:gosec // in the test's own folder
	cmd := exec.Command("/usr/sbin/nginx", "-e", "stderr", "-p", dir, "-c", file)
	said := everything.Writer("output of nginx", os.Stderr)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	require.NoError(t, cmd.Start(), "run scripts/install-test-deps as root")
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // by a signal
	})
	ldaptest.Eventually(t, "nginx listens", func() bool {
		c, err := net.Dial("tcp", listen)
		return err == nil && c.Close() == nil
	})
	return "https://" + listen
}

// stepOf returns the first step of a name from a report.
func stepOf(t *testing.T, report, name string) doctor.Step {
	t.Helper()
	for _, mark := range []doctor.Mark{doctor.Failed, doctor.Warn, doctor.OK, doctor.Skipped} {
		for _, s := range stepsOf(t, report, mark) {
			if s.Name == name {
				return s
			}
		}
	}
	t.Fatalf("there is no step %q", name)
	return doctor.Step{}
}

func TestCheckForward_ExaminesARealProxyWithTLS(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 2})
	trusting := startProgram(t, s.URL(), "HTTP_TRUSTED_PROXIES=127.0.0.1")
	trusting.ready(t)
	ca := ldaptest.NewCA(t)
	url := startNginxTLS(t, trusting, ca)
	ours := []string{"HTTP_TRUSTED_PROXIES=127.0.0.1", "ADMIN_ADDR=" + strings.TrimPrefix(trusting.admin, "http://")}
	check := []string{"-forward", url + "/?token=hidden", "-ca-file", ca.File(), "-json"}
	withPassword := append([]string{"-user", "user1", "-password-stdin", "-echo", url + "/echo"}, check...)

	r := runCheck(t, s.URL(), ours, ldaptest.Password(1)+"\n", withPassword...)
	require.Equal(t, exitOK, r.code)
	assert.Empty(t, stepsOf(t, r.stdout, doctor.Warn))
	assert.Contains(t, stepOf(t, r.stdout, "connection").Finding, "with TLS")
	assert.Equal(t, doctor.OK, stepOf(t, r.stdout, "client address").Mark)
	assert.Equal(t, []string{`Remote-User: "user1"`, `Remote-Groups: ""`}, stepOf(t, r.stdout, "identity headers").Details)
	assert.NotContains(t, r.stdout, "hidden")
	assert.NotContains(t, trusting.logged(), `"username":"user1","status":2`)

	r = runCheck(t, s.URL(), append([]string{"AUTH_BASIC_REALM=other"}, ours...), "mistaken-password\n", withPassword...)
	require.Equal(t, exitFailed, r.code)
	assert.Contains(t, stepOf(t, r.stdout, "no credentials").Finding, "another challenge")
	assert.Contains(t, stepOf(t, r.stdout, "right credentials").Finding, "401 to user1")
	assert.Equal(t, doctor.Skipped, stepOf(t, r.stdout, "identity headers").Mark)

	r = runCheck(t, s.URL(), ours[:1], "", "-forward", url, "-json")
	require.Equal(t, exitFailed, r.code)
	assert.Contains(t, stepOf(t, r.stdout, "connection").Finding, "-ca-file names the authorities to trust")

	// From another machine, without the service's settings.
	r = runCheckAlone(t, []string{"AUTH_BASIC_HEADERS=X-User={username}"}, check...)
	require.Equal(t, exitOK, r.code, r.stderr)
	assert.Contains(t, stepOf(t, r.stdout, "configuration").Finding, "identity headers X-User")
	assert.Equal(t, doctor.Skipped, stepOf(t, r.stdout, "client address").Mark)
}

// runCheckAlone runs authsvc check without a directory's settings.
func runCheckAlone(t *testing.T, environ []string, args ...string) checkRun {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, append([]string{"check"}, args...)...)
	cmd.Env = append([]string{asProgram + "=1"}, environ...)
	var out, problems strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &problems
	_ = cmd.Run() // its exit code is looked at
	return checkRun{cmd.ProcessState.ExitCode(), out.String(), problems.String()}
}

// TestCheckForward_WritesNothingThatAServerSendsUnasked: it can be a password that the server has
// been sent before.
func TestCheckForward_WritesNothingThatAServerSendsUnasked(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "unasked\n")
			c.Close()
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	for range 10 { // the request is sent at the same time
		r := runCheckAlone(t, nil, "-forward", "http://"+l.Addr().String())
		assert.Equal(t, exitFailed, r.code)
		assert.Empty(t, r.stderr)
		assert.NotContains(t, r.stdout, "unasked")
	}
}

func TestCheckForward_Usage(t *testing.T) {
	t.Parallel()
	const url = "http://127.0.0.1:1/"
	user := []string{"-user", "alice", "-password-stdin"}
	for name, c := range map[string]struct {
		environ []string
		args    []string
		want    string
	}{
		"a location is given":         {args: []string{"-forward", ""}, want: "-forward must not be empty"},
		"an echo needs a location":    {args: []string{"-echo", url}, want: "-echo needs -forward"},
		"a denial needs a location":   {args: []string{"-denied", url}, want: "-denied needs -forward"},
		"authorities need a location": {args: []string{"-ca-file", "x"}, want: "-ca-file needs -forward"},
		"authorities are for TLS":     {args: []string{"-forward", url, "-ca-file", "x"}, want: "-ca-file needs a -forward that begins with https://"},
		"authorities are there":       {args: []string{"-forward", "https://127.0.0.1:1", "-ca-file", "/nowhere"}, want: "-ca-file: "},
		"a user has a password":       {args: []string{"-forward", url, "-user", "alice"}, want: "-user needs -password-stdin with -forward"},
		"an echo needs a user":        {args: []string{"-forward", url, "-echo", url}, want: "-echo and -denied need -user and -password-stdin"},
		"a name has no colon":         {args: []string{"-forward", url, "-user", "a:b", "-password-stdin"}, want: "-user must not have a colon"},
		"replicas are another topic":  {args: []string{"-forward", url, "-replicas", "2"}, want: "-replicas is about the directory"},
		"silence is another topic":    {args: []string{"-forward", url, "-idle", "1s"}, want: "-idle is about the directory"},
		"a URL is one":                {args: []string{"-forward", "localhost:8000"}, want: "-forward: must be http://HOST:PORT"},
		"a URL has no password":       {args: append([]string{"-forward", url, "-echo", "http://a:secret-of-url@b/"}, user...), want: "-echo: must not hold a name or a password"},
		"TLS is for all":              {args: append([]string{"-forward", "https://a/", "-denied", url}, user...), want: "-denied: must begin as -forward does"},
		"settings are valid":          {environ: []string{"AUTH_BASIC_HEADERS=nonsense"}, args: []string{"-forward", url}, want: "AUTH_BASIC_HEADERS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := runCheckAlone(t, c.environ, c.args...)
			assert.Equal(t, exitUsage, r.code)
			assert.Contains(t, r.stderr, c.want)
			assert.NotContains(t, r.stderr, "secret-of-url")
		})
	}
}
