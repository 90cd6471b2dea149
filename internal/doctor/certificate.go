package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"authsvc/ldappool/tlscause"
)

// explainCertificate reports why a certificate was rejected.
func (d *doctor) explainCertificate(cause tlscause.Diagnosis, refused *tls.CertificateVerificationError) finding {
	leaf, c := refused.UnverifiedCertificates[0], cause.Certificate
	now := "this machine's clock, which reads " + time.Now().UTC().Format(time.RFC3339)
	switch cause.Cause {
	case tlscause.OtherName, tlscause.CommonNameOnly, tlscause.AddressInDNSName:
		return otherName(cause, leaf)
	case tlscause.NotYetValid:
		return fail("check "+now, "the certificate of %s is not valid before %s", c.Subject, date(c.NotBefore))
	case tlscause.Expired:
		return fail("renew the directory's certificate; if it should still be valid, check "+now,
			"the certificate of %s expired on %s, %s ago", c.Subject, date(c.NotAfter), days(time.Since(c.NotAfter)))
	case tlscause.OtherUsage:
		return fail("install a certificate for servers in the directory (extendedKeyUsage serverAuth)",
			"the certificate of %s is not for servers: its extendedKeyUsage does not have serverAuth", c.Subject)
	case tlscause.CriticalExtension:
		return fail("install a certificate without that extension in the directory", "the certificate of %s has a critical extension that authsvc does not know, so it must not be "+
			"used (RFC 5280 section 4.2)", c.Subject)
	case tlscause.NameConstraint:
		return fail("install a certificate in the directory from an authority that may issue it",
			"the certificate is not accepted: an authority of its chain may not issue it: %v", refused.Err)
	case tlscause.NoSystemAuthorities:
		return fail("set LDAP_CA_FILE to a PEM file with the directory's authority, or install the system's authorities (package ca-certificates)",
			"this system has no trusted authorities: %v", refused.Err)
	case tlscause.SelfSigned, tlscause.IssuerUnknown, tlscause.TopUnknown:
		f := d.unknownAuthority(cause)
		if len(d.Pool.Authorities) == 0 { // the system's authorities cannot be listed, and this may have a hint
			f.Details = append(f.Details, "crypto/x509 reports: "+refused.Err.Error())
		}
		return f
	case tlscause.WeakSignature:
		return d.weakSignature(cause)
	case tlscause.ShortKey:
		return fail(shortKeyRemedy, "the certificate of %s is signed with an RSA key of fewer than 1024 bits", c.Subject)
	case tlscause.AuthorityOtherKey, tlscause.NotAnAuthority, tlscause.AuthorityExpired, tlscause.AuthorityNotYet:
		return d.badAuthority(cause, now)
	}
	return fail("install another certificate in the directory, or correct LDAP_CA_FILE", "the certificate is not accepted: %v", refused.Err)
}

// otherName reports why a certificate is not for the host.
func otherName(cause tlscause.Diagnosis, leaf *x509.Certificate) finding {
	switch cause.Cause {
	case tlscause.CommonNameOnly:
		return fail(fmt.Sprintf("install a certificate with a subjectAltName for %s on the server; no setting of authsvc accepts a common name, not even LDAP_TLS_SERVER_NAME",
			altName(cause.Host)),
			"the certificate names no host: it has only a common name (%q), which is not accepted (RFC 9525)", leaf.Subject.CommonName)
	case tlscause.AddressInDNSName:
		f := fail("install a certificate with the subjectAltName "+altName(cause.Host)+" on the server",
			"the certificate has %s as a DNS name; an address is accepted only as an IP address entry (RFC 5280 section 4.2.1.6)", cause.Host)
		hosts := slices.DeleteFunc(slices.Clone(leaf.DNSNames), func(n string) bool { return net.ParseIP(n) != nil })
		if len(hosts) > 0 {
			f.Remedy += "; or use a name of its certificate in LDAP_URL or LDAP_TLS_SERVER_NAME: " + strings.Join(hosts, ", ")
		}
		return f
	}
	return fail("use a name of the certificate in LDAP_URL; or set LDAP_TLS_SERVER_NAME to one of its names if you are sure that the server is yours; or install "+
		"a certificate for "+cause.Host+" on the server",
		"the certificate is for %s, not for %s", names(leaf), cause.Host)
}

// altName formats a subjectAltName as OpenSSL does.
func altName(host string) string {
	if net.ParseIP(host) != nil {
		return "IP:" + host
	}
	return "DNS:" + host
}

// unknownAuthority reports a certificate without a chain to a trusted authority.
func (d *doctor) unknownAuthority(cause tlscause.Diagnosis) (f finding) {
	c := cause.Certificate
	const fetch = "set LDAP_CA_FILE to a PEM file with the certificate of that authority, obtained from the directory's administrator"
	switch cause.Cause {
	case tlscause.SelfSigned:
		return fail("put this certificate itself into LDAP_CA_FILE, obtained from the directory's administrator and not over the network: then only this certificate is trusted; "+
			"or install a certificate from an authority on the server",
			"the certificate of %s is self-signed and not among %s", c.Subject, d.authorities())
	case tlscause.TopUnknown:
		f = fail(fetch+"; or configure the server to send its intermediate certificates too", "the certificate was issued by %q, which is not among %s", c.Subject,
			d.authorities())
	default:
		f = fail(fetch+"; or, if it is an intermediate authority, configure the server to send its certificate too",
			"the certificate was issued by %q, which is not among %s, and the server does not send that authority's certificate", c.Issuer, d.authorities())
	}
	for _, url := range c.IssuingCertificateURL {
		f.Details = append(f.Details, "according to the certificate, its issuer's certificate is at "+url)
	}
	for i, a := range d.Pool.Authorities {
		if a == nil {
			f.Details = append(f.Details, fmt.Sprintf("certificate %d of LDAP_CA_FILE cannot be used and may be the missing one: see the warnings of the "+
				"configuration", i+1))
		}
	}
	return f
}

// weakSignature reports a certificate that is signed with a broken hash.
func (d *doctor) weakSignature(cause tlscause.Diagnosis) finding {
	c := cause.Certificate
	by := ""
	if cause.Authority > 0 {
		by = fmt.Sprintf(", though its authority is certificate %d of LDAP_CA_FILE", cause.Authority)
	}
	return fail("have the authority reissue it with SHA-256; no GODEBUG setting accepts SHA-1 since Go 1.24. Until then put the certificate of "+c.Subject.String()+
		" itself into LDAP_CA_FILE: then its signature is not checked. The cost: the file must be updated whenever the certificate is renewed",
		"the certificate of %s is signed with %s, which is broken and not accepted%s", c.Subject, c.SignatureAlgorithm, by)
}

// badAuthority reports what is wrong with an authority that has the right name.
func (d *doctor) badAuthority(cause tlscause.Diagnosis, now string) (f finding) {
	c := cause.Certificate
	a, which := c, "the certificate of "+c.Subject.String()+", which signed the server's certificate,"
	if n := cause.Authority; n > 0 && n <= len(d.Pool.Authorities) {
		a = d.Pool.Authorities[n-1]
		which = fmt.Sprintf("certificate %d of LDAP_CA_FILE (%s)", n, a.Subject)
	}
	const current = "put the authority's current certificate into LDAP_CA_FILE, obtained from the directory's administrator"
	switch cause.Cause {
	case tlscause.AuthorityExpired:
		f = fail(current+"; if it should still be valid, check "+now, "%s expired on %s, %s ago", which, date(a.NotAfter), days(time.Since(a.NotAfter)))
	case tlscause.AuthorityNotYet:
		f = fail("check "+now, "%s is not valid before %s", which, date(a.NotBefore))
	case tlscause.AuthorityOtherKey:
		f = fail(current+": its key differs from this one's", "%s has the name of the authority that signed the certificate, but another key: the authority "+
			"renewed its key, or another authority has the same name", which)
		if len(c.AuthorityKeyId) > 0 && len(a.SubjectKeyId) > 0 {
			f.Details = append(f.Details, fmt.Sprintf("the certificate was signed by the key %x, and certificate %d of LDAP_CA_FILE has the key %x",
				c.AuthorityKeyId, cause.Authority, a.SubjectKeyId))
		}
	default:
		lacks := "it has no basicConstraints with CA:TRUE"
		if a.BasicConstraintsValid && a.IsCA {
			lacks = "its keyUsage does not have keyCertSign"
		}
		f = fail("reissue the authority's certificate for the same key, with basicConstraints=critical,CA:TRUE and keyUsage keyCertSign: certificates that it signed "+
			"stay valid; "+
			"or put the directory's own certificate into LDAP_CA_FILE: then only that certificate is trusted",
			"%s is not a certificate authority: %s", which, lacks)
	}
	return f
}
