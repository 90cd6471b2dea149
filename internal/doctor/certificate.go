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
	now := "this machine's clock, which has " + time.Now().UTC().Format(time.RFC3339)
	switch cause.Cause {
	case tlscause.OtherName, tlscause.CommonNameOnly, tlscause.AddressInDNSName:
		return otherName(cause, leaf)
	case tlscause.NotYetValid:
		return fail("see to "+now, "the certificate of %s is not valid before %s", c.Subject, date(c.NotBefore))
	case tlscause.Expired:
		return fail("renew it at the directory; if it is not so old, see to "+now,
			"the certificate of %s expired on %s, %s ago", c.Subject, date(c.NotAfter), days(time.Since(c.NotAfter)))
	case tlscause.OtherUsage:
		return fail("give the directory a certificate for servers (extendedKeyUsage serverAuth)",
			"the certificate of %s is not for servers: its extendedKeyUsage does not have serverAuth", c.Subject)
	case tlscause.CriticalExtension:
		return fail("give the directory a certificate without it", "the certificate of %s has a critical extension that is not known here, so it must not be "+
			"used (RFC 5280 section 4.2)", c.Subject)
	case tlscause.NameConstraint:
		return fail("give the directory a certificate by an authority that may issue one for it",
			"the certificate was not taken, because an authority of its chain may not issue it: %v", refused.Err)
	case tlscause.NoSystemAuthorities:
		return fail("set LDAP_CA_FILE to a PEM file with the directory's authority, or install the system's authorities (ca-certificates)",
			"there are no authorities on this system: %v", refused.Err)
	case tlscause.SelfSigned, tlscause.IssuerUnknown, tlscause.TopUnknown:
		f := d.unknownAuthority(cause)
		if len(d.Pool.Authorities) == 0 { // the system's authorities cannot be listed, and this may have a hint
			f.Details = append(f.Details, "in the words of crypto/x509: "+refused.Err.Error())
		}
		return f
	case tlscause.WeakSignature:
		return d.weakSignature(cause)
	case tlscause.ShortKey:
		return fail(shortKeyRemedy, "the certificate of %s is signed by an RSA key of fewer than 1024 bits", c.Subject)
	case tlscause.AuthorityOtherKey, tlscause.NotAnAuthority, tlscause.AuthorityExpired, tlscause.AuthorityNotYet:
		return d.badAuthority(cause, now)
	}
	return fail("give the directory another certificate, or see to LDAP_CA_FILE", "the certificate was not taken: %v", refused.Err)
}

// otherName reports why a certificate is not for the host.
func otherName(cause tlscause.Diagnosis, leaf *x509.Certificate) finding {
	switch cause.Cause {
	case tlscause.CommonNameOnly:
		return fail(fmt.Sprintf("give the server a certificate with a subjectAltName for %s; no setting here makes a common name count, LDAP_TLS_SERVER_NAME "+
			"neither", altName(cause.Host)),
			"the certificate is for no host: it has a common name only (%q), which does not count (RFC 9525)", leaf.Subject.CommonName)
	case tlscause.AddressInDNSName:
		f := fail("give the server a certificate with the subjectAltName "+altName(cause.Host),
			"the certificate has %s as a DNS name, and an address counts only as an IP address (RFC 5280 section 4.2.1.6)", cause.Host)
		hosts := slices.DeleteFunc(slices.Clone(leaf.DNSNames), func(n string) bool { return net.ParseIP(n) != nil })
		if len(hosts) > 0 {
			f.Remedy += "; or name it in LDAP_URL, or in LDAP_TLS_SERVER_NAME, by a name that its certificate has: " + strings.Join(hosts, ", ")
		}
		return f
	}
	return fail("name the server in LDAP_URL as its certificate does, or set LDAP_TLS_SERVER_NAME to one of its names if you know that it is yours, or give "+
		"the server a certificate for "+cause.Host,
		"the certificate is for %s and not for %s", names(leaf), cause.Host)
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
	const fetch = "set LDAP_CA_FILE to a PEM file with the certificate of that authority, got from whoever runs the directory"
	switch cause.Cause {
	case tlscause.SelfSigned:
		return fail("put this certificate itself into LDAP_CA_FILE, got from whoever runs the directory and not over the network: then it alone is trusted; "+
			"or give the server one by an authority",
			"the certificate of %s is self-signed, and it is none of %s", c.Subject, d.authorities())
	case tlscause.TopUnknown:
		f = fail(fetch+"; or configure the server to send its intermediate certificates too", "the certificate is by %q, which is none of %s", c.Subject,
			d.authorities())
	default:
		f = fail(fetch+"; or, if it is an intermediate one, configure the server to send its certificate too",
			"the certificate is by %q, which is none of %s, and whose certificate the server does not send", c.Issuer, d.authorities())
	}
	for _, url := range c.IssuingCertificateURL {
		f.Details = append(f.Details, "the certificate says that its issuer's is at "+url)
	}
	for i, a := range d.Pool.Authorities {
		if a == nil {
			f.Details = append(f.Details, fmt.Sprintf("certificate %d of LDAP_CA_FILE cannot be used, and may be the one: see the warnings of the "+
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
	return fail("get it reissued with SHA-256; no GODEBUG setting accepts SHA-1 since Go 1.24. Until then put the certificate of "+c.Subject.String()+
		" itself into LDAP_CA_FILE: then its signature is not checked, at a cost: the file has to change whenever the certificate is renewed",
		"the certificate of %s is signed with %s, which is broken and not accepted%s", c.Subject, c.SignatureAlgorithm, by)
}

// badAuthority reports what is wrong with an authority that has the right name.
func (d *doctor) badAuthority(cause tlscause.Diagnosis, now string) (f finding) {
	c := cause.Certificate
	a, which := c, "the certificate of "+c.Subject.String()+", by which the server's is signed,"
	if n := cause.Authority; n > 0 && n <= len(d.Pool.Authorities) {
		a = d.Pool.Authorities[n-1]
		which = fmt.Sprintf("certificate %d of LDAP_CA_FILE (%s)", n, a.Subject)
	}
	const current = "put the authority's current certificate into LDAP_CA_FILE, got from whoever runs the directory"
	switch cause.Cause {
	case tlscause.AuthorityExpired:
		f = fail(current+"; if it is not so old, see to "+now, "%s expired on %s, %s ago", which, date(a.NotAfter), days(time.Since(a.NotAfter)))
	case tlscause.AuthorityNotYet:
		f = fail("see to "+now, "%s is not valid before %s", which, date(a.NotBefore))
	case tlscause.AuthorityOtherKey:
		f = fail(current+": it has another key than this one", "%s has the name of the authority that signed the certificate, and another key: the authority "+
			"has renewed it, or another has the same name", which)
		if len(c.AuthorityKeyId) > 0 && len(a.SubjectKeyId) > 0 {
			f.Details = append(f.Details, fmt.Sprintf("the certificate was signed by the key %x, and certificate %d of LDAP_CA_FILE has the key %x",
				c.AuthorityKeyId, cause.Authority, a.SubjectKeyId))
		}
	default:
		lacks := "it has no basicConstraints with CA:TRUE"
		if a.BasicConstraintsValid && a.IsCA {
			lacks = "its keyUsage does not have keyCertSign"
		}
		f = fail("get the authority's certificate reissued for the same key, with basicConstraints=critical,CA:TRUE and keyUsage keyCertSign: what it signed "+
			"stays good; "+
			"or put the directory's own certificate into LDAP_CA_FILE: then it alone is trusted",
			"%s is no authority: %s", which, lacks)
	}
	return f
}
