package ldaptest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"math/big"
	"testing"
	"time"
)

// Keyed is a certificate of any kind with its key, for what no authority in its right mind issues.
type Keyed struct {
	Cert *x509.Certificate // nil if crypto/x509 does not read it
	DER  []byte
	Key  crypto.Signer
}

// NewKeyed makes a certificate for key, signed by parent, or by itself if that is nil. A nil key is
// a new one.
func NewKeyed(tb testing.TB, template *x509.Certificate, key crypto.Signer, parent *Keyed) *Keyed {
	tb.Helper()
	if key == nil {
		key = newKey(tb)
	}
	above, signer := template, key
	if parent != nil {
		above, signer = parent.Cert, parent.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, above, key.Public(), signer)
	if err != nil {
		tb.Fatalf("sign a certificate: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatalf("read the certificate back: %v", err)
	}
	return &Keyed{Cert: cert, DER: der, Key: key}
}

// PEM is the certificate alone.
func (k *Keyed) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.DER})
}

// TLS is a configuration of a server that shows the certificate, and then those above it.
func (k *Keyed) TLS(above ...*Keyed) *tls.Config {
	c := tls.Certificate{Certificate: [][]byte{k.DER}, PrivateKey: k.Key}
	for _, a := range above {
		c.Certificate = append(c.Certificate, a.DER)
	}
	return &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS10}
}

// AuthorityTemplate is an authority of that name, good for ten years.
func AuthorityTemplate(tb testing.TB, name string) *x509.Certificate {
	tb.Helper()
	return &x509.Certificate{
		SerialNumber: serial(tb), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(10 * 365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// ServerTemplate is a server's certificate as that of the zero [CertConfig].
func ServerTemplate(tb testing.TB) *x509.Certificate {
	tb.Helper()
	return CertConfig{}.template(tb)
}

// NewRSAKey makes an RSA key of 2,048 bits.
func NewRSAKey(tb testing.TB) crypto.Signer {
	tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatalf("make a key: %v", err)
	}
	return key
}

// pretender is an RSA key of any length, of which nobody knows the private part: its signatures are
// noise.
type pretender struct{ key *rsa.PublicKey }

// Pretender makes one of so many bits.
func Pretender(tb testing.TB, bits int) crypto.Signer {
	tb.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits-1)))
	if err != nil {
		tb.Fatal(err)
	}
	n.SetBit(n, bits-1, 1).SetBit(n, 0, 1)
	return pretender{&rsa.PublicKey{N: n, E: 65537}}
}

func (p pretender) Public() crypto.PublicKey { return p.key }

func (p pretender) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, p.key.Size()), nil
}

// WithNegativeSerial is the certificate with a negative serial number (which RFC 5280 forbids, and
// some authorities of old gave), signed again by parent, which must have an ECDSA key.
func (k *Keyed) WithNegativeSerial(tb testing.TB, parent *Keyed) *Keyed {
	tb.Helper()
	var c struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(k.DER, &c); err != nil {
		tb.Fatal(err)
	}
	tbs := append([]byte{}, c.TBS.FullBytes...)
	// TBSCertificate (RFC 5280 section 4.1): [0] version, then the serial number.
	inner := c.TBS.Bytes
	begin := len(tbs) - len(inner)
	var version, number asn1.RawValue
	rest, err := asn1.Unmarshal(inner, &version)
	if err == nil {
		_, err = asn1.Unmarshal(rest, &number)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tbs[begin+len(version.FullBytes)+len(number.FullBytes)-len(number.Bytes)] |= 0x80
	c.TBS = asn1.RawValue{FullBytes: tbs}
	sum := sha256.Sum256(tbs)
	signature, err := parent.Key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		tb.Fatal(err)
	}
	c.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
	der, err := asn1.Marshal(c)
	if err != nil {
		tb.Fatal(err)
	}
	return &Keyed{DER: der, Key: k.Key}
}
