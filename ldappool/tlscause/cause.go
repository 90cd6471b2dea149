// Package tlscause finds out why a client's TLS handshake failed: which alert the server sent, what
// is wrong with its certificate, and which of the client's authorities is concerned. Much of this
// crypto/tls reports only as text.
package tlscause

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
)

// Cause is why a handshake failed.
type Cause uint8

// The causes.
const (
	Other Cause = iota // none of those below

	// Reported by the server.
	ServerAlert              // it ended the handshake with an alert
	ClientCertificateMissing // it demands a certificate of the client, which sent none
	ClientCertificateRefused // it refused the certificate that the client sent

	// Data that the client could not read or use.
	NotTLS                // the server did not answer with TLS
	OldVersion            // the server chose a version of TLS that the client does not speak
	NegativeSerial        // the certificate has a negative serial number
	UnreadableCertificate // the certificate cannot be parsed
	LongKey               // the certificate's RSA key is longer than crypto/tls accepts
	ShortKey              // a certificate's RSA key is shorter than crypto/rsa accepts

	// What is wrong with a certificate.
	OtherName           // it is not for the host
	CommonNameOnly      // it names a host in its common name alone
	AddressInDNSName    // the host is an address, and the certificate has it as a DNS name
	Expired             //
	NotYetValid         //
	OtherUsage          // it is not for servers
	CriticalExtension   // it has an extension that must be understood and is not
	NameConstraint      // its authority may not issue certificates for the host, or the path is too long
	SelfSigned          // it is self-signed, and is not one of the client's authorities
	IssuerUnknown       // its issuer was not sent and is not one of the client's authorities
	TopUnknown          // the chain that was sent ends at an authority that is not one of the client's
	WeakSignature       // it is signed with an algorithm that is broken: SHA-1 or MD5
	AuthorityOtherKey   // the client's authority of that name has another key
	NotAnAuthority      // the client's authority of that name is no authority: basicConstraints or keyUsage
	AuthorityExpired    //
	AuthorityNotYet     // the client's authority is not valid yet
	AuthorityOtherwise  // the client's authority of that name is not accepted for another reason
	NoSystemAuthorities // the system's authorities cannot be read
)

// Diagnosis is why a handshake failed.
type Diagnosis struct {
	Cause Cause
	// Alert is the server's alert; 0 if it sent none (0 is close_notify, which does not end a
	// handshake).
	Alert tls.AlertError
	// Certificate is the certificate at fault; nil if there is none or it is not known.
	Certificate *x509.Certificate
	// Authority is the number of the client's authority that is concerned, from 1; 0 if there is
	// none.
	Authority int
	// Host is the expected name of the certificate.
	Host string
}

// Seen is what a client recorded of a handshake in addition to its error.
type Seen struct {
	CertificateRequested bool // the server asked for the client's certificate
	CertificateSent      bool // the client sent one
	// Authorities are those of the client's RootCAs, in the order in which they are numbered, with
	// nil for one that cannot be used; none if they are not known.
	Authorities []*x509.Certificate
}

// String describes the cause. Its text has nothing that the server sent except the alert. It is
// empty with Other.
func (d Diagnosis) String() string {
	const verify = "failed to verify certificate: x509: "
	authority := fmt.Sprintf("%scertificate signed by unknown authority: authority %d of the client's has its name", verify, d.Authority)
	switch d.Cause {
	case ServerAlert:
		return "the server aborted the handshake: " + d.alert() + hint(d.Alert)
	case ClientCertificateMissing:
		if d.Alert == 0 {
			return "the server requested a client certificate, got none, and closed the connection"
		}
		return "the server demands a client certificate, but none was sent: " + d.alert()
	case ClientCertificateRefused:
		return "the server refused the client certificate: " + d.alert()
	case NotTLS:
		return "first record does not look like a TLS handshake"
	case OldVersion:
		return "the server supports only TLS versions that are not allowed here"
	case NegativeSerial:
		return "the server's certificate cannot be read: it has a negative serial number"
	case UnreadableCertificate:
		return "the server's certificate cannot be read"
	case LongKey:
		return "the RSA key of the server's certificate is too long"
	case ShortKey:
		return "an RSA key of the server's certificates is too short"
	case OtherName:
		return verify + "certificate is not valid for " + d.Host
	case CommonNameOnly:
		return verify + "certificate is not valid for " + d.Host + ": it has only a common name, which is not accepted"
	case AddressInDNSName:
		return verify + "certificate is not valid for " + d.Host + ": it has the address as a DNS name, which is not accepted"
	case Expired:
		return verify + "certificate has expired"
	case NotYetValid:
		return verify + "certificate is not yet valid"
	case OtherUsage:
		return verify + "certificate specifies an incompatible key usage"
	case CriticalExtension:
		return verify + "certificate has an unknown critical extension"
	case NameConstraint:
		return verify + "certificate was issued by an authority that may not issue it"
	case SelfSigned:
		return verify + "certificate signed by unknown authority: it is self-signed"
	case IssuerUnknown:
		return verify + "certificate signed by unknown authority: its issuer was not sent and is unknown"
	case TopUnknown:
		return verify + "certificate signed by unknown authority"
	case WeakSignature:
		return verify + "certificate signed by unknown authority: the signature uses a broken algorithm (SHA-1 or MD5)"
	case AuthorityOtherKey:
		return authority + " but another key"
	case NotAnAuthority:
		if d.Authority == 0 {
			return verify + "certificate signed by unknown authority: its issuer is not an authority (basicConstraints, keyUsage)"
		}
		return authority + " but is not an authority (basicConstraints, keyUsage)"
	case AuthorityExpired:
		return authority + " but has expired"
	case AuthorityNotYet:
		return authority + " but is not yet valid"
	case AuthorityOtherwise:
		return authority + " but is not accepted"
	case NoSystemAuthorities:
		return verify + "the system's authorities cannot be read"
	}
	return ""
}

// alert is the server's alert, with its number: RFC 8446 section 6.
func (d Diagnosis) alert() string {
	return fmt.Sprintf("alert %d (%s)", uint8(d.Alert), strings.TrimPrefix(d.Alert.Error(), "tls: "))
}

// Alerts that say why by their number (RFC 8446 section 6.2).
const (
	handshakeFailure     = 40
	badCertificate       = 42
	certificateUnknown   = 46
	unknownCA            = 48
	accessDenied         = 49
	protocolVersion      = 70
	insufficientSecurity = 71
	certificateRequired  = 116
)

// hint is what an alert usually means.
func hint(a tls.AlertError) string {
	switch a {
	case handshakeFailure, insufficientSecurity:
		return ": it accepts no offered cipher suite, for example because it supports only RSA key exchange"
	case protocolVersion:
		return ": it supports no TLS version that is allowed here"
	}
	return ""
}
