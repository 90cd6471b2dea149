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

	"authsvc/internal/ldaptest"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
)

const (
	users  = 10_000
	rounds = 5               // of each load, in turns with the others
	round  = 2 * time.Second // each
)

// adminAddr is where the service's profiler can be asked during a benchmark.
var adminAddr = flag.String("admin", "127.0.0.1:0", "the service's ADMIN_ADDR")

// echoEnv, when set, makes this binary the bare echo handler: a process of its own, as the service is.
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

// BenchmarkLogin measures logins per second and their times with the service, with L (a bare go-ldap client, no HTTP)
// and with H (the bare echo handler), in turns within one run. What the two leave possible together is 1/(1/L+1/H).
func BenchmarkLogin(b *testing.B) {
	slapd := ldaptest.StartSlapd(b, ldaptest.SlapdConfig{Users: users})
	service := startService(b, slapd.URL())
	h := startEcho(b)
	loads := []func(*testing.B) caller{overHTTP(service.addr), bare(slapd.URL()), overHTTP(h)}
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			for b.Loop() {
				var got [3]figures
				for range rounds {
					for i, connect := range loads {
						f := load(b, callers, round, connect)
						got[i].perSecond += f.perSecond / rounds
						got[i].p50 += f.p50 / rounds
						got[i].p99 += f.p99 / rounds
					}
				}
				limit := 1 / (1/got[1].perSecond + 1/got[2].perSecond)
				b.ReportMetric(got[0].perSecond, "logins/s")
				b.ReportMetric(float64(got[0].p50.Microseconds()), "p50-µs")
				b.ReportMetric(float64(got[0].p99.Microseconds()), "p99-µs")
				b.ReportMetric(got[1].perSecond, "L/s")
				b.ReportMetric(got[2].perSecond, "H/s")
				b.ReportMetric(got[0].perSecond/limit, "of-limit")
			}
		})
	}
	b.Run("memory/callers=1000", func(b *testing.B) {
		for b.Loop() {
			f := load(b, 1000, 5*time.Second, loads[0])
			b.ReportMetric(f.perSecond, "logins/s")
			b.ReportMetric(service.peakMiB(b), "peak-MiB")
		}
	})
}

// child is a process of the benchmark's own.
type child struct {
	*exec.Cmd
	addr string
}

// startService builds and runs the service against a directory, with the defaults that a user has.
func startService(b *testing.B, directory string, environ ...string) *child {
	b.Helper()
	binary := filepath.Join(b.TempDir(), "authsvc")
	build := exec.Command("go", "build", "-o", binary, "authsvc/cmd/authsvc")
	out, err := build.CombinedOutput()
	require.NoError(b, err, string(out))
	addr, admin := freeAddr(b), *adminAddr
	cmd := exec.Command(binary)
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
	ldaptest.Eventually(b, "the service is ready", func() bool {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+addr+"/readyz", nil)
		require.NoError(b, err)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return &child{cmd, addr}
}

// startEcho runs H and gives its address.
func startEcho(b *testing.B) string {
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
	return strings.TrimSpace(addr)
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
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Process.Pid))
	require.NoError(b, err)
	_, rest, found := strings.Cut(string(status), "VmHWM:")
	require.True(b, found)
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(b, err)
	return float64(kib) / 1024
}
