package doctor_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"authsvc/config"
	"authsvc/internal/doctor"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tlsWords are what the doctor says of each of ldaptest.TLSIlls: the cause and the remedy.
var tlsWords = map[string][2]string{
	"the server demands a client certificate, with TLS 1.2": {"the server demands a client certificate, and LDAP_CERT_FILE is not set: " +
		"alert 40", "set LDAP_CERT_FILE and LDAP_KEY_FILE"},
	"the server demands a client certificate, with TLS 1.3": {"the server demands a client certificate, and LDAP_CERT_FILE is not set: " +
		"alert 116 (certificate required)", "set LDAP_CERT_FILE and LDAP_KEY_FILE"},
	"the server speaks TLS 1.0 only": {"the server speaks at most TLS 1.0, and authsvc requires TLS 1.2 or newer: alert 70",
		"configure the directory for TLS 1.2 or newer"},
	"the server knows no such name": {"the server reports an internal error in the handshake: alert 80 (internal error)", "read the directory's log"},
	"the server offers RSA key exchange only": {"the server offers only RSA key exchange, such as TLS_RSA_WITH_AES_128_GCM_SHA256",
		"GODEBUG=tlsrsakex=1 in the service's environment permits it. The cost: an attacker who obtains the server's key"},
	"the server offers Triple DES only":                      {"the server offers only Triple DES", "GODEBUG=tls3des=1"},
	"the server offers RSA key exchange and Triple DES only": {"the server offers only RSA key exchange with Triple DES", "GODEBUG=tlsrsakex=1,tls3des=1"},
	"the server offers RC4 only": {"the server offers only insecure cipher suites, such as " +
		"TLS_ECDHE_RSA_WITH_RC4_128_SHA", "no setting of authsvc permits it"},
	"the serial number is negative": {"has a negative serial number", "GODEBUG=x509negativeserial=1"},
	"the RSA key is too long":       {"RSA key has more than 8192 bits", "GODEBUG=tlsmaxrsasize=16384"},
	"the RSA key is too short":      {"an RSA key of fewer than 1024 bits", "GODEBUG=rsa1024min=0"},
	"the authority is not known": {`the certificate was issued by "CN=Example CA", which is not among the authorities of LDAP_CA_FILE, ` +
		"and the server does not send that authority's certificate", "set LDAP_CA_FILE"},
	"the authority is not known, and sent": {`the certificate was issued by "CN=Example CA", which is not among the authorities of LDAP_CA_FILE`,
		"set LDAP_CA_FILE"},
	"the chain lacks the intermediate": {`the certificate was issued by "CN=Example Issuing CA", which is not among the authorities of LDAP_CA_FILE, ` +
		"and the server does not send that authority's certificate", "configure the server to send its certificate too"},
	"the intermediate has expired": {"the certificate of CN=Example Issuing CA expired on", "renew the directory's certificate"},
	"the intermediate is no authority": {"the certificate of CN=Example Issuing CA, which signed the server's certificate, is not a certificate authority",
		"basicConstraints=critical,CA:TRUE"},
	"the certificate has expired":         {"the certificate of CN=localhost expired on", "renew the directory's certificate"},
	"the certificate is not valid yet":    {"the certificate of CN=localhost is not valid before", "check this machine's clock"},
	"the certificate is for another name": {"the certificate is for ldap.example.net, not for 127.0.0.1", "LDAP_TLS_SERVER_NAME"},
	"the certificate has the address as a DNS name": {"the certificate has 127.0.0.1 as a DNS name; an address is accepted only as an IP address entry",
		"IP:127.0.0.1 on the server; or use a name of its certificate in LDAP_URL or LDAP_TLS_SERVER_NAME: ldap.example.org"},
	"the certificate has a common name only": {`it has only a common name ("localhost"), which is not accepted`,
		"a subjectAltName for IP:127.0.0.1"},
	"the certificate is for clients": {"is not for servers: its extendedKeyUsage does not have serverAuth",
		"extendedKeyUsage serverAuth"},
	"the certificate has an unknown critical extension": {"has a critical extension that authsvc does not know", "without that extension"},
	"the certificate is self-signed": {"the certificate of CN=localhost is self-signed and not among the authorities of " +
		"LDAP_CA_FILE", "put this certificate itself into LDAP_CA_FILE"},
	"the authority has expired": {"certificate 2 of LDAP_CA_FILE (CN=Example CA) expired on",
		"put the authority's current certificate into LDAP_CA_FILE"},
	"the authority is not valid yet": {"certificate 2 of LDAP_CA_FILE (CN=Example CA) is not valid before",
		"check this machine's clock"},
	"the authority has no basicConstraints": {"certificate 2 of LDAP_CA_FILE (CN=Example CA) is not a certificate authority: it has no basicConstraints",
		"basicConstraints=critical,CA:TRUE"},
	"the authority may not sign certificates": {"certificate 2 of LDAP_CA_FILE (CN=Example CA) is not a certificate authority: its keyUsage does not have " +
		"keyCertSign", "keyUsage keyCertSign"},
	"the authority is for other names": {"an authority of its chain may not issue it", "from an authority that may issue it"},
	"the authority has another key": {"certificate 2 of LDAP_CA_FILE (CN=Example CA) has the name of the authority that signed the " +
		"certificate, but another key", "put the authority's current certificate"},
	"the certificate is signed with SHA-1": {"the certificate of CN=localhost is signed with SHA1-RSA, which is broken and not accepted, " +
		"though its authority is certificate 2 of LDAP_CA_FILE", "put the certificate of CN=localhost itself into LDAP_CA_FILE"},
	"the intermediate is signed with SHA-1": {"the certificate of CN=Example Issuing CA is signed with SHA1-RSA",
		"put the certificate of CN=Example Issuing CA itself into LDAP_CA_FILE"},
}

// TestDoctor_NamesWhatIsWrongWithTLS, each with its own words, and what to do. They are in
// docs/doctor-samples.md.
func TestDoctor_NamesWhatIsWrongWithTLS(t *testing.T) { //nolint:tparallel // the group waits for its parallel ones
	t.Parallel()
	ills := ldaptest.TLSIlls(t)
	require.Len(t, ills, len(tlsWords))
	rows := make([]string, len(ills))
	t.Run("of", func(t *testing.T) {
		for i, ill := range ills {
			t.Run(ill.What, func(t *testing.T) {
				t.Parallel()
				words, ok := tlsWords[ill.What]
				require.True(t, ok)
				s := ldaptest.NewServer(t, ldaptest.NewDirectory().Handle, ldaptest.WithTLS(ill.Server))
				step := "tls"
				if ill.What == "the server demands a client certificate, with TLS 1.3" {
					step = "service bind" // the alert comes behind the handshake
				}
				look := at("ldaps://"+s.Addr(), withTLS(config.LDAP{CAFile: caFile(t, ill.CAFile)}))
				rows[i] = illness{ill.What, look, step, words[0], words[1]}.told(t)
			})
		}
	})
	samples.Compare(t, "tls", tableHead+strings.Join(rows, ""))
}

func startTLS(o *doctor.Options) { o.Pool.StartTLS = true }

// TestDoctor_NamesWhatIsWrongWithStartTLS: the second look goes through StartTLS too.
func TestDoctor_NamesWhatIsWrongWithStartTLS(t *testing.T) {
	t.Parallel()
	for _, ill := range ldaptest.TLSIlls(t) {
		switch ill.What {
		case "the server offers RSA key exchange only", "the server speaks TLS 1.0 only", "the server demands a client certificate, with TLS 1.3",
			"the authority has another key":
			t.Run(ill.What, func(t *testing.T) {
				t.Parallel()
				s := ldaptest.NewServer(t, ldaptest.NewDirectory().Handle, ldaptest.WithStartTLS(ill.Server))
				steps := examine(t, all(withTLS(config.LDAP{CAFile: caFile(t, ill.CAFile)}), startTLS), "ldap://"+s.Addr())
				require.False(t, reportOf(steps).OK)
				assert.Contains(t, unwrapped(printed(steps)), tlsWords[ill.What][0])
				assert.Contains(t, unwrapped(printed(steps)), tlsWords[ill.What][1])
			})
		}
	}
}

// TestDoctor_SaysWhichClientCertificatesAreAccepted, and one that is refused from one that is not
// sent.
func TestDoctor_SaysWhichClientCertificatesAreAccepted(t *testing.T) {
	t.Parallel()
	client := ldaptest.NewCA(t).Issue(t, ldaptest.CertConfig{Client: true})
	root := ldaptest.NewKeyed(t, ldaptest.AuthorityTemplate(t, "Example CA"), nil, nil)
	ours := withTLS(config.LDAP{CAFile: caFile(t, root.PEM()), CertFile: client.CertFile, KeyFile: client.KeyFile})
	server := ldaptest.NewKeyed(t, ldaptest.ServerTemplate(t), nil, root)

	demanding := server.TLS()
	demanding.ClientAuth, demanding.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	demanding.ClientCAs.AddCert(root.Cert)
	s := ldaptest.NewServer(t, ldaptest.NewDirectory().Handle, ldaptest.WithTLS(demanding))
	out := unwrapped(printed(examine(t, ours, "ldaps://"+s.Addr())))
	assert.Contains(t, out, "the server demands a client certificate, and the one in LDAP_CERT_FILE is from none of the authorities that it accepts: alert 116")
	assert.Contains(t, out, `it accepts certificates from "CN=Example CA"`)

	picky := server.TLS()
	picky.ClientAuth = tls.RequireAnyClientCert
	picky.VerifyConnection = func(tls.ConnectionState) error { return errors.New("not this one") }
	s = ldaptest.NewServer(t, ldaptest.NewDirectory().Handle, ldaptest.WithTLS(picky))
	out = unwrapped(printed(examine(t, ours, "ldaps://"+s.Addr())))
	assert.Contains(t, out, "the server rejects the client certificate in LDAP_CERT_FILE: alert 42 (bad certificate)")
}

// TestDoctor_SaysThatSlapdDemandsACertificate, in the words of GnuTLS or OpenSSL.
func TestDoctor_SaysThatSlapdDemandsACertificate(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	cert := ca.Issue(t, ldaptest.CertConfig{})
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1, ExtraGlobal: fmt.Sprintf(
		"TLSCACertificateFile %s\nTLSCertificateFile %s\nTLSCertificateKeyFile %s\nTLSVerifyClient demand\n", ca.File(), cert.CertFile, cert.KeyFile)})
	steps := examine(t, all(withTLS(config.LDAP{CAFile: ca.File()}), startTLS), s.URL())
	require.False(t, reportOf(steps).OK)
	assert.Contains(t, unwrapped(printed(steps)), "the server demands a client certificate, and LDAP_CERT_FILE is not set")
	assert.Contains(t, unwrapped(printed(steps)), `it accepts certificates from "CN=ldaptest CA"`)
}

// TestDoctor_TrustsACertificateThatIsItselfInTheFile, as the remedies say: one that is signed with
// SHA-1, self-signed, or by no authority.
func TestDoctor_TrustsACertificateThatIsItselfInTheFile(t *testing.T) {
	t.Parallel()
	for _, ill := range ldaptest.TLSIlls(t) {
		at := 0
		switch ill.What {
		case "the certificate is signed with SHA-1", "the certificate is self-signed", "the authority has no basicConstraints":
		case "the intermediate is signed with SHA-1":
			at = 1
		default:
			continue
		}
		t.Run(ill.What, func(t *testing.T) {
			t.Parallel()
			cert, err := x509.ParseCertificate(ill.Server.Certificates[0].Certificate[at])
			require.NoError(t, err)
			s := ldaptest.NewServer(t, ldaptest.NewDirectory().Handle, ldaptest.WithTLS(ill.Server))
			steps := examine(t, withTLS(config.LDAP{CAFile: caFile(t, (&ldaptest.Keyed{DER: cert.Raw}).PEM())}), "ldaps://"+s.Addr())
			for _, step := range marked(steps, doctor.Failed) {
				assert.NotEqual(t, "tls", step.Name, step.Finding)
			}
		})
	}
}

// TestDoctor_SaysWhichCertificateOfTheBundleIsLost where the authority is not known: it may be that
// one.
func TestDoctor_SaysWhichCertificateOfTheBundleIsLost(t *testing.T) {
	t.Parallel()
	root := ldaptest.NewKeyed(t, ldaptest.AuthorityTemplate(t, "Example CA"), nil, nil)
	other := ldaptest.NewKeyed(t, ldaptest.AuthorityTemplate(t, "Other CA"), nil, nil)
	s := ldaptest.NewServer(t, ldaptest.NewDirectory().Handle, ldaptest.WithTLS(ldaptest.NewKeyed(t, ldaptest.ServerTemplate(t), nil, root).TLS()))
	file := caFile(t, append(other.PEM(), root.WithNegativeSerial(t, root).PEM()...))
	warned := func(o *doctor.Options) { o.Warnings = config.LostAuthorities("LDAP_CA_FILE", file) }
	out := unwrapped(printed(examine(t, all(withTLS(config.LDAP{CAFile: file}), warned), "ldaps://"+s.Addr())))
	assert.Contains(t, out, "certificate 2 has a negative serial number")
	assert.Contains(t, out, "certificate 2 of LDAP_CA_FILE cannot be used and may be the missing one")
}

// TestDoctor_NamesWhatIsWrongUnderTheSystemsAuthorities, which it cannot look at.
func TestDoctor_NamesWhatIsWrongUnderTheSystemsAuthorities(t *testing.T) {
	t.Parallel()
	for _, ill := range ldaptest.TLSIlls(t) {
		want := ""
		switch ill.What {
		case "the certificate is signed with SHA-1":
			want = "the certificate of CN=localhost is signed with SHA1-RSA, which is broken and not accepted"
		case "the authority is not known":
			want = "which is not among the authorities of this system (LDAP_CA_FILE is not set)"
		case "the authority has another key":
			want = "crypto/x509 reports: x509: certificate signed by unknown authority (possibly because of"
		default:
			continue
		}
		t.Run(ill.What, func(t *testing.T) {
			t.Parallel()
			s := ldaptest.NewServer(t, ldaptest.NewDirectory().Handle, ldaptest.WithTLS(ill.Server))
			file := caFile(t, ill.CAFile)
			steps := apart(errand{Server: "ldaps://" + s.Addr()}, "SSL_CERT_FILE="+file, "SSL_CERT_DIR="+filepath.Dir(file))(t)
			out := unwrapped(printed(steps))
			assert.Contains(t, out, want)
		})
	}
}

// TestGODEBUG_HelpsAsTheDoctorSays: each setting that a remedy names lets the handshake come
// further.
func TestGODEBUG_HelpsAsTheDoctorSays(t *testing.T) {
	t.Parallel()
	for _, ill := range ldaptest.TLSIlls(t) {
		_, setting, names := strings.Cut(tlsWords[ill.What][1], "GODEBUG=")
		if !names {
			continue
		}
		setting, _, _ = strings.Cut(setting, " ")
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			s := ldaptest.NewServer(t, ldaptest.NewDirectory().Handle, ldaptest.WithTLS(ill.Server))
			out := unwrapped(printed(apart(errand{Server: "ldaps://" + s.Addr(), CAFile: caFile(t, ill.CAFile)}, "GODEBUG="+setting)(t)))
			assert.NotContains(t, out, tlsWords[ill.What][0])
			if !strings.Contains(ill.What, "RSA key is too") { // those keys are pretended
				assert.Contains(t, out, "certificate for ", "the handshake succeeds")
			}
		})
	}
}
