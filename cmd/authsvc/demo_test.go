package main

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"authsvc/config"
	"authsvc/internal/demo"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// occupied is an address on which the test listens.
func occupied(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// unoccupied is an address on which nobody listens.
func unoccupied(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.3:0") // where nothing else takes ports
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

func TestDemo_TakesItsUsualPorts(t *testing.T) {
	t.Parallel()
	usual := unoccupied(t)
	assert.Equal(t, usual, orAnyPort(t.Context(), usual))
	l, err := net.Listen("tcp", usual)
	require.NoError(t, err, "it is kept")
	require.NoError(t, l.Close())
}

func TestDemo_TakesOtherPortsIfItsOwnAreInUse(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "127.0.0.1:0", orAnyPort(t.Context(), occupied(t)))
	assert.Equal(t, "192.0.2.1:0", orAnyPort(t.Context(), "192.0.2.1:80"), "of no machine (RFC 5737)")
}

func TestDemo_ReadsOnlyTheVariablesOfTheLog(t *testing.T) {
	t.Parallel()
	ours := []string{"LDAP_URL=ldap://127.0.0.1:1", "HTTP_ADDR=127.0.0.1:2", "ADMIN_ADDR=127.0.0.1:3"}
	for name, c := range map[string]struct {
		environ []string
		level   slog.Level
		format  string
	}{
		"without any":     {nil, slog.LevelInfo, "text"},
		"with both":       {[]string{"LOG_LEVEL=debug", "LOG_FORMAT=json"}, slog.LevelDebug, "json"},
		"with empty ones": {[]string{"LOG_LEVEL=", "LOG_FORMAT="}, slog.LevelInfo, "text"},
		"with others": {
			[]string{"LDAP_URL=ldap://elsewhere", "LDAP_BIND_DN=cn=other", "LDAP_BIND_PASSWORD_FILE=/x", "LDAP_URI=x", "LOG_LEVELS=x", "HTTP_ADDR=x", "ADMIN_ADDR="},
			slog.LevelInfo, "text",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &program{environ: c.environ}
			cfg, err := config.Load(p.demoEnviron(ours...))
			require.NoError(t, err)
			assert.Equal(t, c.level, cfg.Log.Level)
			assert.Equal(t, c.format, cfg.Log.Format)
			assert.Equal(t, config.List{"ldap://127.0.0.1:1"}, cfg.LDAP.URLs)
			assert.Equal(t, "127.0.0.1:2", cfg.HTTP.Addr)
			assert.Equal(t, "127.0.0.1:3", cfg.Admin.Addr)
			assert.Equal(t, demo.ServiceDN, cfg.LDAP.BindDN)
			assert.Equal(t, demo.ServicePassword, cfg.LDAP.BindPassword.Reveal())
			assert.Empty(t, cfg.Warnings)
		})
	}
}

func TestDemo_SaysWhatItIsAndNamesItsUsers(t *testing.T) {
	t.Parallel()
	directory, err := demo.Start(demo.Config{})
	require.NoError(t, err)
	defer func() { assert.NoError(t, directory.Close()) }()
	var out strings.Builder
	p := &program{stdout: &out}
	p.shout(directory, "127.0.0.1:2", "127.0.0.1:3", 0)
	said := out.String()
	assert.Contains(t, said, "*** THIS IS A DEMO")
	assert.NotContains(t, said, "resets every connection")
	assert.Equal(t, 3, strings.Count(said, "curl -s http://127.0.0.1:2/auth "))
	require.NotEmpty(t, directory.Users())
	for _, u := range directory.Users() {
		assert.Regexp(t, `(?m)^    `+regexp.QuoteMeta(u.Username)+` +`+regexp.QuoteMeta(u.Password)+`$`, said)
		assert.Equal(t, u.Username+"-password", u.Password, "what is said of the passwords")
	}
}

// TestDemo_PrintsADoctorThatCanBeRun: also where the program is not found by its name, as after "go
// run".
func TestDemo_PrintsADoctorThatCanBeRun(t *testing.T) {
	t.Parallel()
	own, err := os.Executable()
	require.NoError(t, err)
	environ := []string{asProgram + "=1", "PATH=/nonexistent", "GORACE=atexit_sleep_ms=0"}
	demo := exec.Command(own, "demo")
	demo.Env = environ
	out, err := demo.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, demo.Start())
	defer func() { _ = demo.Wait() }()
	defer func() { _ = demo.Process.Signal(os.Interrupt) }()
	printed := bufio.NewReader(out)
	var command string
	for command == "" || strings.HasSuffix(command, "\\\n") {
		line, err := printed.ReadString('\n')
		require.NoError(t, err)
		if command != "" || strings.Contains(line, "LDAP_URL=") && strings.Contains(line, "LDAP_BASE_DN=") && !strings.Contains(line, "msg=") {
			command += line
		}
	}
	go func() { _, _ = io.Copy(io.Discard, printed) }()
	doctor := exec.Command("/bin/sh", "-c", command)
	doctor.Env = environ
	said, err := doctor.CombinedOutput()
	require.NoError(t, err, "%s\n%s", command, said)
	require.Contains(t, string(said), "no check failed")
	require.NotContains(t, string(said), "warnings:")
}

func TestShellWord_IsQuotedIfNeeded(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"/usr/bin/authsvc": "/usr/bin/authsvc", "/a b/authsvc": "'/a b/authsvc'", "/it's/authsvc": `'/it'\''s/authsvc'`, "/$x/authsvc": "'/$x/authsvc'",
	} {
		assert.Equal(t, want, shellWord(word))
	}
}
