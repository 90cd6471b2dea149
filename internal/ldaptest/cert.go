package ldaptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CA is a certificate authority that lives in the test.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

// CertConfig says what a certificate is to contain. The zero value is a
// server's certificate for localhost, 127.0.0.1 and ::1, valid for a day.
type CertConfig struct {
	// CommonName of the subject; "localhost" if empty.
	CommonName string
	// Hosts are DNS names and IP addresses for which the certificate stands.
	// nil means localhost, 127.0.0.1 and ::1; an empty slice means none.
	Hosts []string
	// NotBefore and NotAfter bound the validity; an hour ago and a day from
	// now if zero.
	NotBefore, NotAfter time.Time
	// Client makes a client's certificate (clientAuth) instead of a server's.
	Client bool
}

// Cert is an issued certificate with its key, in memory and as PEM files.
type Cert struct {
	// TLS is ready for tls.Config.Certificates; its Leaf is set.
	TLS tls.Certificate
	// CertFile and KeyFile are PEM files; the key is in PKCS #8.
	CertFile, KeyFile string
}

// NewCA makes an authority with an ECDSA P-256 key.
func NewCA(tb testing.TB) *CA {
	tb.Helper()
	return NewNamedCA(tb, "ldaptest CA")
}

// NewNamedCA is [NewCA] with a common name of its own: clients choose their
// certificate by the names of the authorities that a server accepts.
func NewNamedCA(tb testing.TB, name string) *CA {
	tb.Helper()
	key := newKey(tb)
	template := &x509.Certificate{
		SerialNumber:          serial(tb),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(10 * 365 * 24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	cert := sign(tb, template, template, key, key)
	file := filepath.Join(tb.TempDir(), "ca.pem")
	writePEM(tb, file, "CERTIFICATE", cert.Raw)
	return &CA{cert: cert, key: key, file: file}
}

// File is the authority's certificate as a PEM file.
func (ca *CA) File() string { return ca.file }

// Certificate is the authority's own.
func (ca *CA) Certificate() *x509.Certificate { return ca.cert }

// Pool is a new pool that trusts this authority alone.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// Issue makes a certificate.
func (ca *CA) Issue(tb testing.TB, cfg CertConfig) *Cert {
	tb.Helper()
	key := newKey(tb)
	leaf := sign(tb, cfg.template(tb), ca.cert, key, ca.key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatalf("encode the key: %v", err)
	}
	dir := tb.TempDir()
	c := &Cert{
		TLS:      tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf},
		CertFile: filepath.Join(dir, "cert.pem"),
		KeyFile:  filepath.Join(dir, "key.pem"),
	}
	writePEM(tb, c.CertFile, "CERTIFICATE", leaf.Raw)
	writePEM(tb, c.KeyFile, "PRIVATE KEY", der)
	return c
}

// ServerTLS is a server's configuration with a new certificate for hosts, or
// for localhost and the loopback addresses if there are none.
func (ca *CA) ServerTLS(tb testing.TB, hosts ...string) *tls.Config {
	tb.Helper()
	cert := ca.Issue(tb, CertConfig{Hosts: hosts})
	return &tls.Config{Certificates: []tls.Certificate{cert.TLS}, MinVersion: tls.VersionTLS12}
}

// ClientTLS is a client's configuration that trusts this authority and
// expects serverName, and shows the given certificates if asked for one.
func (ca *CA) ClientTLS(serverName string, certs ...*Cert) *tls.Config {
	cfg := &tls.Config{RootCAs: ca.Pool(), ServerName: serverName, MinVersion: tls.VersionTLS12}
	for _, c := range certs {
		cfg.Certificates = append(cfg.Certificates, c.TLS)
	}
	return cfg
}

// template is the certificate before it is signed, with defaults filled in.
func (cfg CertConfig) template(tb testing.TB) *x509.Certificate {
	tb.Helper()
	c := &x509.Certificate{
		SerialNumber: serial(tb),
		Subject:      pkix.Name{CommonName: cfg.CommonName},
		NotBefore:    cfg.NotBefore,
		NotAfter:     cfg.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if cfg.CommonName == "" {
		c.Subject.CommonName = "localhost"
	}
	if cfg.NotBefore.IsZero() {
		c.NotBefore = time.Now().Add(-time.Hour)
	}
	if cfg.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(24 * time.Hour)
	}
	if cfg.Client {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	hosts := cfg.Hosts
	if hosts == nil {
		hosts = []string{"localhost", "127.0.0.1", "::1"}
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, h)
		}
	}
	return c
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatalf("make a key: %v", err)
	}
	return key
}

func serial(tb testing.TB) *big.Int {
	tb.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		tb.Fatalf("make a serial number: %v", err)
	}
	return n
}

// sign makes template a certificate for key, signed by parent's signer.
func sign(tb testing.TB, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		tb.Fatalf("sign a certificate: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatalf("read the certificate back: %v", err)
	}
	return cert
}

func writePEM(tb testing.TB, file, kind string, der []byte) {
	tb.Helper()
	data := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(file, data, 0o600); err != nil {
		tb.Fatal(err)
	}
}
