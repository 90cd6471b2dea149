package doctor

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"authsvc/internal/redact"
	"authsvc/ldappool"
	"authsvc/ldappool/ldapurl"
	"authsvc/ldappool/tlscause"

	"github.com/go-ldap/ldap/v3"
)

// externalMechanism is the mechanism's name in the root DSE (RFC 4422 appendix A).
const externalMechanism = "EXTERNAL"

// mapIdentity begins the remedy where the directory takes the service for another identity.
const mapIdentity = "map it to the service's entry in the directory (OpenLDAP: authz-regexp; 389 DS: certmap.conf; see docs/directories.md)"

// external reports whether the service identity binds by SASL EXTERNAL.
func (d *doctor) external() bool { return d.Pool.BindMethod == ldappool.BindExternal }

// identity names the service identity at a server.
func (d *doctor) identity(server string) string {
	switch {
	case !d.external():
		return d.Pool.BindDN
	case ldapurl.SchemeOf(server) == ldapurl.LDAPI:
		return fmt.Sprintf("this process (user %d, group %d)", os.Geteuid(), os.Getegid())
	}
	if leaf := d.clientCertificate(); leaf != nil {
		return fmt.Sprintf("the client certificate %q", leaf.Subject)
	}
	return "the client certificate"
}

// clientCertificate returns the certificate of LDAP_CERT_FILE, or nil.
func (d *doctor) clientCertificate() *x509.Certificate {
	if d.Pool.TLS == nil || len(d.Pool.TLS.Certificates) == 0 {
		return nil
	}
	return d.Pool.TLS.Certificates[0].Leaf
}

// acceptedExternal reports on a bind by EXTERNAL that succeeded. The directory does not say which
// entry it took the service for.
func (d *doctor) acceptedExternal(server string) finding {
	f := pass("the directory accepts SASL EXTERNAL of %s", d.identity(server))
	if d.Pool.BindDN != "" {
		f.Finding += " as " + d.Pool.BindDN
	} else {
		f.Details = []string{"set LDAP_BIND_DN to the DN of the service's entry: then OpenLDAP refuses a certificate that is not mapped to it"}
	}
	if ldapurl.SchemeOf(server) == ldapurl.LDAPI {
		f.Details = append(f.Details, "the directory derives the identity from the user that runs this check: run it as the user of the service")
		return f
	}
	leaf := d.clientCertificate()
	if leaf == nil {
		return f
	}
	if left := time.Until(leaf.NotAfter); left < expiresSoon {
		f.Mark, f.Remedy = Warn, "renew the certificate in LDAP_CERT_FILE before "+date(leaf.NotAfter)+": without it no login works"
		f.Finding += ", which has " + days(left) + " left"
	}
	return f
}

// refusedExternal explains why a server refused EXTERNAL: by what happened in the handshake, or
// else by the result code.
func (d *doctor) refusedExternal(ctx context.Context, server, at string, a attempt, r ldappool.Result) finding {
	said := result(r.Code)
	if shown := redact.Diagnostic(r.Diagnostic, ""); shown != "" {
		said += ": " + shown
	}
	mechanisms := d.mechanisms(ctx, server, addrOf(server, at))
	f := d.externalRemedy(server, a, r.Code, mechanisms)
	f.Finding += fmt.Sprintf(" (result code %d)", r.Code)
	f.Details = []string{"the directory's answer: " + said, "SASL mechanisms that the server lists: " + list(mechanisms)}
	return f
}

func (d *doctor) externalRemedy(server string, a attempt, code uint16, mechanisms []string) finding {
	const askForOne = "configure the directory to request a client certificate (OpenLDAP: TLSVerifyClient try; 389 DS: nsSSLClientAuth: allowed)"
	who := d.identity(server)
	i := slices.IndexFunc(a.steps, func(s dialStep) bool { return s.name == "tls" })
	seen := tlscause.Seen{CertificateRequested: true, CertificateSent: true} // on a socket
	if i >= 0 {
		seen = a.steps[i].seen
	}
	switch {
	case code == ldap.LDAPResultBusy, code == ldap.LDAPResultUnavailable:
		return fail("wait and try again; check the directory's load", "the directory reports that it is busy or unavailable")
	case !seen.CertificateRequested:
		return fail(askForOne, "the directory refuses SASL EXTERNAL, because it does not request the client certificate")
	case !seen.CertificateSent:
		return fail("set LDAP_CERT_FILE and LDAP_KEY_FILE to a certificate from an authority that the directory accepts for clients, with its intermediate certificates; "+
			"or make the directory accept its authority (OpenLDAP: TLSCACertificateFile)",
			"%s is from none of the authorities that the directory accepts for clients, so it was not sent", who)
	case code == ldap.LDAPResultSaslBindInProgress:
		return fail("read the directory's log; if there is an LDAP proxy in between, name the directory itself in LDAP_URL",
			"the directory answers SASL EXTERNAL with a challenge, although the mechanism has one step")
	case code == ldap.LDAPResultAuthMethodNotSupported && !slices.ContainsFunc(mechanisms, isExternal):
		return fail("enable the mechanism in the directory, and trust the certificate's authority there; or use LDAP_BIND_METHOD=simple with LDAP_BIND_DN and its password",
			"the directory does not offer SASL EXTERNAL to %s: supportedSASLMechanisms of its root DSE lacks it", who)
	case code == ldap.LDAPResultAuthMethodNotSupported:
		return fail("read the directory's log; or use LDAP_BIND_METHOD=simple with LDAP_BIND_DN and its password", "the directory does not support SASL EXTERNAL of %s", who)
	case d.Pool.BindDN != "" && (code == ldap.LDAPResultInsufficientAccessRights || code == ldap.LDAPResultAuthorizationDenied):
		return fail(mapIdentity+", or correct LDAP_BIND_DN", "the directory does not take %s for %s (LDAP_BIND_DN)", who, d.Pool.BindDN)
	case code == ldap.LDAPResultInvalidCredentials:
		return fail(mapIdentity+"; make sure that the entry exists and is not disabled", "the directory has no entry for %s, or does not let that entry bind", who)
	case code == ldap.LDAPResultInappropriateAuthentication:
		return fail(askForOne+", and trust its authority; then "+mapIdentity, "the directory takes no identity from %s", who)
	case code == ldap.LDAPResultUnwillingToPerform:
		return fail("read the directory's log: the mechanism or the entry may be disabled", "the directory is unwilling to perform SASL EXTERNAL of %s", who)
	}
	return fail("read the directory's log", "the directory rejects SASL EXTERNAL of %s", who)
}

func isExternal(mechanism string) bool { return strings.EqualFold(mechanism, externalMechanism) }

// mechanisms returns the SASL mechanisms that a server lists in its root DSE for a client with this
// certificate: slapd lists EXTERNAL only to those that it can take an identity from.
func (d *doctor) mechanisms(ctx context.Context, server, addr string) []string {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	raw, err := d.open(ctx, server, addr, nil)
	if err != nil {
		return nil
	}
	defer raw.Close()
	req := ping()
	req.Attributes = []string{"supportedSASLMechanisms"}
	r, err := (&conn{Conn: raw, server: server, timeout: probeTimeout}).Search(ctx, req)
	if err != nil || len(r.Entries) != 1 {
		return nil
	}
	return r.Entries[0].GetEqualFoldAttributeValues(req.Attributes[0])
}
