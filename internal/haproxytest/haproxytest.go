// Package haproxytest starts Debian's HAProxy with the configuration of deploy/scaled, in front of
// services that a test has started.
package haproxytest

import (
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"authsvc/internal/ldaptest"
)

// Balancer is an HAProxy that runs until the test ends. It sends requests to the services whose
// /readyz answers 200.
type Balancer struct {
	URL string
	PID int

	stats string // the URL of its counters
}

// Timing is how often HAProxy examines services.
type Timing bool

const (
	// Shipped is that of deploy/scaled.
	Shipped Timing = false
	// Quick is for tests that shall not take long: within 200 ms.
	Quick Timing = true
)

// Start runs HAProxy in front of services at addresses.
func Start(tb testing.TB, timing Timing, services ...string) *Balancer {
	tb.Helper()
	front, health, stats := ldaptest.FreeAddr(tb), ldaptest.FreeAddr(tb), ldaptest.FreeAddr(tb)
	var servers strings.Builder
	for i, addr := range services {
		fmt.Fprintf(&servers, "    server s%d %s\n", i, addr)
	}
	text := shipped(tb)
	for _, r := range []struct{ pattern, by string }{
		{`(?m)^    server-template .*\n`, servers.String()},
		{`(?m)^resolvers docker\n(    .*\n)*`, ""},
		{`bind :8080\n`, "bind " + front + "\n"},
		{`bind 127\.0\.0\.1:8404\n`, "bind " + health + "\n"},
	} {
		text = replace(tb, text, r.pattern, r.by)
	}
	if timing == Quick {
		text = replace(tb, text, `inter 1s fastinter 500ms downinter 1s`, "inter 100ms fastinter 100ms downinter 100ms")
		text = replace(tb, text, `timeout check 1s`, "timeout check 10s") // this machine may be busy
		text = replace(tb, text, `timeout connect 1s`, "timeout connect 10s")
		text = replace(tb, text, `timeout server 15s`, "timeout server 1m")
	}
	text += fmt.Sprintf("\nlisten stats\n    bind %s\n    stats enable\n    stats uri /\n", stats)
	file := filepath.Join(tb.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	b := &Balancer{URL: "http://" + front, stats: "http://" + stats + "/;csv"}
	b.run(tb, file)
	for i := range services {
		b.Await(tb, i, "UP")
	}
	return b
}

// shipped returns the configuration of deploy/scaled.
func shipped(tb testing.TB) string {
	tb.Helper()
	_, self, _, _ := runtime.Caller(0)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(self), "../../deploy/scaled/haproxy/haproxy.cfg"))
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// replace replaces the only place that matches.
func replace(tb testing.TB, text, pattern, by string) string {
	tb.Helper()
	re := regexp.MustCompile(pattern)
	if n := len(re.FindAllString(text, -1)); n != 1 {
		tb.Fatalf("haproxy.cfg has %d places like %q", n, pattern)
	}
	return re.ReplaceAllLiteralString(text, by)
}

func (b *Balancer) run(tb testing.TB, file string) {
	tb.Helper()
	haproxy, err := exec.LookPath("haproxy")
	if err != nil {
		haproxy = "/usr/sbin/haproxy" // root's alone on Debian
	}
	var log strings.Builder
	cmd := exec.CommandContext(context.Background(), haproxy, "-db", "-f", file) //nolint:gosec // the tests' own
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		tb.Fatalf("start haproxy: %v", err)
	}
	b.PID = cmd.Process.Pid
	tb.Cleanup(func() {
		_ = cmd.Process.Kill() // it runs until then
		_ = cmd.Wait()
		if tb.Failed() {
			tb.Logf("haproxy:\n%s", log.String())
		}
	})
}

// Await waits until HAProxy takes a service for "UP" or "DOWN".
func (b *Balancer) Await(tb testing.TB, service int, state string) {
	tb.Helper()
	ldaptest.Eventually(tb, fmt.Sprintf("HAProxy finds service %d %s", service, state), func() bool {
		row, err := b.row(fmt.Sprintf("s%d", service))
		return err == nil && strings.HasPrefix(row["status"], state)
	})
}

// Failures are what HAProxy counts of the way to the services.
type Failures struct {
	Connections  int // that could not be made
	Answers      int // that did not come
	Retries      int // of connections
	Redispatches int // of requests to another service
}

// Failures returns the counts since the start.
func (b *Balancer) Failures(tb testing.TB) Failures {
	tb.Helper()
	row, err := b.row("BACKEND")
	if err != nil {
		tb.Fatal(err)
	}
	count := func(name string) int {
		n, err := strconv.Atoi(row[name])
		if err != nil {
			tb.Fatalf("HAProxy's counter %s: %v", name, err)
		}
		return n
	}
	return Failures{count("econ"), count("eresp"), count("wretr"), count("wredis")}
}

// row returns what HAProxy says of a service, or of all, by the names of the columns.
func (b *Balancer) row(name string) (map[string]string, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, b.stats, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	rows, err := csv.NewReader(resp.Body).ReadAll()
	if err != nil {
		return nil, err
	}
	for _, values := range rows {
		if values[0] != "authsvc" || values[1] != name {
			continue
		}
		row := make(map[string]string)
		for i, column := range rows[0] {
			row[column] = values[i]
		}
		return row, nil
	}
	return nil, fmt.Errorf("HAProxy has no service %q", name)
}
