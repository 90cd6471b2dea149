package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"time"
)

// expiresSoon is the remaining validity below which a certificate is a warning.
const expiresSoon = 14 * 24 * time.Hour

// judgeHandshake reports on a TLS handshake.
func (d *doctor) judgeHandshake(ctx context.Context, server, at string, step dialStep) finding {
	if step.err == nil {
		return d.describeTLS(*step.tls)
	}
	return d.failedTLS(ctx, server, at, step.err)
}

// describeTLS reports on a handshake that succeeded.
func (d *doctor) describeTLS(state tls.ConnectionState) finding {
	leaf := state.PeerCertificates[0]
	first := firstToExpire(state)
	left := time.Until(first.NotAfter)
	f := pass("%s, %s; certificate for %s, %s left", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), names(leaf), days(time.Until(leaf.NotAfter)))
	if first != leaf {
		f.Finding += fmt.Sprintf(", but only %s left for that of %s, which signed it", days(left), first.Subject)
	}
	switch {
	case d.Pool.TLS != nil && d.Pool.TLS.InsecureSkipVerify:
		f.Mark, f.Finding = Warn, f.Finding+"; it was not verified: an attacker on the network can read all passwords"
		f.Remedy = "set LDAP_TLS_INSECURE_SKIP_VERIFY=false, and LDAP_CA_FILE to a PEM file with the authority that issued it"
	case left < expiresSoon:
		f.Mark, f.Remedy = Warn, "renew the certificate of "+first.Subject.String()+" before "+date(first.NotAfter)
	}
	f.Details = describe(state.PeerCertificates)
	return f
}

// firstToExpire returns the certificate of the verified chain that expires first; without
// verification, the server's own.
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

func (d *doctor) authorities() string {
	if d.Pool.TLS != nil && d.Pool.TLS.RootCAs != nil {
		return "the authorities of LDAP_CA_FILE"
	}
	return "the authorities of this system (LDAP_CA_FILE is not set)"
}

// expectedName returns the name that the certificate must have.
func (d *doctor) expectedName(server string) string {
	if d.Pool.TLS != nil && d.Pool.TLS.ServerName != "" {
		return d.Pool.TLS.ServerName + " (LDAP_TLS_SERVER_NAME)"
	}
	host, _, _ := hostPort(server)
	return host
}

// describe lists the certificates that the server presented.
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

// names returns the host names and addresses of a certificate.
func names(c *x509.Certificate) string {
	all := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, net.IP.String(ip))
	}
	if len(all) == 0 {
		return fmt.Sprintf("no host (its common name %q is not accepted)", c.Subject.CommonName)
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
