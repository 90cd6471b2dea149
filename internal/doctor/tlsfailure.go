package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"authsvc/ldappool/ldapconn"
	"authsvc/ldappool/ldapurl"
	"authsvc/ldappool/tlscause"
)

// failedTLS reports why TLS failed, in the handshake or after it, where alerts of TLS 1.3 may come.
func (d *doctor) failedTLS(ctx context.Context, server, at string, err error) finding {
	cause, _ := ldapconn.DiagnoseTLS(err)
	if refused, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(refused.UnverifiedCertificates) > 0 {
		f := d.explainCertificate(cause, refused)
		f.Details = append(describe(refused.UnverifiedCertificates), f.Details...)
		f.Details = append(f.Details, "expected: a certificate for "+d.expectedName(server)+" by "+d.authorities())
		return f
	}
	switch cause.Cause {
	case tlscause.ClientCertificateMissing, tlscause.ClientCertificateRefused:
		return d.explainClientCertificate(cause, d.tryTLS(ctx, server, at))
	case tlscause.ServerAlert, tlscause.OldVersion:
		return d.explainAlert(server, cause, d.tryTLS(ctx, server, at))
	case tlscause.NotTLS:
		return notTLS(ctx, at, err)
	case tlscause.Other:
		return d.explainLostHandshake(ctx, server, at, err)
	}
	return explainUnreadable(cause.Cause, err)
}

// explainUnreadable reports what is wrong with a certificate that cannot be read or used at all.
func explainUnreadable(cause tlscause.Cause, err error) finding {
	const environment = "in the service's environment"
	switch cause {
	case tlscause.NegativeSerial:
		return fail("install a certificate with a positive serial number in the directory; until then GODEBUG=x509negativeserial=1 "+environment+" accepts such certificates, "+
			"from all servers and callers",
			"a certificate that the server sends has a negative serial number, which RFC 5280 forbids")
	case tlscause.LongKey:
		return fail("install a certificate with an RSA key of 2048 to 4096 bits, or with an ECDSA key, in the directory; until then GODEBUG=tlsmaxrsasize=16384 "+environment+
			" accepts longer keys. The cost: each connection takes more processor time, and a hostile server can make it take long",
			"the certificate's RSA key has more than 8192 bits")
	case tlscause.ShortKey:
		return fail(shortKeyRemedy, "a certificate that the server sends has an RSA key of fewer than 1024 bits")
	}
	return fail("install another certificate in the directory", "a certificate that the server sends cannot be read: %v", err)
}

const shortKeyRemedy = "install a certificate with an RSA key of 2048 bits or more, or with an ECDSA key, in the directory; until then GODEBUG=rsa1024min=0 in the service's " +
	"environment accepts shorter keys. " +
	"The cost: an attacker who breaks the key, which takes days, can impersonate the directory and read every password"

// explainClientCertificate reports that the server requires a client certificate, or rejects the
// one sent.
func (d *doctor) explainClientCertificate(cause tlscause.Diagnosis, h handshake) (f finding) {
	said := alertText(cause.Alert)
	configured := d.Pool.TLS != nil && len(d.Pool.TLS.Certificates) > 0
	switch {
	case cause.Cause == tlscause.ClientCertificateRefused:
		f = fail("read the directory's log; renew the certificate in LDAP_CERT_FILE if it has expired, or make the directory trust its authority (OpenLDAP: "+
			"TLSCACertificateFile)",
			"the server rejects the client certificate in LDAP_CERT_FILE: %s", said)
	case configured:
		f = fail("set LDAP_CERT_FILE and LDAP_KEY_FILE to a certificate from an authority that the directory accepts for clients, with its intermediate "+
			"certificates",
			"the server demands a client certificate, and the one in LDAP_CERT_FILE is from none of the authorities that it accepts: %s", said)
	default:
		f = fail("set LDAP_CERT_FILE and LDAP_KEY_FILE to a certificate that the directory accepts for clients; or configure the directory to demand none (OpenLDAP: "+
			"TLSVerifyClient never or try)",
			"the server demands a client certificate, and LDAP_CERT_FILE is not set: %s", said)
	}
	for _, name := range h.authorities {
		f.Details = append(f.Details, fmt.Sprintf("it accepts certificates from %q", name))
	}
	return f
}

// Alerts with a specific cause (RFC 8446 section 6.2).
const (
	alertInternalError    = 80
	alertUnrecognizedName = 112
)

// alertText formats an alert with its number.
func alertText(a tls.AlertError) string {
	if a == 0 {
		return "it closed the connection without an alert"
	}
	return fmt.Sprintf("alert %d (%s)", uint8(a), strings.TrimPrefix(a.Error(), "tls: "))
}

// explainAlert reports what the server accepts instead of what it was offered.
func (d *doctor) explainAlert(server string, cause tlscause.Diagnosis, h handshake) finding {
	said := alertText(cause.Alert)
	switch {
	case cause.Alert == alertUnrecognizedName:
		return fail("use the server's own name in LDAP_URL, or set LDAP_TLS_SERVER_NAME to that name", "the server has no certificate for %s: %s",
			d.expectedName(server), said)
	case cause.Alert == alertInternalError:
		return fail("read the directory's log: it may have no certificate for this name, or no access to its key", "the server reports an internal error in the handshake: %s", said)
	case h.ok && h.version < d.oldestVersion():
		f := fail("configure the directory for TLS 1.2 or newer; no setting of authsvc permits older versions, which are insecure (RFC 8996)",
			"the server speaks at most %s, and authsvc requires %s or newer: %s", tls.VersionName(h.version), tls.VersionName(d.oldestVersion()), said)
		if h.version >= tls.VersionTLS12 {
			f.Remedy = "set LDAP_TLS_MIN_VERSION=1.2, or configure the directory for TLS 1.3"
		}
		return f
	case h.ok && !isOffered(h.suite):
		return oldSuite(h.suite, said)
	case h.ok:
		return fail("read the directory's log", "the server aborted the handshake, but accepted a second one with %s, %s: %s",
			tls.VersionName(h.version), tls.CipherSuiteName(h.suite), said)
	}
	return fail("read the directory's log; configure it for TLS 1.2 or newer with ECDHE cipher suites (AES-GCM or ChaCha20), and a certificate and key that "+
		"fit them: it may offer only DHE suites, which Go does not support, or only SHA-1 signatures, which GODEBUG=tlssha1=1 in the service's "+
		"environment permits although SHA-1 is insecure",
		"the server aborts the handshake even if every version and cipher suite is offered: %s", said)
}

// oldSuite reports a server that only offers a disabled cipher suite.
func oldSuite(suite uint16, said string) finding {
	setting, offers, cost := debugSetting(suite)
	remedy := "configure the directory for ECDHE cipher suites with AES-GCM (OpenLDAP: TLSCipherSuite)"
	if setting != "" {
		remedy += "; until then GODEBUG=" + setting + " in the service's environment permits it. The cost: " + cost
	} else {
		remedy += "; no setting of authsvc permits it"
	}
	return fail(remedy, "the server offers %s, such as %s, which authsvc does not use: %s", offers, tls.CipherSuiteName(suite), said)
}

// notTLS reports the protocol of a server that does not answer with TLS.
func notTLS(ctx context.Context, at string, err error) finding {
	if detectProtocol(ctx, at, false) == "http" {
		return httpServer(at)
	}
	if answersLDAP(ctx, at) {
		return explainPlaintext(at, err)
	}
	return fail("correct the port in LDAP_URL: ldaps:// needs a port that expects TLS from the first byte (usually 636)", "%s does not speak TLS: %v",
		at, err)
}

func httpServer(at string) finding {
	return fail("correct the port in LDAP_URL: usually 389 for ldap://, 636 for ldaps://", "%s is an HTTP server, not an LDAP directory", at)
}

func explainPlaintext(at string, err error) finding {
	return fail("use ldap:// in LDAP_URL and set LDAP_START_TLS=true, or use the directory's TLS port (usually 636): ldaps:// needs a port that "+
		"expects TLS from the first byte",
		"%s speaks LDAP without TLS: %v", at, err)
}

// explainLostHandshake reports why a server may have ended the connection in the handshake, or not
// answered.
func (d *doctor) explainLostHandshake(ctx context.Context, server, at string, err error) finding {
	switch {
	case detectProtocol(ctx, at, false) == "http":
		return httpServer(at)
	case isTimeout(err):
		return fail("check the directory's load, and the firewalls: one may accept connections and drop the data",
			"%s accepts the connection and does not answer within %v", at, d.dialTimeout())
	case ldapurl.SchemeOf(server) == ldapurl.LDAPS && answersLDAP(ctx, at):
		return explainPlaintext(at, err)
	}
	if h := d.tryTLS(ctx, server, at); h.ok {
		return d.explainAlert(server, tlscause.Diagnosis{Cause: tlscause.ServerAlert}, h)
	}
	return fail("read the directory's log, and check that it has a certificate and a key that it can read; ldaps:// needs a port that expects TLS from the first "+
		"byte (usually 636)",
		"%s closes the connection when TLS begins, without an alert: %v", at, err)
}
