package ldapname

import (
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// SameDN reports whether two DNs are one, as far as that can be seen without a schema: case does
// not count. It is for the DNs of a configuration. For those of a directory see the Permit and the
// Count keys.
func SameDN(a, b string) bool {
	x, err := ParseDN(a)
	y, errOther := ParseDN(b)
	if err != nil || errOther != nil {
		return strings.EqualFold(a, b)
	}
	return x.EqualFold(y)
}

// IsBelow reports whether the entry of a DN is the one of another DN, or below it, as far as that
// can be seen without a schema.
func IsBelow(dn, top string) bool {
	d, err := ParseDN(dn)
	t, errTop := ParseDN(top)
	return err == nil && errTop == nil && (t.EqualFold(d) || t.AncestorOfFold(d))
}

// Parent returns the DN above another one, or "" if there is none.
func Parent(dn string) string {
	d, err := ParseDN(dn)
	if err != nil || len(d.RDNs) < 2 {
		return ""
	}
	return (&ldap.DN{RDNs: d.RDNs[1:]}).String()
}

// DomainSuffix returns the domain components at the end of a DN (RFC 2247), or "" if there are
// none.
func DomainSuffix(dn string) string {
	parsed, err := ParseDN(dn)
	if err != nil {
		return ""
	}
	suffix := ""
	for i := len(parsed.RDNs) - 1; i >= 0; i-- {
		value, ok := domainComponent(parsed.RDNs[i])
		if !ok {
			break
		}
		suffix = "dc=" + EscapeValue(value) + "," + suffix
	}
	return strings.TrimSuffix(suffix, ",")
}

// DNSName returns the DNS name that a DN's domain components make (RFC 2247 section 2).
func DNSName(dn *ldap.DN) string {
	var labels []string
	for _, rdn := range dn.RDNs {
		if label, ok := domainComponent(rdn); ok {
			labels = append(labels, label)
		}
	}
	return strings.Join(labels, ".")
}

// domainComponent returns the value of an RDN that is a domain component and nothing else.
func domainComponent(rdn *ldap.RelativeDN) (value string, ok bool) {
	if len(rdn.Attributes) != 1 || !strings.EqualFold(rdn.Attributes[0].Type, "dc") {
		return "", false
	}
	return rdn.Attributes[0].Value, true
}
