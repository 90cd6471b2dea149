package ldaptest

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// handshake runs both sides of TLS over TCP and returns their errors. A pipe
// will not do: both sides write at once when one refuses the other.
func handshake(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	done := make(chan error, 1)
	l, err := newListener(func(c net.Conn) { done <- tls.Server(c, server).Handshake() })
	require.NoError(t, err)
	defer l.shutdown(l.cutAll)
	b := dialRaw(t, l.port.addr())
	c := tls.Client(b, client)
	clientErr = c.Handshake()
	if clientErr == nil {
		// With TLS 1.3 the client learns of a refused certificate on reading.
		_, _ = c.Read(make([]byte, 1))
	}
	_ = b.Close()
	return <-done, clientErr
}

func TestCerts_AreTrustedUnderTheirNames(t *testing.T) {
	t.Parallel()
	ca := NewCA(t)
	server := ca.ServerTLS(t)
	for _, name := range []string{"localhost", "127.0.0.1"} {
		_, err := handshake(t, server, ca.ClientTLS(name))
		require.NoError(t, err, name)
	}
	_, err := handshake(t, server, ca.ClientTLS("elsewhere"))
	require.ErrorAs(t, err, new(x509.HostnameError))
	_, err = handshake(t, ca.ServerTLS(t, "elsewhere"), ca.ClientTLS("elsewhere"))
	require.NoError(t, err)
	_, err = handshake(t, server, NewCA(t).ClientTLS("localhost"))
	require.ErrorAs(t, err, new(x509.UnknownAuthorityError))
}

func TestCerts_ExpiredOneIsRejected(t *testing.T) {
	t.Parallel()
	ca := NewCA(t)
	past := ca.Issue(t, CertConfig{NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
	_, err := handshake(t, &tls.Config{Certificates: []tls.Certificate{past.TLS}}, ca.ClientTLS("localhost"))
	var invalid x509.CertificateInvalidError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, x509.Expired, invalid.Reason)
}

func TestCerts_OnlyClientCertificatesAuthenticateClients(t *testing.T) {
	t.Parallel()
	ca := NewCA(t)
	server := ca.ServerTLS(t)
	server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, ca.Pool()
	client := ca.Issue(t, CertConfig{CommonName: "authsvc", Client: true})
	require.Equal(t, "authsvc", client.TLS.Leaf.Subject.CommonName)
	err, _ := handshake(t, server, ca.ClientTLS("localhost", client))
	require.NoError(t, err)
	err, _ = handshake(t, server, ca.ClientTLS("localhost", ca.Issue(t, CertConfig{})))
	require.Error(t, err)
	err, _ = handshake(t, server, ca.ClientTLS("localhost"))
	require.Error(t, err)
}

func TestCerts_FilesHoldWhatIsInMemory(t *testing.T) {
	t.Parallel()
	ca := NewCA(t)
	cert := ca.Issue(t, CertConfig{})
	pair, err := tls.LoadX509KeyPair(cert.CertFile, cert.KeyFile)
	require.NoError(t, err)
	require.Equal(t, cert.TLS.Certificate, pair.Certificate)
	data, err := os.ReadFile(ca.File())
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(data))
	require.True(t, pool.Equal(ca.Pool()))
}
