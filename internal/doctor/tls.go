package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"authsvc/ldappool"
)

// expiresSoon is when a certificate that is still good is warned of.
const expiresSoon = 14 * 24 * time.Hour

// secured judges a TLS handshake.
func (d *doctor) secured(ctx context.Context, server, at string, step ldappool.DialStep) finding {
	if step.Err == nil {
		return d.agreed(*step.TLS)
	}
	var refused *tls.CertificateVerificationError
	if errors.As(step.Err, &refused) && len(refused.UnverifiedCertificates) > 0 {
		f := d.mistrust(refused)
		f.Details = append(describe(refused.UnverifiedCertificates), "expected: a certificate for "+d.expectedName(server)+" by "+d.authorities())
		return f
	}
	var noTLS tls.RecordHeaderError
	var alert tls.AlertError
	switch {
	case errors.As(step.Err, &alert):
		return ill("with \"certificate required\" or \"bad certificate\": LDAP_CERT_FILE and LDAP_KEY_FILE; with \"protocol version\": LDAP_TLS_MIN_VERSION=1.2",
			"the server ends the handshake: %v", step.Err)
	case errors.As(step.Err, &noTLS) && strings.HasPrefix(string(noTLS.RecordHeader[:]), "HTTP"), speaks(ctx, at, false) == "http":
		return ill("correct the port in LDAP_URL: 389 is usual for ldap://, 636 for ldaps://", "an HTTP server is at %s, and no directory", at)
	case isTimeout(step.Err):
		return ill("look at the directory's load; a firewall may let connections begin and drop what follows", "%s takes the connection and does not answer within %v", at, d.dialTimeout())
	}
	return ill("write ldap:// in LDAP_URL, with LDAP_START_TLS=true, where the port speaks LDAP in the clear at first (389); ldaps:// is for a port that speaks TLS from the first byte (636)",
		"%s speaks no TLS: %v", at, step.Err)
}

// agreed says what a handshake that succeeded came to.
func (d *doctor) agreed(state tls.ConnectionState) finding {
	leaf := state.PeerCertificates[0]
	first := firstToExpire(state)
	left := time.Until(first.NotAfter)
	f := well("%s, %s; certificate for %s, %s left", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), names(leaf), days(time.Until(leaf.NotAfter)))
	if first != leaf {
		f.Finding += fmt.Sprintf(", but %s left to that of %s, by which it is signed", days(left), first.Subject)
	}
	switch {
	case d.Pool.TLS != nil && d.Pool.TLS.InsecureSkipVerify:
		f.Mark, f.Finding = Warn, f.Finding+"; it was not verified: anybody between can read everybody's passwords"
		f.Remedy = "LDAP_TLS_INSECURE_SKIP_VERIFY=false, and LDAP_CA_FILE with the authority that issued it"
	case left < expiresSoon:
		f.Mark, f.Remedy = Warn, "have the certificate of "+first.Subject.String()+" renewed before "+date(first.NotAfter)
	}
	f.Details = describe(state.PeerCertificates)
	return f
}

// firstToExpire is the certificate of the verified chain that ends it; where none was verified, the server's own.
func firstToExpire(state tls.ConnectionState) *x509.Certificate {
	first := state.PeerCertificates[0]
	for _, chain := range state.VerifiedChains[:min(len(state.VerifiedChains), 1)] {
		for _, c := range chain {
			if c.NotAfter.Before(first.NotAfter) {
				first = c
			}
		}
	}
	return first
}

// mistrust says why a certificate was not taken.
func (d *doctor) mistrust(refused *tls.CertificateVerificationError) finding {
	leaf := refused.UnverifiedCertificates[0]
	var name x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(refused.Err, &name):
		return ill("name the server in LDAP_URL as its certificate does, or set LDAP_TLS_SERVER_NAME to one of its names if you know that it is yours, or give the server a certificate for "+name.Host,
			"the certificate is for %s and not for %s", names(leaf), name.Host)
	case errors.As(refused.Err, &invalid) && invalid.Reason == x509.Expired:
		c := invalid.Cert
		if time.Now().Before(c.NotBefore) {
			return ill("see to this machine's clock, which has "+time.Now().UTC().Format(time.RFC3339), "the certificate of %s is not valid before %s", c.Subject, date(c.NotBefore))
		}
		return ill("renew it at the directory; if it is not so old, see to this machine's clock, which has "+time.Now().UTC().Format(time.RFC3339),
			"the certificate of %s expired on %s, %s ago", c.Subject, date(c.NotAfter), days(time.Since(c.NotAfter)))
	case errors.As(refused.Err, &unknown):
		return ill("set LDAP_CA_FILE to a PEM file with the certificate of that authority, got from whoever runs the directory; or have the server send its intermediate certificates too",
			"the certificate is by %q, which is none of %s", leaf.Issuer, d.authorities())
	}
	return ill("give the directory another certificate, or see to LDAP_CA_FILE", "the certificate was not taken: %v", refused.Err)
}

func (d *doctor) authorities() string {
	if d.Pool.TLS != nil && d.Pool.TLS.RootCAs != nil {
		return "the authorities of LDAP_CA_FILE"
	}
	return "the authorities of this system (LDAP_CA_FILE is not set)"
}

// expectedName is the name that the certificate must have.
func (d *doctor) expectedName(server string) string {
	if d.Pool.TLS != nil && d.Pool.TLS.ServerName != "" {
		return d.Pool.TLS.ServerName + " (LDAP_TLS_SERVER_NAME)"
	}
	host, _, _ := hostPort(server)
	return host
}

// describe tells of the certificates that the server presented.
func describe(chain []*x509.Certificate) (lines []string) {
	for _, c := range chain {
		line := fmt.Sprintf("presented: %q by %q, valid %s to %s", c.Subject, c.Issuer, date(c.NotBefore), date(c.NotAfter))
		if !c.IsCA {
			line += ", for " + names(c)
		}
		lines = append(lines, line)
	}
	return lines
}

// names are those that a certificate is for.
func names(c *x509.Certificate) string {
	all := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, net.IP.String(ip))
	}
	if len(all) == 0 {
		return fmt.Sprintf("no host (its common name %q does not count)", c.Subject.CommonName)
	}
	return strings.Join(all, ", ")
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

func days(d time.Duration) string {
	if d < 48*time.Hour {
		return fmt.Sprintf("%.0f hours", d.Hours())
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
