package deploy_test

import (
	"bytes"
	"flag"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// built is where make test-proxies puts the proxies that it builds.
var built = flag.String("proxies", "", "test the proxies that scripts/build-proxies has put into `FOLDER`, instead of Debian's")

// product is a reverse proxy.
type product struct {
	name string
	away int // status while authsvc cannot be reached
	// emulated by this package instead of run
	emulated bool
	// http2 is spoken with clients, and HTTP/1.1 with the application and authsvc
	http2 bool
	// start runs the recipe with other addresses until the test ends.
	start func(t *testing.T, a addresses)
}

// envoyName is the proxy that turns each fault of authsvc into 503 without Retry-After, and that
// leaves what a client says in X-Forwarded-For in front of the client's address.
const envoyName = "envoy"

// addresses replace those of a recipe.
type addresses struct {
	listen, authsvc, application string
	// cert is the proxy's, and ca has issued it. Nil means HTTP/1.1 without TLS.
	cert *ldaptest.Cert
	ca   *ldaptest.CA
}

// products are the reverse proxies that are tested.
func products(t *testing.T) []product {
	t.Helper()
	if *built == "" {
		return []product{
			{name: "nginx", away: 502, start: startNginx}, {name: "caddy", away: 502, start: startCaddy("caddy")}, {name: "haproxy", away: 503, start: startHAProxy},
			{name: envoyName, away: 503, start: startEnvoy, emulated: true},
		}
	}
	dir, err := filepath.Abs(*built)
	require.NoError(t, err)
	return []product{
		{name: "caddy", away: 502, start: startCaddy(filepath.Join(dir, "caddy"))}, {name: "traefik", away: 500, start: startTraefik(filepath.Join(dir, "traefik"))},
	}
}

// withHTTP2 adds a product that speaks HTTP/2 for each that is not emulated.
func withHTTP2(all []product) []product {
	for _, p := range slices.Clone(all) {
		if !p.emulated {
			p.http2 = true
			all = append(all, p)
		}
	}
	return all
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
	listen := "listen " + a.listen + ";"
	if a.cert != nil {
		listen = "listen " + a.listen + " ssl http2; ssl_certificate " + a.cert.CertFile + "; ssl_certificate_key " + a.cert.KeyFile + ";"
	}
	recipe(t, dir, "nginx/authsvc.conf", append(pairs, "listen "+recipeListen+";", listen, recipeAuthsvc, a.authsvc, recipeApplication, a.application)...)
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
func startCaddy(program string) func(*testing.T, addresses) {
	return func(t *testing.T, a addresses) {
		t.Helper()
		startCaddyWith(t, program, a)
	}
}

// startCaddyWith runs Caddy with pairs of replacements.
func startCaddyWith(t *testing.T, program string, a addresses, pairs ...string) {
	t.Helper()
	dir := t.TempDir()
	_, port, err := net.SplitHostPort(a.listen)
	require.NoError(t, err)
	site := "\n:" + port + " {\n\tbind 127.0.0.1"
	if a.cert != nil {
		site += "\n\ttls " + a.cert.CertFile + " " + a.cert.KeyFile
	}
	file := recipe(t, dir, "caddy/Caddyfile", append(pairs, "\n:"+recipeListen+" {", site, recipeAuthsvc, a.authsvc, recipeApplication, a.application)...)
	cmd := exec.Command(program, "run", "--adapter", "caddyfile", "--config", file)
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	run(t, a.listen, cmd)
}

// startTraefik runs Traefik.
func startTraefik(program string) func(*testing.T, addresses) {
	return func(t *testing.T, a addresses) {
		t.Helper()
		dir := t.TempDir()
		certificate := ""
		if a.cert != nil {
			certificate = "tls:\n  stores:\n    default:\n      defaultCertificate: {certFile: " + a.cert.CertFile + ", keyFile: " + a.cert.KeyFile + "}\n"
		}
		file := recipe(t, dir, "traefik/authsvc.yaml", "http:\n", certificate+"http:\n", recipeAuthsvc, a.authsvc, recipeApplication, a.application)
		pairs := []string{`address: ":` + recipeListen + `"`, `address: "` + a.listen + `"`, "/etc/traefik/authsvc.yaml", file}
		if a.cert != nil {
			pairs = append(pairs, "    http:\n", "    http:\n      tls: {}\n")
		}
		run(t, a.listen, exec.Command(program, "--configfile="+recipe(t, dir, "traefik/traefik.yaml", pairs...)))
		// It listens before it has read what to serve, and answers 404 till then.
		probe := newFront(a)
		defer probe.client.CloseIdleConnections()
		ldaptest.Eventually(t, "Traefik has routes", func() bool {
			answer, err := probe.try(request{path: "/", username: "401", password: "probe"})
			return err == nil && answer.status != http.StatusNotFound
		})
	}
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
	bind := "bind " + a.listen
	if a.cert != nil {
		bind += " ssl crt " + pemOf(t, dir, a.cert) + " alpn h2,http/1.1"
	}
	file := recipe(t, dir, "haproxy/haproxy.cfg", append(pairs, "bind :"+recipeListen, bind, "/etc/haproxy/authsvc.lua", lua,
		recipeAuthsvc, a.authsvc, recipeApplication, a.application)...)
	run(t, a.listen, exec.Command("haproxy", "-db", "-f", file))
}

// pemOf returns a file with a certificate and its key.
func pemOf(t *testing.T, dir string, cert *ldaptest.Cert) string {
	t.Helper()
	chain, err := os.ReadFile(cert.CertFile)
	require.NoError(t, err)
	key, err := os.ReadFile(cert.KeyFile)
	require.NoError(t, err)
	file := filepath.Join(dir, "haproxy.pem")
	require.NoError(t, os.WriteFile(file, append(chain, key...), 0o600)) //nolint:gosec // the directory is the test's
	return file
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
	if filepath.IsAbs(program) {
		return program
	}
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
	return &http.Client{Transport: transport, CheckRedirect: noRedirect}
}

// noRedirect makes a client return a redirect as it is.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
