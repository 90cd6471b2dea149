package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// openTerminal gives both ends of a pseudo terminal (pty(7)): what a person has, and what a program
// has.
func openTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { person.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { program.Close() })
	return person, program
}

// TestTerminal_HidesATypedPassword, and the terminal shows again what is typed after that,
// however it ended.
func TestTerminal_HidesATypedPassword(t *testing.T) {
	t.Parallel()
	const typed = "typed-secret"
	everything.Secret(typed)
	self, err := os.Executable()
	require.NoError(t, err)
	for name, c := range map[string]struct {
		keys string
		code int
	}{
		"to its end": {typed + "\n", exitFailed},
		"up to ^C":   {typed + "\x03", exitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			person, program := openTerminal(t)
			cmd := exec.Command(self, "check", "-user", "user0", "-password-stdin")
			cmd.Env = []string{asProgram + "=1", "LDAP_URL=ldap://" + ldaptest.ClosedAddr(t), "LDAP_BASE_DN=" + ldaptest.PeopleDN}
			cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			require.NoError(t, cmd.Start())
			var seen bytes.Buffer
			b := make([]byte, 4096)
			read := func() {
				n, err := person.Read(b)
				require.NoError(t, err)
				seen.Write(b[:n])
			}
			for !bytes.Contains(seen.Bytes(), []byte("Password: ")) {
				read()
			}
			shows := func() bool { // the prompt comes a moment before the terminal shows no more
				now, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
				require.NoError(t, err)
				return now.Lflag&unix.ECHO != 0
			}
			require.Eventually(t, func() bool { return !shows() }, 10*time.Second, time.Millisecond)
			_, err := person.WriteString(c.keys)
			require.NoError(t, err)
			_ = cmd.Wait() // its code is asked for below
			assert.Equal(t, c.code, cmd.ProcessState.ExitCode())
			read()
			everything.Wrote("terminal of "+t.Name(), seen.Bytes())
			assert.NotContains(t, seen.String(), typed)
			assert.True(t, shows(), "the terminal shows nothing any more")
		})
	}
}

// TestLogin_AsksOnATerminal for the name, which is shown, and for the password, which is not.
func TestLogin_AsksOnATerminal(t *testing.T) {
	t.Parallel()
	const typed = "typed-at-login"
	everything.Secret(typed)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if string(body) == `{"username":"alice","password":"`+typed+`"}` {
			_, _ = io.WriteString(w, `{"status":0,"code":"ok","user":{"username":"alice"}}`)
		}
	}))
	t.Cleanup(server.Close)
	self, err := os.Executable()
	require.NoError(t, err)
	for name, c := range map[string]struct {
		args []string
		name string // "" if it is not asked for
		keys string
		code int
	}{
		"with a name that is typed": {nil, "alice", typed + "\n", 0},
		"with -u":                   {[]string{"-u", "alice"}, "", typed + "\n", 0},
		"with an empty password":    {[]string{"-u", "alice"}, "", "\n", exitRejected},
		"up to ^C":                  {[]string{"-u", "alice"}, "", typed + "\x03", exitTryAgain},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			person, program := openTerminal(t)
			cmd := exec.Command(self, append([]string{"login", "-url", server.URL}, c.args...)...)
			cmd.Env = []string{asProgram + "=1", "GORACE=atexit_sleep_ms=0"}
			cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			require.NoError(t, cmd.Start())
			var seen bytes.Buffer
			b := make([]byte, 4096)
			await := func(text string) {
				for !bytes.Contains(seen.Bytes(), []byte(text)) {
					n, err := person.Read(b)
					require.NoError(t, err)
					seen.Write(b[:n])
				}
			}
			if c.name != "" {
				await("Username: ")
				_, err := person.WriteString(c.name + "\n")
				require.NoError(t, err)
			}
			await("Password: ")
			_, err := person.WriteString(c.keys)
			require.NoError(t, err)
			_ = cmd.Wait() // its code is asked for below
			assert.Equal(t, c.code, cmd.ProcessState.ExitCode(), seen.String())
			await(map[int]string{0: "accepted: alice", exitRejected: "rejected: password", exitTryAgain: "interrupted"}[c.code])
			everything.Wrote("terminal of "+t.Name(), seen.Bytes())
			assert.NotContains(t, seen.String(), typed)
			assert.Contains(t, seen.String(), c.name)
			after, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
			require.NoError(t, err)
			assert.NotZero(t, after.Lflag&unix.ECHO, "the terminal shows nothing any more")
		})
	}
}

// TestTerminal_DoctorAdaptsToIt in its width and with colours, but for NO_COLOR.
func TestTerminal_DoctorAdaptsToIt(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	for name, c := range map[string]struct {
		environ []string
		colours bool
	}{
		"with colours":           {nil, true},
		"with NO_COLOR":          {[]string{"NO_COLOR=1"}, false},
		"with an empty NO_COLOR": {[]string{"NO_COLOR="}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const columns = 72
			person, program := openTerminal(t)
			require.NoError(t, unix.IoctlSetWinsize(int(program.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: 24}))
			cmd := exec.Command(self, "check")
			cmd.Env = append([]string{asProgram + "=1", "LDAP_URL=ldap://" + ldaptest.ClosedAddr(t), "LDAP_BASE_DN=" + ldaptest.PeopleDN}, c.environ...)
			cmd.Stdout = program
			require.NoError(t, cmd.Start())
			require.NoError(t, program.Close())
			data, _ := io.ReadAll(person) // up to EIO: the other end is closed
			_ = cmd.Wait()                // its code is asked for below
			assert.Equal(t, exitFailed, cmd.ProcessState.ExitCode())
			seen := string(data)
			assert.Equal(t, c.colours, strings.Contains(seen, "\x1b[31mfailed"))
			plain := regexp.MustCompile(`\x1b\[\d*m`).ReplaceAllString(seen, "")
			for line := range strings.Lines(plain) {
				assert.LessOrEqual(t, len(strings.TrimRight(line, "\r\n")), columns, line)
			}
		})
	}
}
