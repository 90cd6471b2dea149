package api_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net/http"
	"testing"
	"time"

	"authsvc/api"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// issued is a certificate and its key.
type issued struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue signs a certificate; by itself where by is nil. Where key is not nil, it is that one's.
func issue(t *testing.T, name string, by *issued, key *ecdsa.PrivateKey, authority bool) *issued {
	t.Helper()
	var err error
	if key == nil {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
	}
	number, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: number, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: authority, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if authority {
		template.KeyUsage = x509.KeyUsageCertSign
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &issued{cert, key}
}

func TestDenies_FingerprintsOfTheCertificateAndItsSigners(t *testing.T) {
	t.Parallel()
	root := issue(t, "root", nil, nil, true)
	first := issue(t, "intermediate", root, nil, true)
	second := issue(t, "intermediate", root, first.key, true) // the same name and key: another way to the root
	leaf, other := issue(t, "till 1", first, nil, false), issue(t, "till 2", first, nil, false)
	roots := x509.NewCertPool()
	roots.AddCert(root.cert)
	identify := func(denied *issued, shown ...*issued) error {
		callers := api.Callers{ClientCAs: roots, Denied: map[[sha256.Size]byte]bool{sha256.Sum256([]byte("no certificate")): true}}
		if denied != nil {
			callers.Denied[sha256.Sum256(denied.cert.Raw)] = true
		}
		state := &tls.ConnectionState{}
		for _, one := range shown {
			state.PeerCertificates = append(state.PeerCertificates, one.cert)
		}
		_, err := callers.Identify(&http.Request{Header: http.Header{}, TLS: state})
		return err
	}
	require.NoError(t, identify(nil, leaf, first))
	require.NoError(t, identify(other, leaf, first))
	const denied = "the caller's certificate: its fingerprint, or that of a certificate that signed it, is in HTTP_TLS_CLIENT_DENY_FILE"
	require.EqualError(t, identify(leaf, leaf, first), denied)
	require.EqualError(t, identify(first, leaf, first), denied)
	require.EqualError(t, identify(root, leaf, first), denied)
	require.EqualError(t, identify(first, leaf, second, first), denied, "there is another way to the root")
}

// reencoded returns a certificate with another signature. Its BIT STRING has unused bits at its
// end, in place of as many zeros at its beginning.
func reencoded(t *testing.T, cert *x509.Certificate, signature []byte, unused int) *x509.Certificate {
	t.Helper()
	var c struct {
		TBS, Algorithm asn1.RawValue
		Signature      asn1.BitString
	}
	_, err := asn1.Unmarshal(cert.Raw, &c)
	require.NoError(t, err)
	moved := new(big.Int).Lsh(new(big.Int).SetBytes(signature), uint(unused)).FillBytes(make([]byte, len(signature)))
	c.Signature = asn1.BitString{Bytes: moved, BitLength: 8*len(signature) - unused}
	der, err := asn1.Marshal(c)
	require.NoError(t, err)
	changed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return changed
}

// otherS returns an ECDSA signature with n-s in place of s.
func otherS(t *testing.T, signature []byte, curve elliptic.Curve) []byte {
	t.Helper()
	var pair struct{ R, S *big.Int }
	_, err := asn1.Unmarshal(signature, &pair)
	require.NoError(t, err)
	pair.S.Sub(curve.Params().N, pair.S)
	other, err := asn1.Marshal(pair)
	require.NoError(t, err)
	return other
}

// TestDenies_HoldsHoweverTheHolderEncodesTheSignature: a certificate's signature is not signed, so
// that its holder can give the certificate another fingerprint.
func TestDenies_HoldsHoweverTheHolderEncodesTheSignature(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	signers := map[string]crypto.Signer{"RSA": rsaKey}
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		signers[curve.Params().Name], err = ecdsa.GenerateKey(curve, rand.Reader)
		require.NoError(t, err)
	}
	for name, signer := range signers {
		root := &authority{t: t, key: signer, cert: &x509.Certificate{Subject: pkix.Name{CommonName: name}}}
		root.cert = root.sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true}, signer)
		one := newAuthority(t, "intermediate", root)
		for one.cert.Signature[0] >= 0x40 { // two zeros that can be moved
			one = newAuthority(t, "intermediate", root)
		}
		signatures := [][]byte{one.cert.Signature}
		if key, ok := signer.(*ecdsa.PrivateKey); ok {
			signatures = append(signatures, otherS(t, one.cert.Signature, key.Curve))
		}
		leaf := one.caller()
		for i, signature := range signatures {
			for unused := range 3 {
				shown := []*x509.Certificate{leaf, reencoded(t, one.cert, signature, unused)}
				as := fmt.Sprintf("%s, signature %d, %d unused bits", name, i, unused)
				require.Equal(t, i == 0 && unused == 0, bytes.Equal(one.cert.Raw, shown[1].Raw), as)
				callers := api.Callers{ClientCAs: poolOf(root), Denied: map[[sha256.Size]byte]bool{{}: true}}
				_, err := callers.Identify(showing(t, shown...))
				require.NoError(t, err, "%s: not denied", as)
				callers.Denied[sha256.Sum256(one.cert.Raw)] = true
				_, err = callers.Identify(showing(t, shown...))
				require.ErrorContains(t, err, "is in HTTP_TLS_CLIENT_DENY_FILE", as)
			}
		}
		for _, der := range [][]byte{leaf.Raw, reencoded(t, leaf, otherS(t, leaf.Signature, elliptic.P256()), 0).Raw} {
			callers := api.Callers{ClientCAs: poolOf(root), Denied: map[[sha256.Size]byte]bool{sha256.Sum256(der): true}}
			_, err := callers.Identify(showing(t, leaf, one.cert))
			require.ErrorContains(t, err, "is in HTTP_TLS_CLIENT_DENY_FILE", "%s: a caller's own certificate", name)
		}
	}
}

func TestDenies_AppliesToOpenConnections(t *testing.T) {
	t.Parallel()
	callers := ldaptest.NewCA(t)
	h := newHarness(t, func(c *api.Config) { c.Callers.ClientCAs = callers.Pool() })
	addr, ca := h.listenTLS(t)
	cert := callers.Issue(t, ldaptest.CertConfig{Client: true})
	client, other := clientWith(t, ca, cert), clientWith(t, ca, callers.Issue(t, ldaptest.CertConfig{Client: true}))
	require.Equal(t, 0, *loginOver(t, client, addr, "").Status)
	require.Equal(t, 0, *loginOver(t, other, addr, "").Status)
	h.SetCallers(api.Callers{ClientCAs: callers.Pool(), Denied: map[[sha256.Size]byte]bool{sha256.Sum256(cert.TLS.Certificate[0]): true}})
	for range 2 { // the second by what the first left on the connection
		require.Equal(t, 15, *loginOver(t, client, addr, "").Status)
		require.Equal(t, 0, *loginOver(t, other, addr, "").Status)
	}
	h.SetCallers(api.Callers{ClientCAs: callers.Pool()})
	require.Equal(t, 0, *loginOver(t, client, addr, "").Status)
}

// TestKey_EmptyFilesAdmitNobody: what an emptied file leaves is no open door.
func TestKey_EmptyFilesAdmitNobody(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]api.Callers{
		"zero value": {}, "no key": {Keys: []api.Key{}}, "no authority": {ClientCAs: x509.NewCertPool()}, "neither": {Keys: []api.Key{}, ClientCAs: x509.NewCertPool()},
	} {
		h := newHarness(t)
		h.SetCallers(c)
		h.requireCallerRefused(t, h.do(t, authorized("Bearer shop-key")), map[bool]string{true: "not in AUTH_API_KEYS_FILE", false: "neither a key nor a certificate"}[c.Keys != nil])
		require.Equal(t, http.StatusUnauthorized, h.post(t, typeJSON, goodJSON).Code, name)
	}
	h := newHarness(t)
	h.SetCallers(api.Callers{Anybody: true})
	require.Equal(t, http.StatusOK, h.post(t, typeJSON, goodJSON).Code)
}
