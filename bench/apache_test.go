package bench

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// apacheConf is Apache with mod_authnz_ldap and without its caches: each request is a search and a
// bind at the directory. It has more threads than there are callers.
const apacheConf = `
ServerRoot /usr/lib/apache2
ServerName bench
Listen %[1]s
PidFile %[2]s/pid
ErrorLog %[2]s/error.log
DocumentRoot %[2]s/www
LoadModule mpm_event_module modules/mod_mpm_event.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule authz_user_module modules/mod_authz_user.so
LoadModule authn_core_module modules/mod_authn_core.so
LoadModule auth_basic_module modules/mod_auth_basic.so
LoadModule ldap_module modules/mod_ldap.so
LoadModule authnz_ldap_module modules/mod_authnz_ldap.so
User nobody
Group nogroup
StartServers 1
ServerLimit 1
ThreadLimit 128
ThreadsPerChild 128
MaxRequestWorkers 128
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
LDAPSharedCacheSize 0
LDAPCacheEntries 0
LDAPOpCacheEntries 0
LDAPTrustedGlobalCert CA_BASE64 %[3]s
<Directory %[2]s/www>
	AuthType Basic
	AuthName bench
	AuthBasicProvider ldap
	AuthLDAPURL %[4]s/%[5]s?uid
	AuthLDAPBindDN %[6]s
	AuthLDAPBindPassword %[7]s
	Require valid-user
</Directory>
`

// startApache runs Apache against a directory. The folder that it serves is open to the user it
// runs as.
func startApache(b *testing.B, directory, ca string) *child {
	b.Helper()
	dir, err := os.MkdirTemp("", "apache") //nolint:usetesting // that of the test is closed to other users
	require.NoError(b, err)
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(b, os.Chmod(dir, 0o755)) //nolint:gosec // to be read by another user
	require.NoError(b, os.Mkdir(filepath.Join(dir, "www"), 0o755))
	require.NoError(b, os.WriteFile(filepath.Join(dir, "www", "index"), []byte("{}"), 0o644))
	authority, err := os.ReadFile(ca)
	require.NoError(b, err)
	trusted := filepath.Join(dir, "ca.pem")
	require.NoError(b, os.WriteFile(trusted, authority, 0o644)) //nolint:gosec // the same
	addr, conf := freeAddr(b), filepath.Join(dir, "httpd.conf")
	text := fmt.Sprintf(apacheConf, addr, dir, trusted, directory, ldaptest.PeopleDN, ldaptest.ServiceDN, ldaptest.ServicePassword)
	require.NoError(b, os.WriteFile(conf, []byte(text), 0o600))
	cmd := exec.Command("/usr/sbin/apache2", "-f", conf, "-D", "FOREGROUND")
	cmd.Stderr = os.Stderr
	require.NoError(b, cmd.Start(), "apache2 is not installed: scripts/install-test-deps apache2")
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	ldaptest.Eventually(b, "Apache listens", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return &child{Cmd: cmd, addr: addr}
}

// overBasic logs in by a GET with HTTP Basic credentials on one kept connection.
func overBasic(addr string) func(*testing.B) caller {
	return func(b *testing.B) caller {
		b.Helper()
		conn, err := net.Dial("tcp", addr)
		require.NoError(b, err)
		in := bufio.NewReader(conn)
		login := func(i int) error {
			credentials := base64.StdEncoding.EncodeToString([]byte(ldaptest.Username(i) + ":" + ldaptest.Password(i)))
			if _, err := fmt.Fprintf(conn, "GET /index HTTP/1.1\r\nHost: bench\r\nAuthorization: Basic %s\r\n\r\n", credentials); err != nil {
				return err
			}
			return readOK(in)
		}
		return caller{login, func() { _ = conn.Close() }}
	}
}
