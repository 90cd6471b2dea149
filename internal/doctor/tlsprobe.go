package doctor

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"net"
	"strings"

	"authsvc/ldappool/ldapurl"
)

// handshake is the result of a TLS handshake that permits every version and cipher suite.
type handshake struct {
	ok          bool // it succeeded
	version     uint16
	suite       uint16
	authorities []string // of client certificates, that the server named
}

// tryTLS tries a second handshake with a server that ended the first, to find out what it accepts.
// The server is not trusted, and no data is sent to it.
func (d *doctor) tryTLS(ctx context.Context, server, at string) (h handshake) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", at)
	if err != nil {
		return h
	}
	defer raw.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = raw.SetDeadline(deadline) // if it fails, the context ends the handshake
	}
	if d.Pool.StartTLS && ldapurl.SchemeOf(server) == ldapurl.LDAP && !startTLS(raw) {
		return h
	}
	c := anyTLSConfig()
	c.ServerName = d.serverName(server)
	c.GetClientCertificate = func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		for _, der := range request.AcceptableCAs {
			var name pkix.RDNSequence
			if _, err := asn1.Unmarshal(der, &name); err == nil {
				h.authorities = append(h.authorities, name.String())
			}
		}
		return &tls.Certificate{}, nil
	}
	conn := tls.Client(raw, c)
	h.ok = conn.HandshakeContext(ctx) == nil
	state := conn.ConnectionState()
	h.version, h.suite = state.Version, state.CipherSuite
	return h
}

// anyTLSConfig permits every version and cipher suite, and accepts every certificate.
func anyTLSConfig() *tls.Config {
	c := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10} //nolint:gosec // see tryTLS and speaks
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		c.CipherSuites = append(c.CipherSuites, s.ID)
	}
	return c
}

// startTLSRequest is message 1, an extended request 1.3.6.1.4.1.1466.20037 (RFC 4511 section
// 4.14.1).
var startTLSRequest = []byte("\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037")

// startTLS reports whether a server accepts StartTLS. It reads no byte past the answer.
func startTLS(raw net.Conn) bool {
	if _, err := raw.Write(startTLSRequest); err != nil {
		return false
	}
	head := make([]byte, 2)
	if _, err := io.ReadFull(raw, head); err != nil || head[0] != 0x30 || head[1] >= 0x80 {
		return false // a valid answer is short
	}
	body := make([]byte, head[1])
	if _, err := io.ReadFull(raw, body); err != nil {
		return false
	}
	return bytes.Contains(body, []byte{0x0a, 0x01, 0x00}) // resultCode success
}

// pingRequest is message 1, a search of the root DSE for "1.1" (RFC 4511 section 4.5.1).
var pingRequest = []byte("\x30\x2a\x02\x01\x01\x63\x25\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x01\x02\x01\x00" +
	"\x01\x01\x00\x87\x0bobjectClass\x30\x05\x04\x031.1")

// answersLDAP reports whether a server answers LDAP without TLS.
func answersLDAP(ctx context.Context, at string) bool {
	if _, _, err := net.SplitHostPort(at); err != nil {
		return false
	}
	answer := exchange(ctx, at, false, string(pingRequest))
	return strings.HasPrefix(answer, "\x30") && strings.Contains(answer[:min(len(answer), 12)], "\x02\x01\x01")
}

// serverName returns the name that a server's certificate must have.
func (d *doctor) serverName(server string) string {
	if d.Pool.TLS != nil && d.Pool.TLS.ServerName != "" {
		return d.Pool.TLS.ServerName
	}
	host, _, _ := hostPort(server)
	return host
}

// oldestVersion returns the oldest version of TLS that the service supports.
func (d *doctor) oldestVersion() uint16 {
	if d.Pool.TLS != nil {
		return max(d.Pool.TLS.MinVersion, tls.VersionTLS12)
	}
	return tls.VersionTLS12
}

// debugSetting returns the GODEBUG setting that enables a cipher suite, and its cost.
func debugSetting(suite uint16) (setting, offers, cost string) {
	const (
		rsa  = "an attacker who obtains the server's key, even years later, can read every password in recorded traffic (no forward secrecy)"
		tdes = "an attacker who records some hundred gigabytes of one connection can read parts of it (Sweet32)"
	)
	switch suite {
	case tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA, tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384:
		return "tlsrsakex=1", "only RSA key exchange", rsa
	case tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA:
		return "tlsrsakex=1,tls3des=1", "only RSA key exchange with Triple DES", rsa + "; " + tdes
	case tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA:
		return "tls3des=1", "only Triple DES", tdes
	}
	return "", "only insecure cipher suites", ""
}

// isOffered reports whether the service offers a cipher suite by default.
func isOffered(suite uint16) bool {
	for _, s := range tls.CipherSuites() {
		if s.ID == suite {
			return true
		}
	}
	return false
}
