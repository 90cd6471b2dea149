package api_test

import (
	"bufio"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"authsvc/api"
	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// authority signs certificates, its own too. Its key is one and the same for all authorities of one
// name.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  crypto.Signer
}

// newAuthority makes one that parent signs, or nobody but itself.
func newAuthority(t *testing.T, name string, parent *authority, dnsNames ...string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	a := &authority{t: t, key: key}
	if parent == nil {
		parent = &authority{t: t, key: key, cert: &x509.Certificate{Subject: pkix.Name{CommonName: name}}}
	}
	a.cert = parent.sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, DNSNames: dnsNames}, key)
	return a
}

func (a *authority) sign(template *x509.Certificate, key crypto.Signer) *x509.Certificate {
	a.t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(a.t, err)
	template.SerialNumber, template.NotBefore, template.NotAfter = serial, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	require.NoError(a.t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(a.t, err)
	return cert
}

// caller makes a caller's certificate.
func (a *authority) caller(names ...string) *x509.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	return a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "till 7"}, DNSNames: names, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, key)
}

func poolOf(authorities ...*authority) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, a := range authorities {
		pool.AddCert(a.cert)
	}
	return pool
}

// showing is a request on a connection on which those certificates were shown.
func showing(t *testing.T, certs ...*x509.Certificate) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(api.WithConnState(t.Context(), nil), http.MethodPost, "/auth", nil)
	r.TLS = &tls.ConnectionState{PeerCertificates: certs}
	return r
}

func TestCertificate_ChainIsVerifiedInAnyOrder(t *testing.T) {
	t.Parallel()
	root := newAuthority(t, "root", nil)
	one := newAuthority(t, "one", root)
	two := newAuthority(t, "two", one)
	three := newAuthority(t, "three", two)
	stranger := newAuthority(t, "stranger", nil)
	callers := api.Callers{ClientCAs: poolOf(root)}
	leaf := three.caller()
	for name, chain := range map[string][]*x509.Certificate{
		"as TLS has it":                 {leaf, three.cert, two.cert, one.cert},
		"with the root":                 {leaf, three.cert, two.cert, one.cert, root.cert},
		"the other way round":           {leaf, root.cert, one.cert, two.cert, three.cert},
		"with one that does not belong": {leaf, stranger.cert, one.cert, three.cert, two.cert, root.cert},
		"with one twice":                {leaf, three.cert, three.cert, two.cert, one.cert},
		"signed by the root":            {root.caller()},
	} {
		caller, err := callers.Identify(showing(t, chain...))
		require.NoError(t, err, name)
		require.Equal(t, auth.Caller{Name: "till 7", By: auth.ByCertificate}, caller, name)
	}
	for name, chain := range map[string][]*x509.Certificate{
		"one is missing":                        {leaf, three.cert, one.cert, root.cert},
		"all are missing":                       {leaf},
		"of a stranger":                         {stranger.caller(), stranger.cert},
		"of a stranger who shows our authority": {stranger.caller(), stranger.cert, root.cert, one.cert},
	} {
		_, err := callers.Identify(showing(t, chain...))
		require.ErrorContains(t, err, "unknown authority", name)
	}
}

// TestCertificate_OnlyKnownAuthoritiesCheckSignatures: x509 says which certificate it checked a
// signature with in vain.
func TestCertificate_OnlyKnownAuthoritiesCheckSignatures(t *testing.T) {
	t.Parallel()
	root := newAuthority(t, "root", nil)
	callers := api.Callers{ClientCAs: poolOf(root)}
	for name, parent := range map[string]*authority{"no authority": nil, "one that has the name of ours": newAuthority(t, "root", nil)} {
		made := newAuthority(t, "made up", parent)
		chain := []*x509.Certificate{made.caller()}
		for i := range 5 {
			chain = append(chain, newAuthority(t, "made up", made, fmt.Sprintf("n%d.example.org", i)).cert)
		}
		intermediates := x509.NewCertPool()
		for _, cert := range chain[1:] {
			intermediates.AddCert(cert)
		}
		_, err := chain[0].Verify(x509.VerifyOptions{Roots: poolOf(root), Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		require.ErrorContains(t, err, `candidate authority certificate "made up"`, "x509 alone does, and this test would see it")
		_, err = callers.Identify(showing(t, chain...))
		require.ErrorContains(t, err, "unknown authority", name)
		require.NotContains(t, err.Error(), "made up", name)
	}
}

func TestCertificate_LongChainIsRejectedUnverified(t *testing.T) {
	t.Parallel()
	root := newAuthority(t, "root", nil)
	callers := api.Callers{ClientCAs: poolOf(root)}
	leaf := root.caller()
	six := []*x509.Certificate{leaf, root.cert, root.cert, root.cert, root.cert, root.cert}
	_, err := callers.Identify(showing(t, six...))
	require.NoError(t, err)
	_, err = callers.Identify(showing(t, append(six, root.cert)...))
	require.EqualError(t, err, "the caller's certificate: the chain must have at most 6 certificates and 16384 bytes")
	var names []string
	for i := range 800 {
		names = append(names, fmt.Sprintf("till-%d.example.org", i))
	}
	_, err = callers.Identify(showing(t, root.caller(names...)))
	require.EqualError(t, err, "the caller's certificate: the chain must have at most 6 certificates and 16384 bytes")
	_, err = callers.Identify(showing(t, root.caller(names[:400]...)))
	require.NoError(t, err)
}

// TestCertificate_IsVerifiedOncePerConnection: what was found is the same error, and not one that
// says the same.
func TestCertificate_IsVerifiedOncePerConnection(t *testing.T) {
	t.Parallel()
	root, stranger := newAuthority(t, "root", nil), newAuthority(t, "stranger", nil)
	callers := api.Callers{ClientCAs: poolOf(root)}
	r := showing(t, stranger.caller())
	_, first := callers.Identify(r)
	require.Error(t, first)
	_, second := callers.Identify(r)
	require.Same(t, first, second)
	_, other := callers.Identify(showing(t, stranger.caller()))
	require.NotSame(t, first, other, "another connection")
	reloaded := api.Callers{ClientCAs: poolOf(root, stranger)}
	_, err := reloaded.Identify(r)
	require.NoError(t, err, "an authority was added")
	_, err = callers.Identify(r)
	require.Error(t, err, "and taken out")
}

// TestCertificate_RejectionClosesTheConnection sends more requests than one on it.
func TestCertificate_RejectionClosesTheConnection(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]string{
		"without a body": "POST /auth HTTP/1.1\r\nHost: x\r\n\r\n",
		"with a body":    rawPost(fmt.Sprint("Content-Length: ", len(goodJSON)), goodJSON),
		"with a key":     rawPost("Authorization: Bearer x|Content-Length: 0", ""),
		"HTTP/1.0":       "POST /auth HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, keyed("shop"))
			statuses, all := h.listen(t).send(t, strings.Repeat(request, 10)) // within what net/http reads at once
			require.Equal(t, []int{http.StatusUnauthorized}, statuses)
			require.Contains(t, all, "\r\nConnection: close\r\n")
			require.Len(t, h.observer.all(), 1)
		})
	}
}

// TestCertificate_UnknownChainGetsOneAnswer shows 121 certificates and asks 200 times, over TLS.
func TestCertificate_UnknownChainGetsOneAnswer(t *testing.T) {
	t.Parallel()
	root := ldaptest.NewCA(t)
	stranger := newAuthority(t, "made up", nil)
	h := newHarness(t, func(c *api.Config) { c.Callers.ClientCAs = root.Pool() })
	addr, ca := h.listenTLS(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	leaf := stranger.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "x"}}, key)
	cfg, chain := ca.ClientTLS("localhost"), tls.Certificate{PrivateKey: key, Certificate: [][]byte{leaf.Raw}}
	for range 120 {
		chain.Certificate = append(chain.Certificate, stranger.cert.Raw)
	}
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &chain, nil }
	cfg.DynamicRecordSizingDisabled = true // one write: the server hangs up after the first request
	raw, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer raw.Close()
	require.NoError(t, raw.SetDeadline(time.Now().Add(20*time.Second)))
	conn := tls.Client(raw, cfg)
	_, err = io.WriteString(conn, strings.Repeat("POST /auth HTTP/1.1\r\nHost: x\r\n\r\n", 200))
	require.NoError(t, err)
	in := bufio.NewReader(conn)
	require.Equal(t, http.StatusUnauthorized, readStatus(t, in))
	_, err = in.ReadByte()
	require.Error(t, err)
	require.Len(t, h.observer.all(), 1)
	require.ErrorContains(t, h.observer.all()[0].result.Cause, "at most 6 certificates")
}

// TestCertificate_OfAResumedSessionIsVerified: its certificates come out of the ticket, and the
// authority may be gone since.
func TestCertificate_OfAResumedSessionIsVerified(t *testing.T) {
	t.Parallel()
	callers, others := ldaptest.NewCA(t), ldaptest.NewCA(t)
	h := newHarness(t, func(c *api.Config) { c.Callers.ClientCAs = callers.Pool() })
	addr, ca := h.listenTLS(t)
	cfg := ca.ClientTLS("localhost", callers.Issue(t, ldaptest.CertConfig{Client: true}))
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	ask := func() (status int, resumed bool) {
		conn, err := tls.Dial("tcp", addr, cfg)
		require.NoError(t, err)
		defer conn.Close()
		_, err = io.WriteString(conn, rawPost(fmt.Sprint("Content-Length: ", len(goodJSON)), goodJSON))
		require.NoError(t, err)
		return readStatus(t, bufio.NewReader(conn)), conn.ConnectionState().DidResume
	}
	status, resumed := ask()
	require.Equal(t, http.StatusOK, status)
	require.False(t, resumed)
	status, resumed = ask()
	require.Equal(t, http.StatusOK, status)
	require.True(t, resumed)
	h.SetCallers(api.Callers{ClientCAs: others.Pool()})
	status, resumed = ask()
	require.Equal(t, http.StatusUnauthorized, status)
	require.True(t, resumed)
}
