package ldaptest

import (
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// The domain that [StartSamba] serves.
const (
	// SambaBaseDN is the domain's root, its defaultNamingContext.
	SambaBaseDN = "DC=ad,DC=example,DC=org"
	// SambaUsersDN is where users and groups are made.
	SambaUsersDN = "CN=Users," + SambaBaseDN
	// SambaDNSName is the domain's name in DNS.
	SambaDNSName = "ad.example.org"
	// SambaNetBIOSName is the domain's short name.
	SambaNetBIOSName = "AD"
	// SambaAdmin is the userPrincipalName of the domain's administrator.
	SambaAdmin = "administrator@" + SambaDNSName
	// SambaAdminPassword belongs to SambaAdmin.
	SambaAdminPassword = "Admin-Secret.1"
	// SambaServiceDN is an ordinary user, which in AD may read what a login needs.
	SambaServiceDN = "CN=service," + SambaUsersDN
	// SambaServicePassword belongs to SambaServiceDN.
	SambaServicePassword = "Service-Secret.1"
)

// sambaCertLife is for how long Samba's certificate is good: longer than what anybody warns of.
const sambaCertLife = 90 * 24 * time.Hour

// SambaConfig says what a domain is to be like. The zero value is a new domain that locks nobody
// out and asks nothing of a password.
type SambaConfig struct {
	// LockoutThreshold is after how many wrong passwords an account is locked, for half an hour; 0
	// is never.
	LockoutThreshold int
	// StrongAuth makes it reject passwords without TLS, as a domain controller does by default.
	StrongAuth bool
}

// Samba is a running domain controller of Samba's, with LDAP alone and its own data. Samba cannot
// use other ports than 389, 636, 3268 and 3269, so each has a loopback address of its own.
type Samba struct {
	t     testing.TB
	dir   string
	host  *port // claims the address
	ca    *CA
	proc  *process
	admin *ldap.Conn
}

// StartSamba provisions a domain, or copies one that this machine provisioned within the day, and
// serves it until the test ends. It fails the test, never skips it, if Samba is not installed or
// this is not root, to whom Samba's ports belong.
func StartSamba(tb testing.TB, cfg SambaConfig) *Samba {
	tb.Helper()
	if os.Getuid() != 0 {
		tb.Fatal("Samba listens on port 389 only: run these tests as root")
	}
	s := &Samba{t: tb, dir: shortDir(tb), ca: NewCA(tb)}
	tb.Cleanup(s.cleanup)
	s.copyDomain()
	s.claimHost()
	s.writeConfig(cfg)
	s.launch()
	s.connect()
	s.Modify(SambaBaseDN, "pwdProperties", "0")
	s.Modify(SambaBaseDN, "minPwdLength", "0")
	s.Modify(SambaBaseDN, "minPwdAge", "0")
	s.Modify(SambaBaseDN, "lockoutThreshold", fmt.Sprint(cfg.LockoutThreshold))
	s.AddUser("service", SambaServicePassword)
	return s
}

// Host is Samba's own loopback address.
func (s *Samba) Host() string {
	host, _, _ := strings.Cut(s.host.guard.Addr().String(), ":")
	return host
}

// URL is the plain listener: "ldap://127.x.y.z:389". It offers StartTLS.
func (s *Samba) URL() string { return "ldap://" + s.Host() + ":389" }

// TLSURL is the TLS listener: "ldaps://127.x.y.z:636".
func (s *Samba) TLSURL() string { return "ldaps://" + s.Host() + ":636" }

// CA is the authority that issued Samba's certificate.
func (s *Samba) CA() *CA { return s.ca }

// TLSConfig is a client's configuration that trusts Samba's certificate.
func (s *Samba) TLSConfig() *tls.Config { return s.ca.ClientTLS(s.Host()) }

// AddUser makes an account that may log in, changes further attributes in the order given ("name",
// "value" in turn), and returns its DN.
func (s *Samba) AddUser(name, password string, attributes ...string) string {
	s.t.Helper()
	return s.addAccount("user", name, name, password, "512", attributes)
}

// AddComputer makes a machine's account, whose sAMAccountName is name and a "$".
func (s *Samba) AddComputer(name, password string) string {
	s.t.Helper()
	return s.addAccount("computer", name, name+"$", password, "4096", nil)
}

// addAccount makes an account and enables it: one may not be enabled before it has a password.
func (s *Samba) addAccount(class, cn, account, password, control string, attributes []string) string {
	s.t.Helper()
	dn := "CN=" + ldap.EscapeDN(cn) + "," + SambaUsersDN
	s.Add(dn, "objectClass", class, "sAMAccountName", account, "userAccountControl", "514")
	s.SetPassword(dn, password)
	s.Modify(dn, "userAccountControl", control)
	for i := 0; i+1 < len(attributes); i += 2 {
		s.Modify(dn, attributes[i], attributes[i+1])
	}
	return dn
}

// AddGroup makes a global security group with these DNs as members, and returns its DN.
func (s *Samba) AddGroup(name string, members ...string) string {
	s.t.Helper()
	return s.AddGroupNamed(name, name, members...)
}

// AddGroupNamed is [Samba.AddGroup] with a cn that is not the sAMAccountName, in which some
// characters may not be.
func (s *Samba) AddGroupNamed(cn, account string, members ...string) string {
	s.t.Helper()
	dn := "CN=" + ldap.EscapeDN(cn) + "," + SambaUsersDN
	attributes := []string{"objectClass", "group", "sAMAccountName", account}
	for _, m := range members {
		attributes = append(attributes, "member", m)
	}
	s.Add(dn, attributes...)
	return dn
}

// Add makes an entry of attributes, "name", "value" in turn; a name that comes again has several
// values.
func (s *Samba) Add(dn string, attributes ...string) {
	s.t.Helper()
	req := ldap.NewAddRequest(dn, nil)
	values, order := map[string][]string{}, []string{}
	for i := 0; i+1 < len(attributes); i += 2 {
		if _, again := values[attributes[i]]; !again {
			order = append(order, attributes[i])
		}
		values[attributes[i]] = append(values[attributes[i]], attributes[i+1])
	}
	for _, name := range order {
		req.Attribute(name, values[name])
	}
	if err := s.admin.Add(req); err != nil {
		s.t.Fatalf("add %s: %v", dn, err)
	}
}

// Modify replaces an attribute's values, as the administrator.
func (s *Samba) Modify(dn, attribute string, values ...string) {
	s.t.Helper()
	req := ldap.NewModifyRequest(dn, nil)
	req.Replace(attribute, values)
	if err := s.admin.Modify(req); err != nil {
		s.t.Fatalf("modify %s of %s: %v", attribute, dn, err)
	}
}

// SetPassword sets a password as an administrator does. AD takes it in quotes and in UTF-16
// (MS-ADTS 3.1.1.3.1.5).
func (s *Samba) SetPassword(dn, password string) {
	s.t.Helper()
	s.Modify(dn, "unicodePwd", utf16LE(`"`+password+`"`))
}

// Get reads an attribute's values, as the administrator.
func (s *Samba) Get(dn, attribute string) []string {
	s.t.Helper()
	found, err := s.admin.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{attribute}, nil))
	if err != nil || len(found.Entries) != 1 {
		s.t.Fatalf("read %s: %v", dn, err)
	}
	return found.Entries[0].GetEqualFoldAttributeValues(attribute)
}

// sambaConf is smb.conf. No path of it is another's, so that domains do not meet; no printers,
// shares and daemons.
const sambaConf = `[global]
	netbios name = DC
	realm = %[2]s
	workgroup = AD
	server role = active directory domain controller
	server services = ldap
	dcerpc endpoint servers =
	bind interfaces only = yes
	interfaces = %[3]s/8
	private dir = %[1]s/private
	state directory = %[1]s/state
	cache directory = %[1]s/run
	lock directory = %[1]s/run
	pid directory = %[1]s/run
	ncalrpc dir = %[1]s/run/ncalrpc
	binddns dir = %[1]s/run
	winbindd socket directory = %[1]s/run/winbindd
	ntp signd socket directory = %[1]s/run/ntp
	log file = %[1]s/run/log
	ldap server require strong auth = %[7]s
	idmap_ldb:use rfc2307 = yes
	tls certfile = %[4]s
	tls keyfile = %[5]s
	tls cafile = %[6]s
`

func (s *Samba) writeConfig(cfg SambaConfig) {
	s.t.Helper()
	cert := s.ca.Issue(s.t, CertConfig{Hosts: []string{s.Host(), "localhost"}, NotAfter: time.Now().Add(sambaCertLife)})
	strong := "no"
	if cfg.StrongAuth {
		strong = "yes"
	}
	conf := fmt.Sprintf(sambaConf, s.dir, strings.ToUpper(SambaDNSName), s.Host(), cert.CertFile, cert.KeyFile, s.ca.File(), strong)
	if err := os.WriteFile(filepath.Join(s.dir, "smb.conf"), []byte(conf), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.dir, "run"), 0o700); err != nil {
		s.t.Fatal(err)
	}
}

// launch runs samba and waits until it answers. The kernel kills it if this process dies without
// cleaning up.
func (s *Samba) launch() {
	s.t.Helper()
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(findSamba(s.t, "samba"), "-F", "-s", filepath.Join(s.dir, "smb.conf"), "--model=single", "--debug-stdout")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.proc = &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		defer close(s.proc.exited)
		_ = cmd.Wait() // how it ended is in its log
	}()
	if !poll(s.proc.exited, s.answers) {
		s.t.Fatal("samba does not answer")
	}
}

// answers says whether samba answers on both listeners.
func (s *Samba) answers() bool {
	for _, url := range []string{s.URL(), s.TLSURL()} {
		c, err := ldap.DialURL(url, ldap.DialWithTLSConfig(s.TLSConfig()))
		if err != nil {
			return false
		}
		c.SetTimeout(patience)
		_, err = c.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)", []string{"1.1"}, nil))
		_ = c.Close()
		if err != nil {
			return false
		}
	}
	return true
}

// connect opens the administrator's connection.
func (s *Samba) connect() {
	s.t.Helper()
	c, err := ldap.DialURL(s.TLSURL(), ldap.DialWithTLSConfig(s.TLSConfig()))
	if err != nil {
		s.t.Fatal(err)
	}
	s.admin = c
	c.SetTimeout(patience)
	if err := c.Bind(SambaAdmin, SambaAdminPassword); err != nil {
		s.t.Fatalf("bind as the administrator: %v", err)
	}
}

// Pause stops Samba with SIGSTOP: its kernel still accepts connections and bytes, and nobody
// answers.
func (s *Samba) Pause() {
	s.t.Helper()
	if err := s.proc.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		s.t.Fatal(err)
	}
	if !poll(nil, func() bool { return stopped(s.proc.cmd.Process.Pid) }) {
		s.t.Fatal("samba does not stop at SIGSTOP")
	}
}

// Resume lets a paused Samba go on.
func (s *Samba) Resume() {
	s.t.Helper()
	if err := s.proc.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		s.t.Fatal(err)
	}
}

// cleanup ends samba and shows the end of its log if the test failed.
func (s *Samba) cleanup() {
	if s.admin != nil {
		_ = s.admin.Close()
	}
	if s.proc != nil {
		s.proc.end(syscall.SIGKILL) // the data goes too
	}
	s.host.release()
	if s.t.Failed() {
		log, _ := os.ReadFile(s.logFile())
		s.t.Logf("the end of samba's log:\n%s", log[max(0, len(log)-4096):])
	}
}

func (s *Samba) logFile() string { return filepath.Join(s.dir, "samba.log") }

// findSamba is the path of one of Samba's programs.
func findSamba(tb testing.TB, name string) string {
	tb.Helper()
	for _, name := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	tb.Fatalf("%s is not installed: run scripts/install-test-deps as root", name)
	return ""
}
