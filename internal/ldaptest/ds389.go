package ldaptest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/go-ldap/ldap/v3"
)

// DirectoryManagerDN is the identity in 389 DS that no access rule or password policy binds. Its
// password is [RootPassword].
const DirectoryManagerDN = "cn=Directory Manager"

// ds389Template is what dscreate makes an instance's configuration of.
const ds389Template = "/usr/share/dirsrv/data/template-dse.ldif"

// DS389 is a running 389 Directory Server with its own data and port. It serves the tree of
// [StartSlapd] without users; the service identity may read all of it. It is made without dscreate,
// which wants root and systemd.
type DS389 struct {
	t     testing.TB
	dir   string
	ca    *CA // nil without TLS
	port  *port
	tls   *port // nil without TLS
	proc  *process
	admin *ldap.Conn
}

// StartDS389 makes a directory and runs 389 DS over it until the test ends. It fails the test,
// never skips it, if 389 DS is not installed.
func StartDS389(tb testing.TB) *DS389 {
	tb.Helper()
	return startDS389(tb, nil)
}

// StartDS389WithTLS is [StartDS389] with an ldaps listener as well. It maps a client certificate of
// its authority to the entry that has the certificate's common name as cn, for SASL EXTERNAL: that
// of the service identity is "service".
func StartDS389WithTLS(tb testing.TB) *DS389 {
	tb.Helper()
	return startDS389(tb, NewCA(tb))
}

func startDS389(tb testing.TB, ca *CA) *DS389 {
	tb.Helper()
	bin := ""
	for _, name := range []string{"ns-slapd", "/usr/sbin/ns-slapd"} {
		if path, err := exec.LookPath(name); err == nil && bin == "" {
			bin = path
		}
	}
	if bin == "" {
		tb.Fatal("389 DS is not installed: apt-get install 389-ds-base, or run make test as root")
	}
	// The server makes a semaphore of the folder's name, which has to be nobody else's.
	s := &DS389{t: tb, dir: shortDir(tb), ca: ca}
	tb.Cleanup(s.cleanup)
	s.start(bin)
	s.makeTree()
	return s
}

// URL is the plain listener: "ldap://127.0.0.1:port".
func (s *DS389) URL() string { return "ldap://" + s.port.addr() }

// TLSURL is the TLS listener, "ldaps://localhost:port", of a server with TLS.
func (s *DS389) TLSURL() string {
	return "ldaps://" + strings.Replace(s.tls.addr(), loopback, "localhost", 1)
}

// CA is the authority of the server's certificate, and of clients', of a server with TLS.
func (s *DS389) CA() *CA { return s.ca }

// Add adds an entry as the Directory Manager.
func (s *DS389) Add(dn string, attributes map[string][]string) {
	s.t.Helper()
	req := ldap.NewAddRequest(dn, nil)
	for name, values := range attributes {
		req.Attribute(name, values)
	}
	if err := s.admin.Add(req); err != nil {
		s.t.Fatalf("add %s: %v", dn, err)
	}
}

// Modify replaces attributes of an entry as the Directory Manager; an attribute without values is
// removed. cn=config is the server's own configuration, its global password policy in it.
func (s *DS389) Modify(dn string, attributes map[string][]string) {
	s.t.Helper()
	req := ldap.NewModifyRequest(dn, nil)
	for name, values := range attributes {
		req.Replace(name, values)
	}
	if err := s.admin.Modify(req); err != nil {
		s.t.Fatalf("modify %s: %v", dn, err)
	}
}

// start runs the server on a free port, again on another if a stranger was quicker to bind.
func (s *DS389) start(bin string) {
	s.t.Helper()
	var err error
	for range 3 {
		if err = s.claimPorts(); err == nil {
			s.writeConfig()
			err = s.launch(bin)
		}
		if err == nil {
			return
		}
		s.releasePorts()
	}
	s.t.Fatalf("start 389 DS: %v", err)
}

func (s *DS389) claimPorts() (err error) {
	if s.port, err = claimPort(0); err == nil && s.ca != nil {
		s.tls, err = claimPort(0)
	}
	return err
}

func (s *DS389) releasePorts() {
	for _, p := range []*port{s.port, s.tls} {
		if p != nil {
			p.release()
		}
	}
}

// writeConfig empties the instance's folder and writes what dscreate would write into it.
func (s *DS389) writeConfig() {
	s.t.Helper()
	template, err := os.ReadFile(ds389Template)
	if err != nil {
		s.t.Fatal(err)
	}
	me, err := user.Current()
	if err != nil {
		s.t.Fatal(err)
	}
	// Without a schema of the instance's own the server ends without a word. What Debian has in
	// /etc/dirsrv only root may read.
	s.writeFile(filepath.Join(s.sub("schema"), "99user.ldif"), "dn: cn=schema\n")
	s.writeFile(filepath.Join(s.dir, "slapd-collations.conf"), "")
	listeners := strconv.Itoa(s.port.number) + "\nnsslapd-listenhost: " + loopback
	if s.ca != nil {
		s.writeCertificates()
		listeners += "\nnsslapd-security: on\nnsslapd-securePort: " + strconv.Itoa(s.tls.number) + "\nnsslapd-securelistenhost: " + loopback
	}
	values := []string{
		"%schema_dir%", "/usr/share/dirsrv/schema", "%config_dir%", s.dir, "%cert_dir%", s.dir,
		"%fqdn%", "localhost", "%ds_port%", listeners, "%ds_user%", me.Username,
		"%rootdn%", DirectoryManagerDN, "%ds_passwd%", SSHA(RootPassword), "%ds_suffix%", BaseDN,
		"%ldapi_enabled%", "off", "%ldapi_autobind%", "off", "%ldapi%", filepath.Join(s.dir, "ldapi"), "%db_lib%", "bdb",
		// Its own choice is a tenth of the machine's memory.
		"%db_dir%", s.sub("db") + "\nnsslapd-cache-autosize: 0\nnsslapd-dbcachesize: 4194304", "%db_home_dir%", s.sub("db"),
	}
	for _, name := range []string{"lock", "tmp", "ldif", "bak", "run", "inst", "log"} {
		values = append(values, "%"+name+"_dir%", s.sub(name))
	}
	s.writeFile(filepath.Join(s.dir, "dse.ldif"), strings.NewReplacer(values...).Replace(string(template)))
}

// writeCertificates makes the server's NSS database, and its rule that maps certificates to
// entries.
func (s *DS389) writeCertificates() {
	s.t.Helper()
	cert := s.ca.Issue(s.t, CertConfig{})
	p12 := filepath.Join(s.dir, "server.p12")
	for _, command := range [][]string{
		{"certutil", "-N", "-d", s.dir, "--empty-password"},
		{"certutil", "-A", "-d", s.dir, "-n", "CA", "-t", "CT,,", "-i", s.ca.File()},
		{"openssl", "pkcs12", "-export", "-name", "Server-Cert", "-in", cert.CertFile, "-inkey", cert.KeyFile, "-passout", "pass:", "-out", p12},
		{"pk12util", "-d", s.dir, "-i", p12, "-W", ""},
	} {
		out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		if err != nil {
			s.t.Fatalf("%s: %v (apt-get install libnss3-tools openssl)\n%s", command[0], err, out)
		}
	}
	s.writeFile(filepath.Join(s.dir, "certmap.conf"), "certmap default default\ndefault:DNComps\ndefault:FilterComps cn\n")
}

// writeFile writes a file of the instance.
func (s *DS389) writeFile(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil { //nolint:gosec // the test's own folder
		s.t.Fatal(err)
	}
}

// sub is a folder of the instance.
func (s *DS389) sub(name string) string {
	s.t.Helper()
	dir := filepath.Join(s.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	return dir
}

// launch runs the server and binds to it as the Directory Manager.
func (s *DS389) launch(bin string) error {
	cmd := exec.Command("/bin/sh", "-c", limitFiles, "sh", bin, "-D", s.dir, "-i", filepath.Join(s.dir, "pid"), "-d", "0")
	out, err := os.Create(filepath.Join(s.dir, "out"))
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.proc = &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		defer close(s.proc.exited)
		_ = cmd.Wait() // how it ended is in its log
	}()
	if !poll(s.proc.exited, s.connect) {
		s.proc.end(syscall.SIGKILL)
		return fmt.Errorf("no answer at %s; its log:\n%s", s.URL(), s.log())
	}
	return nil
}

// connect says whether the Directory Manager could bind, which is nobody's but our server's to
// permit.
func (s *DS389) connect() bool {
	c, err := ldap.DialURL(s.URL(), ldap.DialWithDialer(&net.Dialer{Timeout: patience}))
	if err != nil {
		return false
	}
	c.SetTimeout(patience)
	if err := c.Bind(DirectoryManagerDN, RootPassword); err != nil {
		_ = c.Close()
		return false
	}
	s.admin = c
	return true
}

// makeTree adds the database and the tree above the users.
func (s *DS389) makeTree() {
	s.t.Helper()
	const plugin = "cn=userRoot,cn=ldbm database,cn=plugins,cn=config"
	s.Add(plugin, map[string][]string{"objectClass": {"top", "extensibleObject", "nsBackendInstance"}, "cn": {"userRoot"}, "nsslapd-suffix": {BaseDN}})
	s.Add(`cn="`+BaseDN+`",cn=mapping tree,cn=config`, map[string][]string{
		"objectClass": {"top", "extensibleObject", "nsMappingTree"}, "cn": {BaseDN}, "nsslapd-state": {"backend"}, "nsslapd-backend": {"userRoot"},
	})
	s.Add(BaseDN, map[string][]string{"objectClass": {"domain"}, "dc": {"example"}, "aci": {
		`(targetattr = "*")(version 3.0; acl "service"; allow (read,search,compare) userdn = "ldap:///` + ServiceDN + `";)`,
	}})
	for dn, ou := range map[string]string{PeopleDN: "people", GroupsDN: "groups"} {
		s.Add(dn, map[string][]string{"objectClass": {"organizationalUnit"}, "ou": {ou}})
	}
	s.Add(ServiceDN, map[string][]string{
		"objectClass": {"organizationalRole", "simpleSecurityObject"}, "cn": {"service"}, "userPassword": {ServicePassword},
	})
}

// log is the end of what the server wrote to its output and its error log.
func (s *DS389) log() string {
	var all strings.Builder
	for _, file := range []string{"out", "log/errors"} {
		data, err := os.ReadFile(filepath.Join(s.dir, file))
		if err != nil {
			data = []byte(err.Error())
		}
		all.Write(data[max(0, len(data)-4096):])
	}
	return all.String()
}

func (s *DS389) cleanup() {
	if s.admin != nil {
		_ = s.admin.Close()
	}
	if s.proc != nil {
		s.proc.end(syscall.SIGKILL)
	}
	s.releasePorts()
	_ = os.Remove("/dev/shm/sem." + filepath.Base(s.dir) + ".stats") // a server that is killed leaves it
	if s.t.Failed() {
		s.t.Logf("the end of 389 DS' log:\n%s", s.log())
	}
}
