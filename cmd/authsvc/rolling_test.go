package main

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// balancer is an HAProxy in front of several services. It sends requests to those whose /readyz
// answers 200, and repeats none.
type balancer struct{ url, stats string }

// startBalancer runs HAProxy until the test ends.
func startBalancer(t *testing.T, services ...string) *balancer {
	t.Helper()
	front, stats := ldaptest.FreeAddr(t), ldaptest.FreeAddr(t)
	text := fmt.Sprintf(`
defaults
    mode http
    retries 0
    timeout connect 10s
    timeout check 5s
    timeout client 1m
    timeout server 1m
listen stats
    bind %s
    stats enable
    stats uri /
listen authsvc
    bind %s
    option httpchk GET /readyz
    default-server check inter 100ms fastinter 100ms downinter 100ms fall 2 rise 1
`, stats, front)
	for i, addr := range services {
		text += fmt.Sprintf("    server s%d %s\n", i, addr)
	}
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	haproxy, err := exec.LookPath("haproxy")
	if err != nil {
		haproxy = "/usr/sbin/haproxy" // root's alone on Debian
	}
	cmd := exec.Command(haproxy, "-db", "-f", file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it runs until then
		_ = cmd.Wait()
	})
	return &balancer{"http://" + front, "http://" + stats + "/;csv"}
}

// await waits until HAProxy takes a service for up or down.
func (b *balancer) await(t *testing.T, service int, state string) {
	t.Helper()
	ldaptest.Eventually(t, fmt.Sprintf("HAProxy finds service %d %s", service, state), func() bool {
		resp, err := http.Get(b.stats)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		rows, err := csv.NewReader(resp.Body).ReadAll()
		if err != nil {
			return false
		}
		for _, row := range rows {
			const name, status = 1, 17 // columns
			if row[name] == fmt.Sprintf("s%d", service) {
				return strings.HasPrefix(row[status], state)
			}
		}
		return false
	})
}

func TestShutdownDelay_RollingRestartFailsNoRequest(t *testing.T) {
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10})
	addrs := []string{ldaptest.FreeAddr(t), ldaptest.FreeAddr(t)}
	serve := func(i int) *process {
		p := startProgram(t, slapd.URL(), append(patient(), "HTTP_ADDR="+addrs[i], "HTTP_SHUTDOWN_DELAY=2s")...)
		p.ready(t)
		return p
	}
	running := []*process{serve(0), serve(1)}
	b := startBalancer(t, addrs...)
	for i := range running {
		b.await(t, i, "UP")
	}
	var c callers
	c.during(16, b.url, func() *http.Transport { return new(http.Transport) }, func() {
		for i, p := range running {
			c.more(t, 50)
			require.Zero(t, p.end(t))
			b.await(t, i, "DOWN")
			c.more(t, 50)
			running[i] = serve(i)
			b.await(t, i, "UP")
		}
	})
	c.noneFailed(t, "a rolling restart")
}
