package demo

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// slapdConf gives slapd the access rules that the demo directory imitates.
const slapdConf = `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
access to dn.base="" by * read
access to attrs=userPassword by anonymous auth by * none
access to * by users read by * none
database mdb
suffix "dc=example,dc=org"
directory %q
maxsize 10485760
dbnosync
`

// startSlapd runs slapd on the sample directory until the test ends, and returns
// its URL: a Unix socket, so that no port can be taken.
func startSlapd(t testing.TB) string {
	t.Helper()
	for _, tool := range []string{"/usr/sbin/slapd", "/usr/sbin/slapadd"} {
		if _, err := os.Stat(tool); err != nil {
			t.Fatalf("%v: apt-get install slapd", err)
		}
	}
	// Not t.TempDir: the path of a Unix socket has at most 107 bytes.
	dir, err := os.MkdirTemp("", "demo") //nolint:usetesting // see above
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	conf, sample := filepath.Join(dir, "slapd.conf"), filepath.Join(dir, "directory.ldif")
	require.NoError(t, os.WriteFile(conf, fmt.Appendf(nil, slapdConf, dir), 0o600))
	require.NoError(t, os.WriteFile(sample, LDIF(), 0o600))
	out, err := exec.Command("/usr/sbin/slapadd", "-f", conf, "-l", sample).CombinedOutput()
	require.NoError(t, err, "%s", out)

	socket := filepath.Join(dir, "ldapi")
	runSlapd(t, exec.Command("/usr/sbin/slapd", "-d", "none", "-f", conf,
		"-h", "ldapi://"+url.PathEscape(socket)), socket)
	return "ldapi://" + socket
}

// runSlapd starts the command, waits until it accepts connections on the socket,
// and ends it with the test.
func runSlapd(t testing.TB, slapd *exec.Cmd, socket string) {
	t.Helper()
	var log logBuffer
	slapd.Stdout, slapd.Stderr = &log, &log
	require.NoError(t, slapd.Start())
	t.Cleanup(func() {
		_ = slapd.Process.Kill()
		_ = slapd.Wait()
	})
	accepts := func() bool {
		conn, err := net.Dial("unix", socket)
		return err == nil && conn.Close() == nil
	}
	require.Eventually(t, accepts, patience, 5*time.Millisecond, "slapd does not answer: %v", &log)
}
