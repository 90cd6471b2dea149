package main

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"authsvc/internal/doctor"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// illness is something that is wrong, as the doctor is shown it, and what it must say.
type illness struct {
	what    string
	url     string
	environ []string
	args    []string
	step    string // that fails
	cause   string
	remedy  string
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
	ca := ldaptest.NewCA(t)
	trust := []string{"LDAP_CA_FILE=" + ca.File()}
	strangers := []string{"LDAP_CA_FILE=" + caFile(t, ldaptest.NewKeyed(t, ldaptest.AuthorityTemplate(t, "Other CA"), nil, nil).PEM())}
	groups := []string{"LDAP_GROUP_BASE_DN=" + ldaptest.GroupsDN, "LDAP_REQUIRED_GROUPS=staff"}
	webAddr := web.Listener.Addr().String()
	drops, swallows := ldaptest.NewProxy(t, plain.Addr()), ldaptest.NewProxy(t, plain.Addr())
	drops.HangDials()
	swallows.SetFaults(ldaptest.Faults{BlackHole: true})
	impatient := []string{"LDAP_DIAL_TIMEOUT=1s"}
	emptyDNS := []string{testDNS + "=" + ldaptest.NewNameServer(t).Addr()}
	return []illness{
		{"nothing listens", "ldap://" + closedAddr(t), nil, nil, "tcp", "no server listens at 127.0.0.1:", "start the directory, or correct host and port in LDAP_URL"},
		{"a firewall drops what is sent to the directory", drops.URL(), impatient, nil, "tcp", "does not answer within 1s: the host is down, or a firewall drops the packets",
			"allow this machine to connect to it in the firewalls"},
		{"a middlebox lets connections begin and drops the rest", swallows.URL(), impatient, nil, "service bind", "accepts the connection and does not answer within 1s",
			"one may accept connections and drop the data"},
		{"an HTTP server is at the port", "ldap://" + webAddr, nil, nil, "service bind", webAddr + " is an HTTP server", "correct the port in LDAP_URL"},
		{"an HTTP server is at the port of ldaps", "ldaps://" + webAddr, nil, nil, "tls", webAddr + " is an HTTP server", "correct the port in LDAP_URL"},
		{"a port in the clear is asked for TLS", "ldaps://" + plain.Addr(), nil, nil, "tls", "speaks LDAP without TLS", "use ldap:// in LDAP_URL and set LDAP_START_TLS=true"},
		{"a TLS port is asked in the clear", "ldap://" + s.TLSAddr(), nil, nil, "service bind", "expects TLS from the first byte", "ldaps:// instead of ldap://"},
		{"the name does not exist", "ldap://nobody.invalid", emptyDNS, nil, "dns", `the name "nobody.invalid" does not exist in the DNS`, "correct the host in LDAP_URL"},
		{"the domain has no SRV records", "ldap+srv://nobody.invalid", emptyDNS, nil, "dns SRV", "the DNS has no SRV records _ldap._tcp.nobody.invalid", "name the servers in LDAP_URL"},
		{"the certificate has expired", tlsDirectory(t, ca, ldaptest.CertConfig{NotBefore: time.Now().Add(-90 * 24 * time.Hour), NotAfter: time.Now().Add(-3 * 24 * time.Hour)}),
			trust, nil, "tls", "expired on ", "renew the directory's certificate"},
		{"the certificate is not valid yet", tlsDirectory(t, ca, ldaptest.CertConfig{NotBefore: time.Now().Add(9 * time.Hour), NotAfter: time.Now().Add(90 * time.Hour)}),
			trust, nil, "tls", "is not valid before ", "check this machine's clock"},
		{"the certificate is for another name", tlsDirectory(t, ca, ldaptest.CertConfig{Hosts: []string{"ldap.example.net"}}),
			trust, nil, "tls", "the certificate is for ldap.example.net, not for ", "LDAP_TLS_SERVER_NAME"},
		{"the authority is not known", "ldaps://" + s.TLSAddr(), strangers, nil, "tls",
			`the certificate was issued by "CN=ldaptest CA", which is not among the authorities of LDAP_CA_FILE`, "set LDAP_CA_FILE"},
		{"StartTLS is refused", plain.URL(), []string{"LDAP_START_TLS=true"}, nil, "starttls", "the server does not support StartTLS", "give the directory a certificate"},
		{"the service password is wrong", s.URL(), []string{"LDAP_BIND_PASSWORD=not-the-one"}, nil, "service bind",
			"the directory refuses the service identity " + ldaptest.ServiceDN, "correct LDAP_BIND_PASSWORD"},
		{"the service identity is no DN", s.URL(), []string{"LDAP_BIND_DN=service"}, nil, "service bind", `the directory does not accept "service" as a DN`, "write LDAP_BIND_DN as a DN"},
		{"the base DN does not exist", s.URL(), []string{"LDAP_BASE_DN=ou=poeple," + ldaptest.BaseDN}, nil, "base DN",
			"ou=poeple," + ldaptest.BaseDN + " does not exist; " + ldaptest.BaseDN + " does", "set LDAP_BASE_DN to the entry above the users"},
		{"the base DN is of another directory", s.URL(), []string{"LDAP_BASE_DN=ou=people,dc=example,dc=com"}, nil, "base DN",
			"it holds " + ldaptest.BaseDN, "correct LDAP_BASE_DN"},
		{"the base DN cannot be seen", s.URL(), []string{"LDAP_BASE_DN=ou=hidden," + ldaptest.BaseDN}, nil, "base DN",
			"is not visible to " + ldaptest.ServiceDN, "give the service identity read"},
		{"nobody searches", s.URL(), []string{"LDAP_BIND_DN=", "LDAP_BIND_PASSWORD="}, nil, "base DN", "is not visible to anonymous clients", "set LDAP_BIND_DN"},
		{"the filter's attribute does not exist", s.URL(), []string{"LDAP_USER_FILTER=(loginName={username})"}, nil, "user filter",
			"the directory's schema has no attribute loginName", "LDAP_USER_FILTER=(uid={username}) finds users"},
		{"nobody has the filter's attribute", s.URL(), []string{"LDAP_USER_FILTER=(employeeNumber={username})"}, nil, "user filter",
			"no entry has these attributes, or the service identity may not read them", "correct LDAP_USER_FILTER"},
		{"no required group exists", s.URL(), []string{"LDAP_GROUP_BASE_DN=" + ldaptest.GroupsDN, "LDAP_REQUIRED_GROUPS=stuff"}, nil, "groups",
			"none of the required groups exists or is visible, so no user may log in: stuff", "correct LDAP_REQUIRED_GROUPS"},
		{"the user does not exist", s.URL(), nil, []string{"-user", "nobody"}, "user", "status 1, invalid user: no entry matches", "LDAP_USER_FILTER"},
		{"the user is ambiguous", s.URL(), nil, []string{"-user", "user1"}, "user", "the name matches more than one entry", "narrow LDAP_USER_FILTER or LDAP_BASE_DN"},
		{"the user is in no required group", s.URL(), groups, []string{"-user", "user2"}, "user", "status 8, not permitted: in none of the required groups (required: staff)",
			"add the user to one of the required groups"},
	}
}

// TestTheDoctorNamesTheCauseAndTheRemedy of everything that usually is wrong, in its last lines and
// in its report. Its words are those in docs/doctor.md.
func TestTheDoctorNamesTheCauseAndTheRemedy(t *testing.T) { //nolint:tparallel // the group waits for its parallel ones
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
	documented(t, "openldap", tableHead+strings.Join(rows, ""))
	i := slices.IndexFunc(ills, func(c illness) bool { return c.what == "the base DN does not exist" })
	r := runCheck(t, ills[i].url, ills[i].environ, "", "-json")
	documented(t, "openldap-ill", output(t, "authsvc check", r.stdout))
}

// told runs the doctor on what is wrong, and gives its row of the table in the document.
func (c illness) told(t *testing.T) string {
	t.Helper()
	r := runCheck(t, c.url, c.environ, "", c.args...)
	require.Equal(t, exitFailed, r.code)
	assert.NotContains(t, r.stdout, "\x1b", "colours where there is no terminal")
	_, last, found := strings.Cut(r.stdout, "\nFAILED ")
	require.True(t, found, "no failure in the last lines")
	last = unwrapped(last)
	assert.Contains(t, last, c.step+": ")
	assert.Contains(t, last, c.cause)
	_, do, found := strings.Cut(last, " do: ")
	require.True(t, found, "no remedy in the last lines")
	assert.Contains(t, do, c.remedy)

	j := runCheck(t, c.url, c.environ, "", append(c.args, "-json")...)
	require.Equal(t, exitFailed, j.code)
	failed := stepsOf(t, j.stdout, doctor.Failed)
	require.Len(t, failed, 1, "one cause has one failure")
	assert.Equal(t, c.step, failed[0].Name)
	assert.Contains(t, failed[0].Finding, c.cause)
	return row(t, c.what, j.stdout)
}
