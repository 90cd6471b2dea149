package ldaptest

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"testing"
	"time"
)

// TLSIll is a server with which a handshake fails at 127.0.0.1, and the authorities of the client
// that meets it.
type TLSIll struct {
	What   string
	Server *tls.Config
	CAFile []byte // PEM
}

// TLSIlls are what is wrong with TLS servers in the field.
func TLSIlls(tb testing.TB) []TLSIll {
	tb.Helper()
	root := NewKeyed(tb, AuthorityTemplate(tb, "Example CA"), nil, nil)
	good := NewKeyed(tb, ServerTemplate(tb), nil, root)
	other := NewKeyed(tb, AuthorityTemplate(tb, "Other CA"), nil, nil)
	bundle := append(other.PEM(), root.PEM()...)
	ills := []TLSIll{
		{"the server demands a client certificate, with TLS 1.2", with(good.TLS(), func(c *tls.Config) {
			c.ClientAuth, c.ClientCAs, c.MaxVersion = tls.RequireAndVerifyClientCert, clientCAs(root), tls.VersionTLS12
		}), bundle},
		{"the server demands a client certificate, with TLS 1.3", with(good.TLS(), func(c *tls.Config) {
			c.ClientAuth, c.ClientCAs, c.MinVersion = tls.RequireAndVerifyClientCert, clientCAs(root), tls.VersionTLS13
		}), bundle},
		{"the server speaks TLS 1.0 only", with(good.TLS(), func(c *tls.Config) { c.MaxVersion = tls.VersionTLS10 }), bundle},
		{"the server knows no such name", &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return nil, errors.New("no such name")
		}}, bundle},
		{"the serial number is negative", good.WithNegativeSerial(tb, root).TLS(), bundle},
		{"the RSA key is too long", NewKeyed(tb, ServerTemplate(tb), Pretender(tb, 8200), root).TLS(), bundle},
		{"the RSA key is too short", NewKeyed(tb, ServerTemplate(tb), Pretender(tb, 768), root).TLS(), bundle},
		{"the authority is not known", good.TLS(), other.PEM()},
		{"the authority is not known, and sent", good.TLS(root), other.PEM()},
		{"the chain lacks the intermediate", chain(tb, root, AuthorityTemplate(tb, "Example Issuing CA"), false), bundle},
		{"the intermediate has expired", chain(tb, root, changed(AuthorityTemplate(tb, "Example Issuing CA"), expired), true), bundle},
		{"the intermediate is no authority", chain(tb, root, changed(AuthorityTemplate(tb, "Example Issuing CA"), func(c *x509.Certificate) {
			c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature
		}), true), bundle},
	}
	ills = append(ills, cipherIlls(tb, other)...)
	ills = append(ills, leafIlls(tb, root, bundle)...)
	return append(ills, authorityIlls(tb, other)...)
}

// cipherIlls are servers with cipher suites that are not offered any more.
func cipherIlls(tb testing.TB, other *Keyed) []TLSIll {
	tb.Helper()
	root := NewKeyed(tb, AuthorityTemplate(tb, "Example CA"), nil, nil)
	bundle := append(other.PEM(), root.PEM()...)
	leaf := NewKeyed(tb, ServerTemplate(tb), NewRSAKey(tb), root)
	suite := func(id uint16) *tls.Config {
		return with(leaf.TLS(), func(c *tls.Config) { c.CipherSuites, c.MaxVersion = []uint16{id}, tls.VersionTLS12 })
	}
	return []TLSIll{
		{"the server offers RSA key exchange only", suite(tls.TLS_RSA_WITH_AES_128_GCM_SHA256), bundle},
		{"the server offers Triple DES only", suite(tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA), bundle},
		{"the server offers RSA key exchange and Triple DES only", suite(tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA), bundle},
		{"the server offers RC4 only", suite(tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA), bundle},
	}
}

// leafIlls are servers whose certificate is by a good authority, and not good itself.
func leafIlls(tb testing.TB, root *Keyed, bundle []byte) (ills []TLSIll) {
	tb.Helper()
	add := func(what string, change func(*x509.Certificate)) {
		ills = append(ills, TLSIll{what, NewKeyed(tb, changed(ServerTemplate(tb), change), nil, root).TLS(root), bundle})
	}
	add("the certificate has expired", expired)
	add("the certificate is not valid yet", early)
	add("the certificate is for another name", func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"ldap.example.net"} })
	add("the certificate has the address as a DNS name", func(c *x509.Certificate) {
		c.IPAddresses, c.DNSNames = nil, []string{"ldap.example.org",
			"127.0.0.1"}
	})
	add("the certificate has a common name only", func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, nil })
	add("the certificate is for clients", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	add("the certificate has an unknown critical extension", func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: true, Value: []byte{5, 0}}}
	})
	return append(ills, TLSIll{"the certificate is self-signed", NewKeyed(tb, ServerTemplate(tb), nil, nil).TLS(), bundle})
}

// authorityIlls are servers whose authority is the second of the client's, and is not accepted.
func authorityIlls(tb testing.TB, other *Keyed) (ills []TLSIll) {
	tb.Helper()
	add := func(what string, change func(*x509.Certificate)) {
		root := NewKeyed(tb, changed(AuthorityTemplate(tb, "Example CA"), change), nil, nil)
		ills = append(ills, TLSIll{what, NewKeyed(tb, ServerTemplate(tb), nil, root).TLS(), append(other.PEM(), root.PEM()...)})
	}
	add("the authority has expired", expired)
	add("the authority is not valid yet", early)
	add("the authority has no basicConstraints", func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid, c.KeyUsage = false, false, 0 })
	add("the authority may not sign certificates", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })
	add("the authority is for other names", func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"example.net"}
	})
	renewed := NewKeyed(tb, AuthorityTemplate(tb, "Example CA"), nil, nil)
	old := NewKeyed(tb, AuthorityTemplate(tb, "Example CA"), nil, nil)
	ills = append(ills, TLSIll{"the authority has another key", NewKeyed(tb, ServerTemplate(tb), nil, renewed).TLS(), append(other.PEM(), old.PEM()...)})

	sha1 := NewKeyed(tb, AuthorityTemplate(tb, "Example CA"), NewRSAKey(tb), nil)
	bundle := append(other.PEM(), sha1.PEM()...)
	weak := func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA1WithRSA }
	return append(ills,
		TLSIll{"the certificate is signed with SHA-1", NewKeyed(tb, changed(ServerTemplate(tb), weak), nil, sha1).TLS(), bundle},
		TLSIll{"the intermediate is signed with SHA-1", chain(tb, sha1, changed(AuthorityTemplate(tb, "Example Issuing CA"), weak), true), bundle})
}

// chain is a server whose certificate is by an intermediate, which it sends or keeps.
func chain(tb testing.TB, root *Keyed, template *x509.Certificate, send bool) *tls.Config {
	tb.Helper()
	intermediate := NewKeyed(tb, template, nil, root)
	leaf := NewKeyed(tb, ServerTemplate(tb), nil, intermediate)
	if !send {
		return leaf.TLS()
	}
	return leaf.TLS(intermediate)
}

func changed(c *x509.Certificate, change func(*x509.Certificate)) *x509.Certificate {
	change(c)
	return c
}

func with(c *tls.Config, change func(*tls.Config)) *tls.Config {
	change(c)
	return c
}

func expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-90*24*time.Hour), time.Now().Add(-3*24*time.Hour)
}

func early(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(9*time.Hour), time.Now().Add(90*24*time.Hour)
}

func clientCAs(k *Keyed) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(k.Cert)
	return pool
}
