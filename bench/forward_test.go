package bench

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// hotUsers is how many users' browsers send requests. Apache's cache has room for 1,024 by default.
const hotUsers = 500

// apacheCache are the defaults of mod_ldap's caches (LDAPSharedCacheSize, LDAPCacheEntries,
// LDAPCacheTTL, LDAPOpCacheEntries, LDAPOpCacheTTL).
const apacheCache = `
LDAPSharedCacheSize 500000
LDAPCacheEntries 1024
LDAPCacheTTL 600
LDAPOpCacheEntries 1024
LDAPOpCacheTTL 600
`

// BenchmarkForwardHit compares requests with credentials that were right a moment ago: Apache's
// mod_authnz_ldap with its caches, which serves a page of two bytes; nginx, which serves the same
// page and asks the service; the service alone, at GET /auth/basic; and the same users' logins at
// POST /auth, for which there is no cache. They take turns within one run. CPU of nginx is that of
// nginx and the service together.
func BenchmarkForwardHit(b *testing.B) {
	slapd := ldaptest.StartSlapd(b, ldaptest.SlapdConfig{Users: hotUsers, TLS: true})
	apache := startApacheWith(b, slapd.URL(), slapd.CA().File(), apacheCache)
	authsvc := startService(b, slapd.URL(), "HTTP_TRUSTED_PROXIES=127.0.0.1", "AUTH_BASIC_CACHE_TTL=1h")
	nginx := startNginx(b, authsvc.addr)
	contenders := []contender{
		{name: "POST /auth", connect: hot(overHTTP(authsvc.addr)), server: authsvc},
		{name: "apache, cached", connect: hot(overBasic(apache.addr, "/index")), server: apache},
		{name: "nginx and authsvc", connect: hot(overBasic(nginx.addr, "/index")), server: nginx, asked: authsvc},
		{name: "authsvc, cached", connect: hot(overBasic(authsvc.addr, "/auth/basic")), server: authsvc},
	}
	for _, c := range contenders { // fill the caches
		one := c.connect(b)
		for i := range hotUsers {
			require.NoError(b, one.login(i), c.name)
		}
		one.close()
	}
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			for b.Loop() {
				got := compare(b, contenders, callers)
				hit := got[len(got)-1]
				for i, f := range got[:len(got)-1] {
					fmt.Printf("authsvc, cached, to %s: %.2f times the requests/s, %.2f of the CPU\n", contenders[i].name, hit.perSecond/f.perSecond, hit.cpu/f.cpu)
				}
			}
		})
	}
}

// hot makes a load use the first users only.
func hot(connect func(*testing.B) caller) func(*testing.B) caller {
	return func(b *testing.B) caller {
		b.Helper()
		c := connect(b)
		return caller{func(i int) error { return c.login(i % hotUsers) }, c.close}
	}
}

// nginxConf is the recipe's nginx, with a page of its own instead of an application's.
const nginxConf = `
pid nginx.pid;
daemon off;
error_log stderr warn;
worker_processes auto;
%s
events { worker_connections 4096; }
http {
	access_log off;
	keepalive_requests 1000000000;
	include authsvc.conf;
	client_body_temp_path client_body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
}
`

// startNginx runs nginx in front of a page, with the recipe that asks the service.
func startNginx(b *testing.B, authsvc string) *child {
	b.Helper()
	dir, addr := b.TempDir(), freeAddr(b)
	text, err := os.ReadFile("../deploy/nginx/authsvc.conf")
	require.NoError(b, err)
	recipe := string(text)
	for from, to := range map[string]string{
		"listen 8000;": "listen " + addr + ";", "127.0.0.1:8080": authsvc,
		"    location / {\n        proxy_pass http://application;": "    location / {\n        root " + dir + "/www;",
	} {
		require.Contains(b, recipe, from)
		recipe = strings.Replace(recipe, from, to, 1)
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;" // who owns the folder
	}
	require.NoError(b, os.Mkdir(filepath.Join(dir, "www"), 0o755))
	for name, content := range map[string]string{"www/index": "{}", "authsvc.conf": recipe, "nginx.conf": fmt.Sprintf(nginxConf, user)} {
		require.NoError(b, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	cmd := exec.Command("nginx", "-e", "stderr", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"))
	return startPackaged(b, "nginx", cmd, addr, syscall.SIGQUIT)
}

// startPackaged runs a server of a Debian package until the benchmark ends, and waits until it
// accepts connections.
func startPackaged(b *testing.B, name string, cmd *exec.Cmd, addr string, stop os.Signal) *child {
	b.Helper()
	cmd.Stderr = os.Stderr
	require.NoError(b, cmd.Start(), "%s is not installed: scripts/install-test-deps %[1]s", name)
	b.Cleanup(func() {
		_ = cmd.Process.Signal(stop)
		_ = cmd.Wait()
	})
	ldaptest.Eventually(b, name+" listens", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return &child{Cmd: cmd, addr: addr}
}

// overBasic sends GET requests with HTTP Basic credentials on one kept connection.
func overBasic(addr, path string) func(*testing.B) caller {
	return func(b *testing.B) caller {
		b.Helper()
		conn, err := net.Dial("tcp", addr)
		require.NoError(b, err)
		in := bufio.NewReader(conn)
		login := func(i int) error {
			credentials := base64.StdEncoding.EncodeToString([]byte(ldaptest.Username(i) + ":" + ldaptest.Password(i)))
			if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Basic %s\r\n\r\n", path, credentials); err != nil {
				return err
			}
			return readOK(in)
		}
		return caller{login, func() { _ = conn.Close() }}
	}
}
