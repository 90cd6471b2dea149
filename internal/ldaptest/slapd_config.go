package ldaptest

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // {SSHA} is SHA-1 by definition (RFC 2307, section 5.3)
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// confTemplate is slapd.conf. Passwords may be used for a bind and nothing else; "=x" is auth
// without disclose, so that an identity that may not see an entry gets noSuchObject and not
// insufficientAccessRights. dbnosync saves an fsync for each write, and loses nothing when slapd
// alone dies.
const confTemplate = `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
loglevel stats
password-hash {CLEARTEXT}
idletimeout {{.Idle}}
{{if .Threads}}threads {{.Threads}}
{{end}}{{if .CA}}TLSCACertificateFile "{{.CA}}"
TLSCertificateFile "{{.Cert}}"
TLSCertificateKeyFile "{{.Key}}"
{{end}}{{if .Client}}TLSVerifyClient try
authz-regexp "^cn={{.Client}}$" "{{.Service}}"
authz-regexp "^gidNumber={{.GID}}\\+uidNumber={{.UID}},cn=peercred,cn=external,cn=auth$" "{{.Service}}"
{{end}}{{.Global}}
access to dn.base="" by * read
access to dn.base="cn=subschema" by * read
database mdb
suffix "{{.Base}}"
rootdn "{{.RootDN}}"
rootpw "{{.RootPassword}}"
directory "{{.Data}}"
maxsize 1073741824
dbnosync
index objectClass,uid,member,memberUid eq
{{.Access}}
access to attrs=userPassword by * =x
access to * by dn.exact="{{.Service}}" read by * none
{{.Database}}
`

// baseLDIF is the tree above the users.
const baseLDIF = `dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=org
objectClass: organizationalUnit
ou: groups

dn: cn=service,dc=example,dc=org
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: service
userPassword: ` + ServicePassword + "\n"

// SSHA is the {SSHA} form of a password, salted SHA-1, for [SlapdConfig].Hash.
func SSHA(password string) string {
	salt := make([]byte, 8)
	_, _ = rand.Read(salt)                             // never fails, by its documentation
	sum := sha1.Sum(append([]byte(password), salt...)) //nolint:gosec // as the import says
	return "{SSHA}" + base64.StdEncoding.EncodeToString(append(sum[:], salt...))
}

// writeConfig writes slapd.conf and makes the data folder.
func (s *Slapd) writeConfig(cfg SlapdConfig) {
	s.t.Helper()
	values := map[string]any{
		"Idle":         int((cfg.IdleTimeout + time.Second - 1) / time.Second),
		"Threads":      cfg.Threads,
		"Global":       cfg.ExtraGlobal,
		"Access":       cfg.Access,
		"Database":     cfg.ExtraDatabase,
		"Base":         BaseDN,
		"RootDN":       RootDN,
		"RootPassword": RootPassword,
		"Service":      ServiceDN,
		"Data":         s.dataDir(),
		"CA":           "",
		"Client":       cfg.ClientName,
		"UID":          os.Getuid(),
		"GID":          os.Getgid(),
	}
	if s.ca != nil {
		var leaf CertConfig
		if cfg.CertLife > 0 {
			leaf.NotAfter = time.Now().Add(cfg.CertLife)
		}
		cert := s.ca.Issue(s.t, leaf)
		values["CA"], values["Cert"], values["Key"] = s.ca.File(), cert.CertFile, cert.KeyFile
	}
	var conf bytes.Buffer
	if err := template.Must(template.New("slapd.conf").Parse(confTemplate)).Execute(&conf, values); err != nil {
		s.t.Fatalf("write slapd.conf: %v", err)
	}
	if err := os.WriteFile(s.confFile(), conf.Bytes(), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Mkdir(s.dataDir(), 0o700); err != nil {
		s.t.Fatal(err)
	}
}

// loadEntries fills the database with slapadd, before slapd runs. slapadd is
// slapd under another name (slapd(8), -T), so no second program is looked for.
func (s *Slapd) loadEntries(cfg SlapdConfig) {
	s.t.Helper()
	ldif := filepath.Join(s.dir, "entries.ldif")
	if err := writeFile(ldif, func(w io.Writer) error { return writeEntries(w, cfg) }); err != nil {
		s.t.Fatalf("write the entries: %v", err)
	}
	out, err := exec.Command(s.bin, "-T", "add", "-q", "-f", s.confFile(), "-l", ldif).CombinedOutput()
	if err != nil {
		s.t.Fatalf("slapadd: %v\n%s", err, out)
	}
}

// writeEntries writes the tree, the users and the caller's own LDIF to w.
func writeEntries(w io.Writer, cfg SlapdConfig) error {
	if _, err := io.WriteString(w, baseLDIF); err != nil {
		return err
	}
	for i := range cfg.Users {
		password := Password(i)
		if cfg.Hash != nil {
			password = cfg.Hash(password)
		}
		_, err := fmt.Fprintf(w, "\ndn: %s\nobjectClass: inetOrgPerson\nuid: %s\ncn: User %d\nsn: Number %d\nmail: %s@example.org\nuserPassword: %s\n",
			UserDN(i), Username(i), i, i, Username(i), password)
		if err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, "\n"+strings.TrimLeft(cfg.LDIF, "\n"))
	return err
}

// writeFile writes a file through a buffer.
func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}
