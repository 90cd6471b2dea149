package ldaptest

import (
	"crypto/tls"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// SlapdConfig says what a slapd is to be like. The zero value is a directory
// without users, over plain TCP and ldapi, that never cuts a connection.
type SlapdConfig struct {
	// Users is how many users there are; see [UserDN], [Password].
	Users int
	// Hash makes the stored userPassword value of a password. Nil stores the
	// password itself, so that a bind costs slapd nothing.
	Hash func(password string) string
	// IdleTimeout is how long slapd lets a connection idle, rounded up to whole
	// seconds. slapd looks once in a quarter of it, at most once a second, so it
	// cuts up to a second or a quarter later. 0 is for ever.
	IdleTimeout time.Duration
	// TLS adds an ldaps listener and permits StartTLS on the plain one.
	TLS bool
	// ClientName is the common name of the client certificates whose SASL
	// EXTERNAL is the service identity; slapd then asks for a certificate. Other
	// certificates of slapd's authority are the identity of their own subject.
	// This process is the service identity over ldapi as well. None if empty.
	ClientName string
	// CertLife is for how long slapd's certificate is good; a day if zero.
	CertLife time.Duration
	// Threads is the size of slapd's thread pool; 0 is slapd's own default, 16.
	Threads int
	// Port is where the plain listener is; 0 takes a free one.
	Port int
	// LDIF holds entries to add after the users.
	LDIF string
	// ExtraGlobal are lines for slapd.conf before the database, say moduleload.
	ExtraGlobal string
	// ExtraDatabase are lines for the end of the database: its overlays.
	ExtraDatabase string
	// Access are access rules that come before the standard ones, so that they
	// win.
	Access string
}

// Slapd is a running slapd with its own data and ports. It may be killed,
// stopped and started again; ports and data stay. Its methods may be called
// from several goroutines, though those that can fail end the test and
// belong in the test's own.
type Slapd struct {
	t       testing.TB
	bin     string
	dir     string // slapd.conf, data, log
	sockDir string // short, for the ldapi socket: a path of at most 107 bytes
	ca      *CA    // nil without TLS
	plain   *port
	secure  *port // nil without TLS

	mu   sync.Mutex
	proc *process // guarded by mu; nil while slapd is down
}

// StartSlapd makes a directory and runs slapd over it until the test ends. It
// returns when slapd answers a search. It fails the test, never skips it, if
// slapd is not installed.
func StartSlapd(tb testing.TB, cfg SlapdConfig) *Slapd {
	tb.Helper()
	s := &Slapd{t: tb, bin: findSlapd(tb), dir: tb.TempDir(), sockDir: shortDir(tb)}
	if cfg.TLS {
		s.ca = NewCA(tb)
	}
	tb.Cleanup(s.cleanup)
	s.writeConfig(cfg)
	s.loadEntries(cfg)
	s.startOnFreePorts(cfg)
	return s
}

// findSlapd is the path of slapd, which is often outside a user's PATH.
func findSlapd(tb testing.TB) string {
	tb.Helper()
	for _, name := range []string{"slapd", "/usr/sbin/slapd", "/usr/local/sbin/slapd"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	tb.Fatal("slapd is not installed: apt-get install slapd ldap-utils, or run make test as root")
	return ""
}

// shortDir is a folder with a short name, removed when the test ends.
// t.TempDir contains the test's name, too long for a Unix socket at times.
func shortDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "slapd") //nolint:usetesting // its name is too long, see above
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// URL is the plain listener: "ldap://127.0.0.1:port".
func (s *Slapd) URL() string { return "ldap://" + s.Addr() }

// Addr is the host and port of the plain listener.
func (s *Slapd) Addr() string { return s.plain.addr() }

// TLSURL is the TLS listener, "ldaps://localhost:port". It fails the test if
// slapd was started without TLS.
func (s *Slapd) TLSURL() string {
	s.t.Helper()
	return "ldaps://" + strings.Replace(s.TLSAddr(), loopback, "localhost", 1)
}

// TLSAddr is the host and port of the TLS listener. It fails the test if
// slapd was started without TLS.
func (s *Slapd) TLSAddr() string {
	s.t.Helper()
	s.CA()
	return s.secure.addr()
}

// LDAPIURL is the listener on a Unix socket: "ldapi://%2Ftmp%2F...".
func (s *Slapd) LDAPIURL() string { return "ldapi://" + url.PathEscape(s.socket()) }

// CA is the authority that issued slapd's certificate, which is for localhost
// and the loopback addresses. It fails the test if slapd was started without
// TLS.
func (s *Slapd) CA() *CA {
	s.t.Helper()
	if s.ca == nil {
		s.t.Fatal("this slapd was started without SlapdConfig.TLS")
	}
	return s.ca
}

// TLSConfig is a client's configuration that trusts slapd's certificate under
// the name localhost.
func (s *Slapd) TLSConfig() *tls.Config {
	s.t.Helper()
	return s.CA().ClientTLS("localhost")
}

// Log is the path of slapd's log at level stats. It grows across restarts.
func (s *Slapd) Log() string { return filepath.Join(s.dir, "slapd.log") }

// LogCount says how many lines of the log contain text.
func (s *Slapd) LogCount(text string) int {
	s.t.Helper()
	data, err := os.ReadFile(s.Log())
	if err != nil {
		s.t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// ClosedIdle says how many connections slapd has closed for idling, since the
// first start.
func (s *Slapd) ClosedIdle() int {
	s.t.Helper()
	return s.LogCount("closed (idletimeout)")
}

func (s *Slapd) socket() string   { return filepath.Join(s.sockDir, "ldapi") }
func (s *Slapd) confFile() string { return filepath.Join(s.dir, "slapd.conf") }
func (s *Slapd) dataDir() string  { return filepath.Join(s.dir, "data") }
