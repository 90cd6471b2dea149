package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rotation is a running service whose secrets and certificates change.
type rotation struct {
	t     *testing.T
	slapd *ldaptest.Slapd
	files string // the folder that they are in
	p     *process
}

// configRoot permits changes of slapd's own settings while it runs.
const configRoot = "database config\nrootdn \"cn=config\"\nrootpw " + ldaptest.RootPassword + "\n"

func startRotation(t *testing.T) *rotation {
	t.Helper()
	r := &rotation{t: t, files: t.TempDir()}
	r.slapd = ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10, TLS: true, ExtraDatabase: configRoot})
	r.write("password", ldaptest.ServicePassword)
	r.write("ca.pem", r.pem(r.slapd.CA()))
	r.p = startProgram(t, r.slapd.TLSURL(), "LDAP_BIND_PASSWORD=", "LDAP_BIND_PASSWORD_FILE="+filepath.Join(r.files, "password"),
		"LDAP_CA_FILE="+filepath.Join(r.files, "ca.pem"))
	r.p.ready(t)
	return r
}

// write replaces a file as a whole.
func (r *rotation) write(name, content string) {
	r.t.Helper()
	path := filepath.Join(r.files, name)
	require.NoError(r.t, os.WriteFile(path+".new", []byte(content), 0o600)) //nolint:gosec // the test's own folder
	require.NoError(r.t, os.Rename(path+".new", path))
}

func (r *rotation) pem(ca *ldaptest.CA) string {
	r.t.Helper()
	content, err := os.ReadFile(ca.File())
	require.NoError(r.t, err)
	return string(content)
}

// modify binds as a DN that may change an entry, and replaces the entry's attributes.
func (r *rotation) modify(as, dn string, values map[string][]string) {
	r.t.Helper()
	c, err := ldap.DialURL(r.slapd.URL())
	require.NoError(r.t, err)
	defer c.Close()
	require.NoError(r.t, c.Bind(as, ldaptest.RootPassword))
	m := ldap.NewModifyRequest(dn, nil)
	for name, value := range values {
		m.Replace(name, value)
	}
	require.NoError(r.t, c.Modify(m))
}

func (r *rotation) password(valid ...string) {
	r.t.Helper()
	everything.Secret(valid...)
	r.modify(ldaptest.RootDN, ldaptest.ServiceDN, map[string][]string{"userPassword": valid})
}

// reloaded waits until the service has logged n reloads.
func (r *rotation) reloaded(n int) {
	r.t.Helper()
	ldaptest.Eventually(r.t, "the service has reloaded", func() bool {
		return strings.Count(r.p.logged(), `"configuration reloaded"`) == n
	})
}

// adopted waits until no connection from before the last change is left.
func (r *rotation) adopted() {
	r.t.Helper()
	ldaptest.Eventually(r.t, "the old connections are gone", func() bool {
		log := r.p.logged()
		return strings.LastIndex(log, `"directory connections replaced"`) > strings.LastIndex(log, `"configuration reloaded"`)
	})
}

// through sends 200 logins a second while steps run. No login may fail.
func (r *rotation) through(what string, steps func()) {
	r.t.Helper()
	answers := streamDuring(client(r.t), r.p.url, 200, steps)
	figures(r.t, what, answers)
	failed := 0
	for _, a := range answers {
		if a.status != a.want {
			failed++
		}
	}
	assert.GreaterOrEqual(r.t, len(answers), 400)
	assert.Zero(r.t, failed, "logins that failed")
}

func TestRotation_OfTheServicePasswordFailsNoLogin(t *testing.T) {
	r := startRotation(t)
	r.through("both passwords valid for a while, as OpenLDAP permits", func() {
		r.password(ldaptest.ServicePassword, "second-secret")
		r.write("password", "second-secret")
		r.reloaded(1)
		r.adopted()
		r.password("second-secret")
		ldaptest.Eventually(t, "some logins have been served meanwhile", r.served())
	})
	r.through("the directory knows the new one first, as with Active Directory", func() {
		r.password("third-secret")
		ldaptest.Eventually(t, "some logins have been served meanwhile", r.served())
		r.write("password", "third-secret")
		r.reloaded(2)
		r.adopted()
	})
	r.through("the service knows the new one first", func() {
		r.write("password", "fourth-secret")
		r.reloaded(3)
		ldaptest.Eventually(t, "the refusal is told", func() bool {
			return strings.Contains(r.p.logged(), "the service identity was refused: Invalid Credentials")
		})
		ldaptest.Eventually(t, "some logins have been served meanwhile", r.served())
		r.password("fourth-secret")
		require.NoError(t, r.p.cmd.Process.Signal(syscall.SIGHUP))
		r.reloaded(4)
		r.adopted()
	})
	for _, secret := range []string{ldaptest.ServicePassword, "second-secret", "third-secret", "fourth-secret"} {
		assert.NotContains(t, r.p.logged(), secret)
	}
	assert.Zero(t, r.p.end(t))
}

func TestRotation_OfTheAuthorityFailsNoLogin(t *testing.T) {
	r := startRotation(t)
	before, after := r.slapd.CA(), ldaptest.NewCA(t)
	cert := after.Issue(t, ldaptest.CertConfig{})
	r.through("old authority, both, and the new one", func() {
		r.write("ca.pem", r.pem(before)+r.pem(after))
		r.reloaded(1)
		r.adopted()
		r.modify("cn=config", "cn=config", map[string][]string{
			"olcTLSCertificateFile": {cert.CertFile}, "olcTLSCertificateKeyFile": {cert.KeyFile},
		})
		r.write("ca.pem", r.pem(after))
		r.reloaded(2)
		r.adopted()
		ldaptest.Eventually(t, "some logins have been served meanwhile", r.served())
	})
	r.through("an authority that is none of the directory's, by mistake", func() {
		r.write("ca.pem", r.pem(before))
		r.reloaded(3)
		ldaptest.Eventually(t, "the fault is told", func() bool {
			return strings.Contains(r.p.logged(), "certificate signed by unknown authority")
		})
		ldaptest.Eventually(t, "some logins have been served meanwhile", r.served())
		r.write("ca.pem", r.pem(after)) // the authority with which the remaining connections were made
		r.reloaded(4)
		ldaptest.Eventually(t, "the server is usable again", func() bool {
			log := r.p.logged()
			return strings.LastIndex(log, `"directory server usable"`) > strings.LastIndex(log, `"directory server suspect"`)
		})
	})
	assert.Zero(t, r.p.end(t))
}

func TestRotation_OfTheServiceCertificateFailsNoLogin(t *testing.T) {
	r := &rotation{t: t, files: t.TempDir()}
	r.slapd = ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10, TLS: true, ClientName: "authsvc"})
	certificate := func(ca *ldaptest.CA, name string) {
		cert := ca.Issue(t, ldaptest.CertConfig{CommonName: name, Client: true})
		for name, from := range map[string]string{"client.pem": cert.CertFile, "client.key": cert.KeyFile} {
			content, err := os.ReadFile(from)
			require.NoError(t, err)
			r.write(name, string(content))
		}
	}
	certificate(r.slapd.CA(), "authsvc")
	r.p = startProgram(t, r.slapd.TLSURL(), "LDAP_BIND_METHOD=external", "LDAP_BIND_PASSWORD=", "LDAP_CA_FILE="+r.slapd.CA().File(),
		"LDAP_CERT_FILE="+filepath.Join(r.files, "client.pem"), "LDAP_KEY_FILE="+filepath.Join(r.files, "client.key"))
	r.p.ready(t)
	r.through("a new certificate of the same authority, twice", func() {
		for n := range 2 {
			before := r.slapd.LogCount("mech=EXTERNAL")
			certificate(r.slapd.CA(), "authsvc")
			r.reloaded(n + 1)
			r.adopted()
			assert.Greater(t, r.slapd.LogCount("mech=EXTERNAL"), before, "new connections")
		}
		ldaptest.Eventually(t, "some logins have been served meanwhile", r.served())
	})
	reloads := 2
	for _, wrong := range []struct {
		what    string
		ca      *ldaptest.CA
		subject string
		refusal string
	}{
		{"one that the directory does not accept, by mistake", ldaptest.NewNamedCA(t, "another authority"), "authsvc", "Auth Method Not Supported"},
		{"one of another subject, which is not mapped to the service's entry", r.slapd.CA(), "authsvc-old", "Insufficient Access Rights"},
	} {
		r.through(wrong.what, func() {
			certificate(wrong.ca, wrong.subject)
			r.reloaded(reloads + 1)
			ldaptest.Eventually(t, "the refusal is told", func() bool {
				return strings.Contains(r.p.logged(), "the service identity was refused: "+wrong.refusal+", with SASL EXTERNAL")
			})
			ldaptest.Eventually(t, "some logins have been served meanwhile", r.served())
			certificate(r.slapd.CA(), "authsvc")
			reloads += 2
			r.reloaded(reloads)
			r.adopted()
		})
	}
	assert.Zero(t, r.slapd.LogCount(`BIND dn="`+ldaptest.ServiceDN+`" method=128`), "simple binds of the service")
	assert.Zero(t, r.p.end(t))
}

// served returns a function that reports whether 400 more logins have ended since the call of
// served.
func (r *rotation) served() func() bool {
	count := func() int { return strings.Count(r.p.logged(), `"msg":"login"`) }
	goal := count() + 400
	return func() bool { return count() >= goal }
}
