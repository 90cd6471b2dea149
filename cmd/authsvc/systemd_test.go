package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// passed is a listening socket that a test passes to the service as systemd does.
type passed struct {
	name string // its FileDescriptorName
	file *os.File
	addr string
}

// listenAs opens a socket for the service, which stays open until the test ends.
func listenAs(t *testing.T, name string) passed {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	file, err := l.(*net.TCPListener).File()
	require.NoError(t, err)
	require.NoError(t, l.Close())
	t.Cleanup(func() { _ = file.Close() })
	return passed{name, file, l.Addr().String()}
}

// withSockets returns a command that runs the service with sockets. The shell knows the process ID
// that the service will have.
func withSockets(t *testing.T, sockets ...passed) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	var names []string
	cmd := exec.Command("sh", "-c", `export LISTEN_PID=$$ LISTEN_FDS="$1" LISTEN_FDNAMES="$2"; exec "$0" serve`, self, fmt.Sprint(len(sockets)))
	for _, s := range sockets {
		names = append(names, s.name)
		cmd.ExtraFiles = append(cmd.ExtraFiles, s.file)
	}
	cmd.Args = append(cmd.Args, strings.Join(names, ":"))
	return cmd
}

// manager is the service manager's end of NOTIFY_SOCKET.
type manager struct {
	environ string
	conn    *net.UnixConn

	mu   sync.Mutex
	told []string // guarded by mu
}

// listenForNotes receives what a service tells its manager until the test ends.
func listenForNotes(t *testing.T) *manager {
	t.Helper()
	path := fmt.Sprintf("@%d-%s", os.Getpid(), t.Name()) // has no file
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	m := &manager{environ: "NOTIFY_SOCKET=" + path, conn: conn}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		message := make([]byte, 4096)
		for {
			n, err := conn.Read(message)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.told = append(m.told, string(message[:n]))
			m.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-ended
	})
	return m
}

// count counts the messages that match a regular expression.
func (m *manager) count(pattern string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, message := range m.told {
		if regexp.MustCompile(pattern).MatchString(message) {
			n++
		}
	}
	return n
}

// await waits for a message.
func (m *manager) await(t *testing.T, pattern string) {
	t.Helper()
	ldaptest.Eventually(t, "the manager is told "+pattern, func() bool { return m.count(pattern) > 0 })
}

// callers are clients of which each asks for one login after another.
type callers struct {
	mu      sync.Mutex
	answers []answer // guarded by mu
}

// during lets n clients ask while steps run. Each has connections of its own.
func (c *callers) during(n int, url string, transport func() *http.Transport, steps func()) {
	var asking sync.WaitGroup
	var stop atomic.Bool
	for i := range n {
		asking.Go(func() {
			t := transport()
			defer t.CloseIdleConnections()
			for k := i; !stop.Load(); k++ {
				a := ask(&http.Client{Transport: t}, url, k)
				c.mu.Lock()
				c.answers = append(c.answers, a)
				c.mu.Unlock()
			}
		})
	}
	defer asking.Wait()
	defer stop.Store(true)
	steps()
}

// more waits until the callers have got n more answers.
func (c *callers) more(t *testing.T, n int) {
	t.Helper()
	count := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.answers)
	}
	before := count()
	ldaptest.Eventually(t, "callers are answered", func() bool { return count() >= before+n })
}

// noneFailed requires that every answer is the directory's.
func (c *callers) noneFailed(t *testing.T, what string) {
	t.Helper()
	figures(t, what, c.answers)
	for _, a := range c.answers {
		assert.Equal(t, a.want, a.status, "%s: HTTP %d, %v", what, a.http, a.err)
	}
}

// patient makes a service wait for a slow machine.
func patient() []string {
	return []string{"AUTH_TIMEOUT=1m", "LDAP_REQUEST_TIMEOUT=1m", "LDAP_POOL_MAX_WAIT=1m", "HTTP_SHUTDOWN_TIMEOUT=1m"}
}

// TestSockets_RestartRefusesNothing restarts the service under load. Its socket is the test's, as a
// socket unit's is systemd's.
func TestSockets_RestartRefusesNothing(t *testing.T) {
	generations := 3
	if *long {
		generations = 21
	}
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10})
	socket := listenAs(t, "authsvc.socket") // its usual name
	serve := func() *process {
		p := startCommand(t, withSockets(t, socket), slapd.URL(), append(patient(), "HTTP_ADDR=192.0.2.1:1")...)
		require.Equal(t, "http://"+socket.addr, p.url)
		p.ready(t)
		return p
	}
	p := serve()
	var kept, fresh callers
	kept.during(8, p.url, func() *http.Transport { return new(http.Transport) }, func() {
		fresh.during(8, p.url, func() *http.Transport { return &http.Transport{DisableKeepAlives: true} }, func() {
			for range generations - 1 {
				kept.more(t, 20)
				fresh.more(t, 20)
				require.Zero(t, p.end(t))
				p = serve()
			}
		})
	})
	kept.noneFailed(t, "kept connections")
	fresh.noneFailed(t, "new connections")
}

func TestSockets_ServeAllListeners(t *testing.T) {
	t.Parallel()
	sockets := []passed{listenAs(t, "admin"), listenAs(t, "main"), listenAs(t, "forward")}
	p := startCommand(t, withSockets(t, sockets...), ldaptest.NewServer(t, nil).URL(), "ADMIN_ADDR=")
	require.Equal(t, "http://"+sockets[0].addr, p.admin)
	require.Equal(t, "http://"+sockets[1].addr, p.url)
	p.ready(t)
	for i, want := range map[int]string{0: "/metrics 200", 1: "/auth/basic 401", 2: "/any 401"} {
		path, _, _ := strings.Cut(want, " ")
		resp, err := http.Get("http://" + sockets[i].addr + path)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, want, fmt.Sprintf("%s %d", path, resp.StatusCode))
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.cmd.Process.Pid))
	require.NoError(t, err)
	require.Contains(t, string(environ), "LISTEN_FDS=3", "as it was at the start")
	require.Zero(t, p.end(t))
	for _, s := range sockets {
		c, err := net.Dial("tcp", s.addr)
		require.NoError(t, err, "the socket is still the manager's")
		require.NoError(t, c.Close())
		require.NoError(t, s.file.Close()) // from now on nothing waits for an answer
	}
}

func TestSockets_WrongOnesAreErrors(t *testing.T) {
	t.Parallel()
	plain, err := os.Open(os.DevNull)
	require.NoError(t, err)
	t.Cleanup(func() { _ = plain.Close() })
	local, err := net.ListenUnix("unix", &net.UnixAddr{Name: "@" + t.Name(), Net: "unix"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = local.Close() })
	unix, err := local.File()
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Close() })
	for name, c := range map[string]struct {
		sockets []passed
		want    []string
	}{
		"two of one name":    {[]passed{listenAs(t, "main"), listenAs(t, "main")}, []string{`socket "main" of the service manager: only one socket may have this name`}},
		"an unknown name":    {[]passed{listenAs(t, "main"), listenAs(t, "web")}, []string{`socket "web" of the service manager: FileDescriptorName must be one of main, forward, admin if several sockets are passed`}},
		"a file and a local": {[]passed{{"main", plain, ""}, {"admin", unix, ""}}, []string{`socket "main" of the service manager: not a listening stream socket`, `socket "admin" of the service manager: must be a TCP socket (ListenStream=8080), not unix`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := withSockets(t, c.sockets...)
			cmd.Env = append(os.Environ(), asProgram+"=1")
			var said bytes.Buffer
			cmd.Stderr = &said
			require.Error(t, cmd.Run())
			assert.Equal(t, exitUsage, cmd.ProcessState.ExitCode())
			for _, want := range c.want {
				assert.Contains(t, said.String(), want)
			}
		})
	}
}

func TestNotify_TellsTheManagerHowTheServiceIs(t *testing.T) {
	t.Parallel()
	m := listenForNotes(t)
	server := ldaptest.NewServer(t, nil)
	p := startProgram(t, server.URL(), m.environ, "WATCHDOG_USEC=1000000", "HTTP_SHUTDOWN_DELAY=1s")
	m.await(t, `^READY=1$`)
	m.await(t, `^STATUS=Serving\. 1 of 1 directory servers usable\.$`)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
	m.await(t, `^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]+\n$`)
	ldaptest.Eventually(t, "it has reloaded", func() bool { return m.count(`^READY=1$`) == 2 })
	before, began := m.count(`^WATCHDOG=1$`), time.Now()
	ldaptest.Eventually(t, "the watchdog is fed", func() bool { return m.count(`^WATCHDOG=1$`) >= before+4 })
	assert.Less(t, time.Since(began), 4*time.Second, "at half of WATCHDOG_USEC")
	require.Zero(t, p.end(t))
	m.await(t, `^STOPPING=1\nEXTEND_TIMEOUT_USEC=13000000\nSTATUS=Shutting down\.$`)
}

func TestNotify_StatusNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	m := listenForNotes(t)
	startProgram(t, "ldap://"+ldaptest.ClosedAddr(t), m.environ)
	m.await(t, `^READY=1$`) // the directory's absence does not stop the start
	m.await(t, `^STATUS=Serving\. 0 of 1 directory servers usable\.$`)
}

// The unit does not restart the service after exit code 2. With that code Go would end after the
// watchdog's SIGABRT and after a crash too.
func TestSystemd_WatchdogsSignalIsNoConfigurationError(t *testing.T) {
	t.Parallel()
	unit, err := os.ReadFile("../../deploy/systemd/authsvc.service")
	require.NoError(t, err)
	require.Contains(t, string(unit), "\nRestartPreventExitStatus=2\n")
	var environ []string
	for _, m := range regexp.MustCompile(`(?m)^Environment=(.*)$`).FindAllStringSubmatch(string(unit), -1) {
		environ = append(environ, m[1])
	}
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	p := startProgram(t, slapd.URL(), environ...)
	p.ready(t)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGABRT))
	<-p.done
	_ = p.cmd.Wait()
	status := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	require.True(t, status.Signaled(), "it ended with exit code %d", status.ExitStatus())
	require.Equal(t, syscall.SIGABRT, status.Signal())
}
