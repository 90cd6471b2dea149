package api

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"authsvc/internal/connlimit"
)

// The bounds of what a caller may show as its certificate and the intermediates that lead from it
// to an authority.
const (
	maxChain      = 6
	maxChainBytes = 16 << 10
)

// errChainTooLong is the cause of a refusal.
var errChainTooLong = fmt.Errorf("the chain must have at most %d certificates and %d bytes", maxChain, maxChainBytes)

// VerifyConnection is for the [tls.Config] of a listener that asks for callers' certificates: it
// ends a handshake in which more certificates were shown than a caller may, so that their memory is
// not kept.
func VerifyConnection(state tls.ConnectionState) error { return checkLength(state.PeerCertificates) }

func checkLength(shown []*x509.Certificate) error {
	size := 0
	for _, cert := range shown {
		size += len(cert.Raw)
	}
	if len(shown) > maxChain || size > maxChainBytes {
		return errChainTooLong
	}
	return nil
}

// connKey is the key of a request's *connState in its context.
type connKey struct{}

// connState is what is kept of a connection.
type connState struct {
	limited  *connlimit.Conn // nil where the listener has no limits
	verified atomic.Pointer[verification]
}

// verification is what a connection's certificate was found to be for those callers.
type verification struct {
	by    *Callers
	until time.Time // when the first certificate of the chain expires
	name  string    // of the caller
	err   error     // why it is refused
}

// withConnState is for [http.Server.ConnContext].
func withConnState(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, &connState{limited: connlimit.Of(c)})
}

// connOf returns the state of a request's connection; nil where another server than this package's
// serves it.
func connOf(r *http.Request) *connState {
	conn, _ := r.Context().Value(connKey{}).(*connState)
	return conn
}

// limitedConn returns the limited connection of a request. If there is no such connection it
// returns nil, which can be held as well.
func limitedConn(r *http.Request) *connlimit.Conn {
	if conn := connOf(r); conn != nil {
		return conn.limited
	}
	return nil
}

// byCertificate names the caller that shows a certificate of ours. Its private key was proved in
// the handshake. A certificate is verified once for each connection and each [Server.SetCallers],
// whether that fails or not.
func (a *Callers) byCertificate(r *http.Request) (string, error) {
	conn := connOf(r)
	if conn == nil {
		conn = new(connState)
	}
	v := conn.verified.Load()
	if v == nil || v.by != a || v.err == nil && !time.Now().Before(v.until) {
		v = a.verify(r.TLS)
		conn.verified.Store(v)
	}
	return v.name, v.err
}

// verify checks a certificate for a client's use (RFC 5280 section 4.2.1.12) against the
// authorities.
func (a *Callers) verify(state *tls.ConnectionState) *verification {
	leaf := state.PeerCertificates[0]
	chains, err := a.chains(state.PeerCertificates)
	if err == nil {
		err = a.denies(chains)
	}
	if err != nil {
		return &verification{by: a, err: fmt.Errorf("the caller's certificate: %w", err)}
	}
	v := &verification{by: a, until: leaf.NotAfter, name: certName(leaf)}
	for _, cert := range chains[0] {
		if cert.NotAfter.Before(v.until) {
			v.until = cert.NotAfter
		}
	}
	return v
}

// chains returns the first certificate's ways to an authority, at least one.
//
// A stranger can make x509 try every order of intermediates that it made up, each step of which is
// a signature check with a key of its choice. So a certificate becomes an intermediate only when an
// authority, or an intermediate that was found so, has signed it: no signature is checked with a
// key that a stranger made.
func (a *Callers) chains(shown []*x509.Certificate) ([][]*x509.Certificate, error) {
	if err := checkLength(shown); err != nil {
		return nil, err
	}
	options := x509.VerifyOptions{
		Roots: a.ClientCAs, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	rest, found := shown[1:], true
	for found {
		found = false
		var unknown []*x509.Certificate
		for _, cert := range rest {
			if _, err := cert.Verify(options); err != nil {
				unknown = append(unknown, cert)
				continue
			}
			options.Intermediates.AddCert(cert)
			found = true
		}
		rest = unknown
	}
	options.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return shown[0].Verify(options)
}

var errDenied = errors.New("its fingerprint, or that of a certificate that signed it, is in HTTP_TLS_CLIENT_DENY_FILE")

// denies returns an error if any certificate of any verified chain is denied. One denied chain is
// enough: the caller chooses which intermediates it shows, and could show another way to an
// authority.
func (a *Callers) denies(chains [][]*x509.Certificate) error {
	if len(a.Denied) == 0 {
		return nil
	}
	for _, chain := range chains {
		for i, cert := range chain {
			signer := chain[min(i+1, len(chain)-1)] // a root signs itself
			encodings, err := encodingsOf(cert, signer)
			if err != nil {
				return err
			}
			for _, der := range encodings {
				if a.Denied[sha256.Sum256(der)] {
					return errDenied
				}
			}
		}
	}
	return nil
}

// certificate is a Certificate of RFC 5280 section 4.1, of which only the signature is decoded.
type certificate struct {
	TBS, Algorithm asn1.RawValue
	Signature      asn1.BitString
}

// encodingsOf returns cert in every encoding that is as valid as its own, its own first. The
// signature does not cover its own bytes, so the holder can change the fingerprint of a
// certificate: in an ECDSA signature (r, s) the value s can be replaced by n-s, and the bits of any
// signature that begins with zeros can be moved within their BIT STRING.
func encodingsOf(cert, signer *x509.Certificate) ([][]byte, error) {
	encodings := [][]byte{cert.Raw}
	var c certificate
	if _, err := asn1.Unmarshal(cert.Raw, &c); err != nil {
		return nil, err
	}
	signatures := [][]byte{cert.Signature}
	if other := otherECDSASignature(cert.Signature, signer); other != nil {
		signatures = append(signatures, other)
	}
	for _, signature := range signatures {
		c.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
		der, err := asn1.Marshal(c)
		if err != nil {
			return nil, err
		}
		encodings = append(encodings, der)
	}
	return encodings, nil
}

// otherECDSASignature returns the other signature that the signer's key verifies for the same
// message; nil if the key is of another kind.
func otherECDSASignature(signature []byte, signer *x509.Certificate) []byte {
	key, ok := signer.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(signature, &pair); err != nil {
		return nil // no signature of that key
	}
	pair.S.Sub(key.Params().N, pair.S)
	other, err := asn1.Marshal(pair)
	if err != nil {
		return nil
	}
	return other
}

// certName is what a certificate calls its owner: the common name, or the first of its other names,
// or else its number.
func certName(c *x509.Certificate) string {
	switch {
	case c.Subject.CommonName != "":
		return c.Subject.CommonName
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	case len(c.URIs) > 0:
		return c.URIs[0].String()
	case len(c.EmailAddresses) > 0:
		return c.EmailAddresses[0]
	}
	return fmt.Sprintf("serial %x", c.SerialNumber)
}
