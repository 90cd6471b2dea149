package ldapconn

import (
	"crypto/tls"
	"errors"
	"strings"

	"authsvc/ldappool/tlscause"
)

// tlsError is a failure of TLS, in the handshake or after it. Its text contains nothing of the
// server's certificate.
type tlsError struct {
	err   error
	cause tlscause.Diagnosis
}

func newTLSError(err error, seen tlscause.Seen) *tlsError {
	return &tlsError{err, tlscause.Diagnose(err, seen)}
}

func (e *tlsError) Unwrap() error { return e.err }

func (e *tlsError) Error() string {
	switch cause := e.cause.String(); {
	case cause != "":
		return "tls: " + cause
	case strings.Contains(e.err.Error(), "x509:"):
		return "tls: the server's certificate cannot be read"
	}
	return e.err.Error() // of the protocol or the network
}

// DiagnoseTLS returns why TLS failed, if err is the error of an operation or a dial that failed
// because of TLS.
func DiagnoseTLS(err error) (tlscause.Diagnosis, bool) {
	if e, ok := errors.AsType[*tlsError](err); ok {
		return e.cause, true
	}
	return tlscause.Diagnosis{}, false
}

// watchClientCertificate makes c record in seen whether the server requests a certificate, and
// whether it gets one. The certificate sent stays the same.
func watchClientCertificate(c *tls.Config, seen *tlscause.Seen) {
	choose := c.GetClientCertificate
	c.GetClientCertificate = func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		seen.CertificateRequested = true
		if choose != nil {
			cert, err := choose(request)
			seen.CertificateSent = err == nil && cert != nil && len(cert.Certificate) > 0
			return cert, err
		}
		for i := range c.Certificates {
			if request.SupportsCertificate(&c.Certificates[i]) == nil {
				seen.CertificateSent = true
				return &c.Certificates[i], nil
			}
		}
		return &tls.Certificate{}, nil // none, as crypto/tls does
	}
}
