package tlscause

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Diagnose finds out why a handshake, or the first exchange after it, failed with err. With TLS 1.3
// a server checks the client's certificate after the client has finished the handshake.
func Diagnose(err error, seen Seen) Diagnosis {
	if alert, ok := alertOf(err); ok {
		return diagnoseAlert(alert, seen)
	}
	if refused, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return diagnoseCertificate(refused, seen.Authorities, time.Now())
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return Diagnosis{Cause: NotTLS}
	}
	cause := causeByText(err)
	if cause == Other && seen.CertificateRequested && !seen.CertificateSent && isClosed(err) {
		cause = ClientCertificateMissing // slapd with GnuTLS sends no alert
	}
	return Diagnosis{Cause: cause}
}

// isClosed reports whether err means that the server ended the connection.
func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// alertOf returns the alert that the server sent. Its type is not exported; that of
// [tls.AlertError] is QUIC's alone.
func alertOf(err error) (tls.AlertError, bool) {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "remote error" || op.Err == nil {
		return 0, false
	}
	v := reflect.ValueOf(op.Err)
	if v.Kind() != reflect.Uint8 {
		return 0, false
	}
	return tls.AlertError(v.Uint()), true //nolint:gosec // it is a uint8
}

// diagnoseAlert recognizes alerts about the client's certificate. With TLS 1.2 a server that
// requires one may only send a general handshake failure.
func diagnoseAlert(alert tls.AlertError, seen Seen) Diagnosis {
	aboutCertificate := alert == certificateRequired || alert >= badCertificate && alert <= certificateUnknown ||
		alert == unknownCA || alert == accessDenied
	d := Diagnosis{Cause: ServerAlert, Alert: alert}
	switch {
	case seen.CertificateRequested && !seen.CertificateSent && (aboutCertificate || alert == handshakeFailure),
		alert == certificateRequired:
		d.Cause = ClientCertificateMissing
	case seen.CertificateSent && aboutCertificate:
		d.Cause = ClientCertificateRefused
	}
	return d
}

// causeByText recognizes errors of crypto/tls that have no type, by their text. Tests with real
// handshakes check the texts.
func causeByText(err error) Cause {
	text := err.Error()
	has := func(part string) bool { return strings.Contains(text, part) }
	switch {
	case has("negative serial number"):
		return NegativeSerial
	case has("server selected unsupported protocol version"):
		return OldVersion
	case has("RSA key larger than"):
		return LongKey
	case has("keys are insecure"):
		return ShortKey
	case has("failed to parse certificate"), has("x509:"):
		return UnreadableCertificate
	}
	return Other
}

// diagnoseCertificate returns why a server's certificate was rejected.
func diagnoseCertificate(refused *tls.CertificateVerificationError, authorities []*x509.Certificate, now time.Time) Diagnosis {
	if len(refused.UnverifiedCertificates) == 0 {
		return Diagnosis{}
	}
	leaf := refused.UnverifiedCertificates[0]
	if name, ok := errors.AsType[x509.HostnameError](refused.Err); ok {
		return Diagnosis{Cause: nameCause(leaf, name.Host), Certificate: leaf, Host: name.Host}
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](refused.Err); ok {
		return diagnoseInvalid(invalid, authorities, now)
	}
	if _, ok := errors.AsType[x509.UnhandledCriticalExtension](refused.Err); ok {
		return Diagnosis{Cause: CriticalExtension, Certificate: leaf}
	}
	if _, ok := errors.AsType[x509.SystemRootsError](refused.Err); ok {
		return Diagnosis{Cause: NoSystemAuthorities}
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](refused.Err); ok {
		return diagnoseIssuer(refused.UnverifiedCertificates, authorities, now)
	}
	return Diagnosis{Cause: AuthorityOtherwise, Certificate: leaf}
}

// nameCause returns why a certificate is not for a host.
func nameCause(leaf *x509.Certificate, host string) Cause {
	host = strings.Trim(host, "[]")
	switch {
	case net.ParseIP(host) != nil && slices.ContainsFunc(leaf.DNSNames, func(n string) bool { return strings.EqualFold(n, host) }):
		return AddressInDNSName
	case len(leaf.DNSNames) == 0 && len(leaf.IPAddresses) == 0 && leaf.Subject.CommonName != "":
		return CommonNameOnly
	}
	return OtherName
}

// diagnoseInvalid returns what crypto/x509 reports about one certificate.
func diagnoseInvalid(invalid x509.CertificateInvalidError, authorities []*x509.Certificate, now time.Time) Diagnosis {
	d := Diagnosis{Cause: NameConstraint, Certificate: invalid.Cert, Authority: place(invalid.Cert, authorities)}
	switch invalid.Reason {
	case x509.Expired:
		d.Cause = timeCause(invalid.Cert, d.Authority > 0, now)
	case x509.IncompatibleUsage:
		d.Cause = OtherUsage
	case x509.NotAuthorizedToSign:
		d.Cause = NotAnAuthority
	}
	return d
}

// timeCause returns why a certificate is not valid at a time.
func timeCause(c *x509.Certificate, authority bool, now time.Time) Cause {
	switch early := now.Before(c.NotBefore); {
	case authority && early:
		return AuthorityNotYet
	case authority:
		return AuthorityExpired
	case early:
		return NotYetValid
	}
	return Expired
}

// place returns the number of a certificate among the authorities, from 1; 0 if it is not one of
// them.
func place(c *x509.Certificate, authorities []*x509.Certificate) int {
	return 1 + slices.IndexFunc(authorities, func(a *x509.Certificate) bool { return a != nil && a.Equal(c) })
}

// maxChain bounds the length of the chain.
const maxChain = 20

// diagnoseIssuer returns why no chain leads from the first certificate to an authority. It follows
// the issuers by name, as crypto/x509 does, until one is missing or not accepted.
func diagnoseIssuer(sent, authorities []*x509.Certificate, now time.Time) Diagnosis {
	c := sent[0]
	rest := slices.Clone(sent[1:])
	for range maxChain {
		issuers := named(authorities, c)
		for _, a := range issuers {
			if cause, ok := linkCause(c, a, true, now); !ok {
				return Diagnosis{Cause: cause, Certificate: c, Authority: place(a, authorities)}
			}
		}
		if len(issuers) > 0 {
			return Diagnosis{Cause: AuthorityOtherwise, Certificate: c, Authority: place(issuers[0], authorities)}
		}
		if string(c.RawIssuer) == string(c.RawSubject) {
			if c == sent[0] {
				return Diagnosis{Cause: SelfSigned, Certificate: c}
			}
			return Diagnosis{Cause: TopUnknown, Certificate: c}
		}
		next := named(rest, c)
		if len(next) == 0 && len(authorities) == 0 && isWeak(c) {
			return Diagnosis{Cause: WeakSignature, Certificate: c} // its issuer may be one of the system's
		}
		if len(next) == 0 {
			return Diagnosis{Cause: IssuerUnknown, Certificate: c}
		}
		switch cause, ok := linkCause(c, next[0], false, now); {
		case ok:
		case cause == Expired, cause == NotYetValid, cause == NotAnAuthority, cause == ShortKey:
			return Diagnosis{Cause: cause, Certificate: next[0]}
		default:
			return Diagnosis{Cause: cause, Certificate: c}
		}
		c = next[0]
		rest = slices.DeleteFunc(rest, func(r *x509.Certificate) bool { return r.Equal(c) })
	}
	return Diagnosis{Cause: IssuerUnknown, Certificate: c}
}

// named returns the certificates that have the name of c's issuer.
func named(all []*x509.Certificate, c *x509.Certificate) (issuers []*x509.Certificate) {
	for _, a := range all {
		if a != nil && string(a.RawSubject) == string(c.RawIssuer) {
			issuers = append(issuers, a)
		}
	}
	return issuers
}

// linkCause returns why issuer is not accepted as the issuer of c; ok is true if it is accepted.
func linkCause(c, issuer *x509.Certificate, authority bool, now time.Time) (cause Cause, ok bool) {
	err := c.CheckSignatureFrom(issuer)
	_, insecure := errors.AsType[x509.InsecureAlgorithmError](err)
	_, constraint := errors.AsType[x509.ConstraintViolationError](err)
	switch {
	case insecure:
		// crypto/x509 does not check the key, so whether it matches is unknown.
		return WeakSignature, false
	case constraint:
		return NotAnAuthority, false
	case err != nil && hasShortKey(issuer):
		return ShortKey, false
	case err != nil && authority:
		return AuthorityOtherKey, false
	case err != nil:
		return IssuerUnknown, false // the certificate that was sent with it is not its issuer
	case now.Before(issuer.NotBefore), now.After(issuer.NotAfter):
		return timeCause(issuer, authority, now), false
	case authority && issuer.BasicConstraintsValid && !issuer.IsCA:
		return NotAnAuthority, false
	}
	return Other, true
}

// isWeak reports whether a certificate's signature uses a hash that is broken.
func isWeak(c *x509.Certificate) bool {
	switch c.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return true
	}
	return false
}

// hasShortKey reports whether a certificate has an RSA key that crypto/rsa does not use.
func hasShortKey(c *x509.Certificate) bool {
	key, ok := c.PublicKey.(*rsa.PublicKey)
	return ok && key.N.BitLen() < 1024
}
