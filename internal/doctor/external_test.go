package doctor_test

import (
	"crypto/tls"
	"sync/atomic"
	"testing"
	"time"

	"authsvc/config"
	"authsvc/internal/doctor"
	"authsvc/internal/ldaptest"
	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// withExternal makes the service identity the certificate, shown to servers of the authority.
func withExternal(ca *ldaptest.CA, cert *ldaptest.Cert) change {
	return all(withTLS(config.LDAP{CAFile: ca.File(), CertFile: cert.CertFile, KeyFile: cert.KeyFile}), func(o *doctor.Options) {
		o.Pool.BindMethod, o.Pool.BindDN, o.Pool.BindPassword = ldappool.BindExternal, "", ""
	})
}

// asserting sets the DN that the directory must derive.
func asserting(dn string) change { return func(o *doctor.Options) { o.Pool.BindDN = dn } }

// client issues a client certificate for some months.
func client(t *testing.T, ca *ldaptest.CA, name string) *ldaptest.Cert {
	t.Helper()
	return ca.Issue(t, ldaptest.CertConfig{CommonName: name, Client: true, NotAfter: time.Now().Add(90 * 24 * time.Hour)})
}

// badExternal are faults of a service identity by certificate, at a directory that does not request
// one, s, and at one that does.
func badExternal(t *testing.T, s *ldaptest.Slapd) []illness {
	t.Helper()
	asking := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1, TLS: true, ClientName: "authsvc"})
	return []illness{
		{"SASL EXTERNAL, and the directory requests no certificate", at("ldaps://"+s.TLSAddr(), withExternal(s.CA(), client(t, s.CA(), "authsvc"))), "service bind",
			"it does not request the client certificate", "TLSVerifyClient try"},
		{"SASL EXTERNAL, and the directory accepts another authority for clients", at("ldaps://"+asking.TLSAddr(), withExternal(asking.CA(), client(t, ldaptest.NewNamedCA(t, "Other CA"), "authsvc"))), "service bind",
			`the client certificate "CN=authsvc" is from none of the authorities`, "set LDAP_CERT_FILE and LDAP_KEY_FILE"},
		{"SASL EXTERNAL, and the certificate is not mapped to the service's entry", at("ldaps://"+asking.TLSAddr(), withExternal(asking.CA(), client(t, asking.CA(), "authsvc-old"))), "base DN",
			`is not visible to the client certificate "CN=authsvc-old"`, "OpenLDAP: authz-regexp"},
		{"the same, with LDAP_BIND_DN", at("ldaps://"+asking.TLSAddr(), withExternal(asking.CA(), client(t, asking.CA(), "authsvc-old")), asserting(ldaptest.ServiceDN)), "service bind",
			`does not take the client certificate "CN=authsvc-old" for ` + ldaptest.ServiceDN, "OpenLDAP: authz-regexp"},
	}
}

func TestDoctor_ExternalIsAccepted(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1, TLS: true, ClientName: "authsvc"})
	for name, c := range map[string]struct {
		look    look
		finding string
		mark    doctor.Mark
	}{
		"ldaps":                 {at(s.TLSURL(), withExternal(s.CA(), client(t, s.CA(), "authsvc"))), `accepts SASL EXTERNAL of the client certificate "CN=authsvc"`, doctor.OK},
		"a DN that is asserted": {at(s.TLSURL(), withExternal(s.CA(), client(t, s.CA(), "authsvc")), asserting(ldaptest.ServiceDN)), `"CN=authsvc" as ` + ldaptest.ServiceDN, doctor.OK},
		"StartTLS":              {at("ldap://"+s.Addr(), withExternal(s.CA(), client(t, s.CA(), "authsvc")), startTLS), `the client certificate "CN=authsvc"`, doctor.OK},
		"ldapi":                 {at(s.LDAPIURL(), withExternal(s.CA(), client(t, s.CA(), "authsvc"))), "accepts SASL EXTERNAL of this process (user ", doctor.OK},
		"for two days more": {at(s.TLSURL(), withExternal(s.CA(), s.CA().Issue(t, ldaptest.CertConfig{CommonName: "authsvc", Client: true, NotAfter: time.Now().Add(50 * time.Hour)}))),
			`"CN=authsvc", which has 2 days left`, doctor.Warn},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steps := c.look(t)
			require.True(t, reportOf(steps).OK)
			bind := find(t, steps, "service bind")
			require.Equal(t, c.mark, bind.Mark)
			require.Contains(t, bind.Finding, c.finding)
			require.Equal(t, doctor.OK, find(t, steps, "base DN").Mark)
		})
	}
}

// TestDoctor_ExplainsEachRefusalOfExternal has a server with those result codes.
func TestDoctor_ExplainsEachRefusalOfExternal(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	cert := client(t, ca, "authsvc")
	for name, c := range map[string]struct {
		code            uint16
		mechanisms      []string
		finding, remedy string
	}{
		"not offered":   {ldap.LDAPResultAuthMethodNotSupported, []string{"GSSAPI"}, "supportedSASLMechanisms of its root DSE lacks it", "enable the mechanism in the directory"},
		"offered":       {ldap.LDAPResultAuthMethodNotSupported, []string{"external"}, `does not support SASL EXTERNAL of the client certificate "CN=authsvc"`, "LDAP_BIND_METHOD=simple"},
		"not mapped":    {ldap.LDAPResultInvalidCredentials, []string{"EXTERNAL"}, `has no entry for the client certificate "CN=authsvc"`, "389 DS: certmap.conf"},
		"inappropriate": {ldap.LDAPResultInappropriateAuthentication, nil, "takes no identity from the client certificate", "nsSSLClientAuth: allowed"},
		"a challenge":   {ldap.LDAPResultSaslBindInProgress, nil, "answers SASL EXTERNAL with a challenge", "name the directory itself in LDAP_URL"},
		"unwilling":     {ldap.LDAPResultUnwillingToPerform, nil, "is unwilling to perform SASL EXTERNAL", "the mechanism or the entry may be disabled"},
		"busy":          {ldap.LDAPResultBusy, nil, "reports that it is busy", "wait and try again"},
		"another code":  {ldap.LDAPResultOther, nil, "rejects SASL EXTERNAL", "read the directory's log"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			directory := ldaptest.NewDirectory()
			directory.RootDSE.Attributes["supportedSASLMechanisms"] = c.mechanisms
			requests := ca.ServerTLS(t)
			requests.ClientAuth, requests.ClientCAs = tls.RequestClientCert, ca.Pool()
			var binds atomic.Int64
			s := ldaptest.NewServer(t, func(conn *ldaptest.Conn, req ldaptest.Request) {
				if req.SASL == "" {
					directory.Handle(conn, req)
					return
				}
				binds.Add(1)
				conn.ReplyBind(req, c.code, "said the server")
			}, ldaptest.WithTLS(requests))
			steps := at("ldaps://"+s.Addr(), withExternal(ca, cert))(t)
			bind := find(t, steps, "service bind")
			require.Equal(t, doctor.Failed, bind.Mark)
			require.Contains(t, bind.Finding, c.finding)
			require.Contains(t, bind.Remedy, c.remedy)
			require.Contains(t, bind.Details[0], "said the server")
			require.EqualValues(t, 1, binds.Load())
		})
	}
}

func TestDoctor_ExternalAt389DS(t *testing.T) {
	t.Parallel()
	ds := ldaptest.StartDS389WithTLS(t)
	ds.Add(ldaptest.UserDN(0), map[string][]string{"objectClass": {"inetOrgPerson"}, "uid": {ldaptest.Username(0)}, "cn": {"x"}, "sn": {"x"}})
	steps := at(ds.TLSURL(), withPreset("389ds"), withExternal(ds.CA(), client(t, ds.CA(), "service")))(t)
	require.True(t, reportOf(steps).OK)
	require.Contains(t, find(t, steps, "service bind").Finding, `accepts SASL EXTERNAL of the client certificate "CN=service"`)

	steps = at(ds.TLSURL(), withPreset("389ds"), withExternal(ds.CA(), client(t, ds.CA(), "stranger")))(t)
	bind := find(t, steps, "service bind")
	require.Contains(t, bind.Finding, `has no entry for the client certificate "CN=stranger"`)
	require.Contains(t, bind.Remedy, "389 DS: certmap.conf")
	require.Contains(t, bind.Details[1], "EXTERNAL")
}
