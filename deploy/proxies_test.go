package deploy_test

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// The addresses in the recipes.
const (
	recipeListen      = "8000"
	recipeApplication = "127.0.0.1:3000"
	recipeAuthsvc     = "127.0.0.1:8080"
)

// product is a reverse proxy.
type product struct {
	name string
	away int // status while authsvc cannot be reached
	// emulated by this package instead of run
	emulated bool
	// start runs the recipe with other addresses until the test ends.
	start func(t *testing.T, a addresses)
}

// envoyName is the proxy that turns each fault of authsvc into 503 without Retry-After, and that
// leaves what a client says in X-Forwarded-For in front of the client's address.
const envoyName = "envoy"

// addresses replace those of a recipe.
type addresses struct{ listen, authsvc, application string }

// products are the reverse proxies that are tested.
func products() []product {
	return []product{
		{name: "nginx", away: 502, start: startNginx}, {name: "caddy", away: 502, start: startCaddy}, {name: "haproxy", away: 503, start: startHAProxy},
		{name: "traefik", away: 500, start: startTraefik, emulated: true}, {name: envoyName, away: 503, start: startEnvoy, emulated: true},
	}
}

// recipe copies a recipe into a folder with pairs of addresses replaced, each of which must occur,
// and returns the file.
func recipe(t *testing.T, dir, file string, pairs ...string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for i := 0; i < len(pairs); i += 2 {
		require.Contains(t, string(text), pairs[i], file)
	}
	file = filepath.Join(dir, filepath.Base(file))
	err = os.WriteFile(file, []byte(strings.NewReplacer(pairs...).Replace(string(text))), 0o600) //nolint:gosec // in the test's own folder
	require.NoError(t, err)
	return file
}

// startNginx runs nginx.
func startNginx(t *testing.T, a addresses) {
	t.Helper()
	startNginxWith(t, a)
}

// startNginxWith runs nginx as Debian does, with pairs of replacements: the recipe is one of
// several files in conf.d.
func startNginxWith(t *testing.T, a addresses, pairs ...string) {
	t.Helper()
	dir := t.TempDir()
	recipe(t, dir, "nginx/authsvc.conf", append(pairs, "listen "+recipeListen+";", "listen "+a.listen+";", recipeAuthsvc, a.authsvc, recipeApplication, a.application)...)
	main := "pid nginx.pid; daemon off; error_log stderr warn; worker_processes 1;\n"
	if os.Getuid() == 0 {
		main += "user root;\n" // who owns the folder
	}
	main += "events {}\nhttp {\n access_log off;\n include authsvc.conf;\n"
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		main += " " + kind + "_temp_path " + kind + ";\n"
	}
	file := filepath.Join(dir, "nginx.conf")
	require.NoError(t, os.WriteFile(file, []byte(main+"}\n"), 0o600))
	run(t, a.listen, exec.Command("nginx", "-e", "stderr", "-p", dir, "-c", file))
}

// startCaddy runs Caddy.
func startCaddy(t *testing.T, a addresses) {
	t.Helper()
	startCaddyWith(t, a)
}

// startCaddyWith runs Caddy with pairs of replacements.
func startCaddyWith(t *testing.T, a addresses, pairs ...string) {
	t.Helper()
	dir := t.TempDir()
	_, port, err := net.SplitHostPort(a.listen)
	require.NoError(t, err)
	file := recipe(t, dir, "caddy/Caddyfile", append(pairs, "\n:"+recipeListen+" {", "\n:"+port+" {\n\tbind 127.0.0.1", recipeAuthsvc, a.authsvc, recipeApplication, a.application)...)
	cmd := exec.Command("caddy", "run", "--adapter", "caddyfile", "--config", file)
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	run(t, a.listen, cmd)
}

// startHAProxy runs HAProxy.
func startHAProxy(t *testing.T, a addresses) {
	t.Helper()
	startHAProxyWith(t, a, nil, nil)
}

// startHAProxyWith runs HAProxy with pairs of replacements in the script and in the configuration.
func startHAProxyWith(t *testing.T, a addresses, script, pairs []string) {
	t.Helper()
	dir := t.TempDir()
	lua := recipe(t, dir, "haproxy/authsvc.lua", script...)
	file := recipe(t, dir, "haproxy/haproxy.cfg", append(pairs, "bind :"+recipeListen, "bind "+a.listen, "/etc/haproxy/authsvc.lua", lua,
		recipeAuthsvc, a.authsvc, recipeApplication, a.application)...)
	run(t, a.listen, exec.Command("haproxy", "-db", "-f", file))
}

// lockedBuffer is what a process printed.
type lockedBuffer struct {
	mu    sync.Mutex
	bytes bytes.Buffer // guarded by mu
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes.String()
}

// run runs a proxy until the test ends, and returns when it accepts connections.
func run(t *testing.T, listen string, cmd *exec.Cmd) {
	t.Helper()
	cmd.Path = lookPath(t, cmd.Args[0])
	cmd.Err = nil
	out := new(lockedBuffer)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	require.NoError(t, cmd.Start())
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait() // how it ended is in what it printed
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-exited
		if t.Failed() {
			t.Logf("%s printed:\n%s", cmd.Args[0], out)
		}
	})
	ldaptest.Eventually(t, cmd.Args[0]+" listens", func() bool {
		select {
		case <-exited:
			t.Fatalf("%s has ended:\n%s", cmd.Args[0], out)
		default:
		}
		c, err := net.Dial("tcp", listen)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
}

// lookPath finds a program, also where Debian keeps those of root.
func lookPath(t *testing.T, program string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		path, err := exec.LookPath(filepath.Join(dir, program))
		if err == nil {
			return path
		}
	}
	t.Fatalf("there is no %s: run scripts/install-test-deps", program)
	return ""
}

// newClient is a client whose connections end with the test.
func newClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}
