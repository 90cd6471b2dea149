package bench

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"authsvc/config"
	"authsvc/internal/ldaptest"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
)

// echoEnv, when set, makes this binary the bare echo handler: a process of its own, as the service
// is.
const echoEnv = "AUTHSVC_BENCH_ECHO"

func TestMain(m *testing.M) {
	if os.Getenv(echoEnv) != "" {
		serveEcho()
		return
	}
	flag.Parse()
	os.Exit(m.Run())
}

// serveEcho is H: a handler that reads a request and answers as a login would be answered.
func serveEcho() {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.POST("/auth", func(c echo.Context) error {
		if _, err := io.Copy(io.Discard, c.Request().Body); err != nil {
			return err
		}
		return c.JSONBlob(http.StatusOK, []byte(`{"status":0,"code":"ok","message":"auth ok","request_id":"0123456789abcdefghijklmnop","user":{"username":"user0","dn":"uid=user0,ou=people,dc=example,dc=org"}}`))
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	panic(http.Serve(l, e))
}

// child is a server that the benchmark started.
type child struct {
	*exec.Cmd
	addr  string
	https bool   // at addr
	admin string // where its metrics are; empty where it has none
	log   string // a file
}

// startService builds and runs the service against a directory, with the defaults that a user has.
func startService(b *testing.B, directory string, environ ...string) *child {
	b.Helper()
	return runService(b, build(b), directory, environ...)
}

// build builds the service.
func build(b *testing.B) (binary string) {
	b.Helper()
	binary = filepath.Join(b.TempDir(), "authsvc")
	out, err := exec.Command("go", "build", "-o", binary, "authsvc/cmd/authsvc").CombinedOutput()
	require.NoError(b, err, string(out))
	return binary
}

// runService runs a binary of the service.
func runService(b *testing.B, binary, directory string, environ ...string) *child {
	b.Helper()
	addr, admin := freeAddr(b), *adminAddr
	if strings.HasSuffix(admin, ":0") {
		admin = freeAddr(b)
	}
	cmd := exec.Command(binary) //nolint:gosec // of this project
	cmd.Env = append([]string{
		"LDAP_URL=" + directory, "LDAP_BIND_DN=" + ldaptest.ServiceDN, "LDAP_BIND_PASSWORD=" + ldaptest.ServicePassword,
		"LDAP_BASE_DN=" + ldaptest.PeopleDN, "HTTP_ADDR=" + addr, "ADMIN_ADDR=" + admin,
	}, environ...)
	log, err := os.Create(filepath.Join(b.TempDir(), "authsvc.log"))
	require.NoError(b, err)
	b.Cleanup(func() { log.Close() })
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(b, cmd.Start())
	b.Cleanup(func() {
		require.NoError(b, cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(b, cmd.Wait())
	})
	c := &child{Cmd: cmd, addr: addr, https: config.HTTPS(cmd.Env), admin: admin, log: log.Name()}
	ldaptest.Eventually(b, "the service is ready", func() bool {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+admin+"/readyz", nil)
		require.NoError(b, err)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return c
}

// startEcho runs H.
func startEcho(b *testing.B) *child {
	b.Helper()
	self, err := os.Executable()
	require.NoError(b, err)
	cmd := exec.Command(self)
	cmd.Env = []string{echoEnv + "=1"}
	out, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	b.Cleanup(func() {
		require.NoError(b, cmd.Process.Kill())
		_ = cmd.Wait()
	})
	addr, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(b, err)
	return &child{Cmd: cmd, addr: strings.TrimSpace(addr)}
}

func freeAddr(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer l.Close()
	return l.Addr().String()
}

// peakMiB is the most memory that the process ever had resident (VmHWM, proc(5)).
func (c *child) peakMiB(b *testing.B) float64 {
	b.Helper()
	return float64(c.memoryKiB(b, "VmHWM:")) / 1024
}

func (c *child) memoryKiB(b *testing.B, field string) int {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Process.Pid))
	require.NoError(b, err)
	_, rest, found := strings.Cut(string(status), field)
	require.True(b, found)
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(b, err)
	return kib
}

// usage is what a server has used since it started.
type usage struct {
	cpu                time.Duration
	allocations, bytes float64 // of Go's heap; 0 if the contender has no metrics
}

// usage reads what a contender has used.
func (c contender) usage(b *testing.B) (u usage) {
	b.Helper()
	if c.server == nil {
		var self syscall.Rusage
		require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &self))
		return usage{cpu: time.Duration(self.Utime.Nano() + self.Stime.Nano())}
	}
	u.cpu = cpuTime(b, strconv.Itoa(c.server.Process.Pid))
	if c.asked != nil {
		u.cpu += cpuTime(b, strconv.Itoa(c.asked.Process.Pid))
	}
	if c.server.admin != "" {
		resp, err := http.Get("http://" + c.server.admin + "/metrics")
		require.NoError(b, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(b, err)
		u.allocations, u.bytes = metric(b, string(text), "go_memstats_mallocs_total"), metric(b, string(text), "go_memstats_alloc_bytes_total")
	}
	return u
}

// metric reads a series without labels from the text that Prometheus scrapes.
func metric(b *testing.B, text, name string) float64 {
	b.Helper()
	_, rest, found := strings.Cut(text, "\n"+name+" ")
	require.True(b, found, name)
	value, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	require.NoError(b, err)
	return value
}

// cpuTime is the CPU time of a process and its children (utime and stime of proc(5), in 1/100 s).
func cpuTime(b *testing.B, pid string) (sum time.Duration) {
	b.Helper()
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if os.IsNotExist(err) {
		return 0 // a child that has ended meanwhile
	}
	require.NoError(b, err)
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])) // from the third on
	for _, ticks := range fields[11:13] {
		n, err := strconv.Atoi(ticks)
		require.NoError(b, err)
		sum += time.Duration(n) * 10 * time.Millisecond
	}
	children, err := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
	require.NoError(b, err)
	for child := range strings.FieldsSeq(string(children)) {
		sum += cpuTime(b, child)
	}
	return sum
}
