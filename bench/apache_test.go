package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// apacheConf is Apache with mod_authnz_ldap. It has more threads than there are callers.
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
%[8]s
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

// withoutCaches makes each request a search and a bind at the directory.
const withoutCaches = `
LDAPSharedCacheSize 0
LDAPCacheEntries 0
LDAPOpCacheEntries 0
`

// startApache runs Apache without its caches against a directory.
func startApache(b *testing.B, directory, ca string) *child {
	b.Helper()
	return startApacheWith(b, directory, ca, withoutCaches)
}

// startApacheWith runs Apache with the directives for its caches. The folder that it serves is open
// to the user it runs as.
func startApacheWith(b *testing.B, directory, ca, caches string) *child {
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
	text := fmt.Sprintf(apacheConf, addr, dir, trusted, directory, ldaptest.PeopleDN, ldaptest.ServiceDN, ldaptest.ServicePassword, caches)
	require.NoError(b, os.WriteFile(conf, []byte(text), 0o600))
	cmd := exec.Command("/usr/sbin/apache2", "-f", conf, "-D", "FOREGROUND")
	return startPackaged(b, "apache2", cmd, addr, syscall.SIGTERM)
}
