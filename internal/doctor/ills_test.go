package doctor_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"authsvc/config"
	"authsvc/internal/doctor"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// illness is something that is wrong, and what the doctor must say of it.
type illness struct {
	what   string
	look   look
	step   string // that fails
	cause  string
	remedy string
}

// tlsDirectory starts a directory with a certificate made from cfg, and returns its URL.
func tlsDirectory(t *testing.T, ca *ldaptest.CA, cfg ldaptest.CertConfig) string {
	t.Helper()
	config := ca.ServerTLS(t)
	config.Certificates[0] = ca.Issue(t, cfg).TLS
	s := ldaptest.NewServer(t, ldaptest.NewDirectory().Handle, ldaptest.WithTLS(config))
	return "ldaps://" + s.Addr() // it listens at one address, and localhost may have two
}

// badDirectories are those that the doctor is asked about: what is wrong with each, and what it
// must say of it.
func badDirectories(t *testing.T) []illness {
	t.Helper()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		Users: 3, TLS: true,
		Access: `access to dn.subtree="ou=hidden,` + ldaptest.BaseDN + `" by * none` + "\n",
		LDIF: "dn: ou=hidden," + ldaptest.BaseDN + "\nobjectClass: organizationalUnit\nou: hidden\n\n" +
			"dn: ou=more," + ldaptest.PeopleDN + "\nobjectClass: organizationalUnit\nou: more\n\n" +
			"dn: uid=user1,ou=more," + ldaptest.PeopleDN + "\nobjectClass: inetOrgPerson\nuid: user1\ncn: x\nsn: x\n\n" +
			"dn: cn=staff," + ldaptest.GroupsDN + "\nobjectClass: groupOfNames\ncn: staff\nmember: " + ldaptest.UserDN(0) + "\n",
	})
	plain := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	webAddr := web.Listener.Addr().String()
	drops, swallows := ldaptest.NewProxy(t, plain.Addr()), ldaptest.NewProxy(t, plain.Addr())
	drops.HangDials()
	swallows.SetFaults(ldaptest.Faults{BlackHole: true})
	impatient := func(o *doctor.Options) { o.Pool.DialTimeout = time.Second }
	ills := []illness{
		{"nothing listens", at("ldap://" + ldaptest.ClosedAddr(t)), "tcp", "no server listens at 127.0.0.1:", "start the directory, or correct host and port in LDAP_URL"},
		{"a firewall drops what is sent to the directory", at(drops.URL(), impatient), "tcp", "does not answer within 1s: the host is down, or a firewall drops the packets",
			"allow this machine to connect to it in the firewalls"},
		{"a middlebox lets connections begin and drops the rest", at(swallows.URL(), impatient), "service bind", "accepts the connection and does not answer within 1s",
			"one may accept connections and drop the data"},
		{"an HTTP server is at the port", at("ldap://" + webAddr), "service bind", webAddr + " is an HTTP server", "correct the port in LDAP_URL"},
		{"an HTTP server is at the port of ldaps", at("ldaps://" + webAddr), "tls", webAddr + " is an HTTP server", "correct the port in LDAP_URL"},
		{"a port in the clear is asked for TLS", at("ldaps://" + plain.Addr()), "tls", "speaks LDAP without TLS", "use ldap:// in LDAP_URL and set LDAP_START_TLS=true"},
		{"a TLS port is asked in the clear", at("ldap://" + s.TLSAddr()), "service bind", "expects TLS from the first byte", "ldaps:// instead of ldap://"},
		{"the name does not exist", nameless(t, "ldap://nobody.invalid"), "dns", `the name "nobody.invalid" does not exist in the DNS`, "correct the host in LDAP_URL"},
		{"the domain has no SRV records", nameless(t, "ldap+srv://nobody.invalid"), "dns SRV", "the DNS has no SRV records _ldap._tcp.nobody.invalid", "name the servers in LDAP_URL"},
	}
	ills = append(ills, badCertificates(t, s, plain)...)
	ills = append(ills, badExternal(t, s)...)
	return append(ills, badSettings(s)...)
}

// nameless examines a server whose name the DNS does not have. The configuration warns of passwords
// in the clear.
func nameless(t *testing.T, url string) look {
	t.Helper()
	return apart(errand{Server: url, DNS: ldaptest.NewNameServer(t).Addr(), Warnings: []string{"LDAP_URL: passwords travel to " + url + " in the clear"}})
}

// badCertificates are faults of TLS at a directory that speaks it, s, and at one that does not.
func badCertificates(t *testing.T, s, plain *ldaptest.Slapd) []illness {
	t.Helper()
	ca := ldaptest.NewCA(t)
	trust := withTLS(config.LDAP{CAFile: ca.File()})
	strangers := withTLS(config.LDAP{CAFile: caFile(t, ldaptest.NewKeyed(t, ldaptest.AuthorityTemplate(t, "Other CA"), nil, nil).PEM())})
	return []illness{
		{"the certificate has expired", at(tlsDirectory(t, ca, ldaptest.CertConfig{NotBefore: time.Now().Add(-90 * 24 * time.Hour), NotAfter: time.Now().Add(-3 * 24 * time.Hour)}), trust),
			"tls", "expired on ", "renew the directory's certificate"},
		{"the certificate is not valid yet", at(tlsDirectory(t, ca, ldaptest.CertConfig{NotBefore: time.Now().Add(9 * time.Hour), NotAfter: time.Now().Add(90 * time.Hour)}), trust),
			"tls", "is not valid before ", "check this machine's clock"},
		{"the certificate is for another name", at(tlsDirectory(t, ca, ldaptest.CertConfig{Hosts: []string{"ldap.example.net"}}), trust),
			"tls", "the certificate is for ldap.example.net, not for ", "LDAP_TLS_SERVER_NAME"},
		{"the authority is not known", at("ldaps://"+s.TLSAddr(), strangers), "tls",
			`the certificate was issued by "CN=ldaptest CA", which is not among the authorities of LDAP_CA_FILE`, "set LDAP_CA_FILE"},
		{"StartTLS is refused", at(plain.URL(), startTLS), "starttls", "the server does not support StartTLS", "give the directory a certificate"},
	}
}

// badSettings are settings that do not fit the directory, and users that may not log in.
func badSettings(s *ldaptest.Slapd) []illness {
	return []illness{
		{"the service password is wrong", at(s.URL(), withBind(ldaptest.ServiceDN, "not-the-one")), "service bind",
			"the directory refuses the service identity " + ldaptest.ServiceDN, "correct LDAP_BIND_PASSWORD"},
		{"the service identity is no DN", at(s.URL(), withBind("service", ldaptest.ServicePassword)), "service bind", `the directory does not accept "service" as a DN`, "write LDAP_BIND_DN as a DN"},
		{"the base DN does not exist", at(s.URL(), withBase("ou=poeple,"+ldaptest.BaseDN)), "base DN",
			"ou=poeple," + ldaptest.BaseDN + " does not exist; " + ldaptest.BaseDN + " does", "set LDAP_BASE_DN to the entry above the users"},
		{"the base DN is of another directory", at(s.URL(), withBase("ou=people,dc=example,dc=com")), "base DN",
			"it holds " + ldaptest.BaseDN, "correct LDAP_BASE_DN"},
		{"the base DN cannot be seen", at(s.URL(), withBase("ou=hidden,"+ldaptest.BaseDN)), "base DN",
			"is not visible to " + ldaptest.ServiceDN, "give the service identity read"},
		{"nobody searches", at(s.URL(), withoutBind), "base DN", "is not visible to anonymous clients", "set LDAP_BIND_DN"},
		{"the filter's attribute does not exist", at(s.URL(), withFilter("(loginName={username})")), "user filter",
			"the directory's schema has no attribute loginName", "LDAP_USER_FILTER=(uid={username}) finds users"},
		{"nobody has the filter's attribute", at(s.URL(), withFilter("(employeeNumber={username})")), "user filter",
			"no entry has these attributes, or the service identity may not read them", "correct LDAP_USER_FILTER"},
		{"no required group exists", at(s.URL(), withGroups(ldaptest.GroupsDN, "stuff")), "groups",
			"none of the required groups exists or is visible, so no user may log in: stuff", "correct LDAP_REQUIRED_GROUPS"},
		{"the user does not exist", at(s.URL(), withUser("nobody")), "user", "status 1, invalid user: no entry matches", "LDAP_USER_FILTER"},
		{"the user is ambiguous", at(s.URL(), withUser("user1")), "user", "the name matches more than one entry", "narrow LDAP_USER_FILTER or LDAP_BASE_DN"},
		{"the user is in no required group", at(s.URL(), withGroups(ldaptest.GroupsDN, "staff"), withUser("user2")), "user",
			"status 8, not permitted: in none of the required groups (required: staff)", "add the user to one of the required groups"},
	}
}

// TestDoctor_NamesCauseAndRemedy of everything that usually is wrong, in its last lines and
// in its report. Its words are those in docs/doctor-samples.md.
func TestDoctor_NamesCauseAndRemedy(t *testing.T) { //nolint:tparallel // the group waits for its parallel ones
	t.Parallel()
	ills := badDirectories(t)
	rows := make([]string, len(ills))
	t.Run("of", func(t *testing.T) {
		for i, c := range ills {
			t.Run(c.what, func(t *testing.T) {
				t.Parallel()
				rows[i] = c.told(t)
			})
		}
	})
	samples.Compare(t, "openldap", tableHead+strings.Join(rows, ""))
	i := slices.IndexFunc(ills, func(c illness) bool { return c.what == "the base DN does not exist" })
	samples.Compare(t, "openldap-ill", output(t, "authsvc check", ills[i].look(t)))
}

// told runs the doctor on what is wrong, and gives its row of the table in the document.
func (c illness) told(t *testing.T) string {
	t.Helper()
	steps := c.look(t)
	require.False(t, reportOf(steps).OK)
	text := printed(steps)
	assert.NotContains(t, text, "\x1b", "colours where nobody wants them")
	_, last, found := strings.Cut(text, "\nFAILED ")
	require.True(t, found, "no failure in the last lines")
	last = unwrapped(last)
	assert.Contains(t, last, c.step+": ")
	assert.Contains(t, last, c.cause)
	_, do, found := strings.Cut(last, " do: ")
	require.True(t, found, "no remedy in the last lines")
	assert.Contains(t, do, c.remedy)

	failed := marked(steps, doctor.Failed)
	require.Len(t, failed, 1, "one cause has one failure")
	assert.Equal(t, c.step, failed[0].Name)
	assert.Contains(t, failed[0].Finding, c.cause)
	return row(t, c.what, steps)
}
