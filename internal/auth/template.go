package auth

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// placeholder stands in filters and DN templates for the name that was typed.
const placeholder = "{username}"

// filterTemplate is a search filter (RFC 4515) with a placeholder for a value.
type filterTemplate string

func parseFilter(s string) (filterTemplate, error) {
	if !strings.Contains(s, placeholder) {
		return "", fmt.Errorf("filter %q has no %s", s, placeholder)
	}
	f := filterTemplate(s)
	if _, err := ldap.CompileFilter(f.fill("probe")); err != nil {
		return "", fmt.Errorf("filter %q: %w", s, err)
	}
	return f, nil
}

// fill puts name in place as one assertion value, whatever it contains (RFC 4515 section 3).
func (f filterTemplate) fill(name string) string {
	return strings.ReplaceAll(string(f), placeholder, ldap.EscapeFilter(name))
}

// dnTemplate is a DN (RFC 4514) with a placeholder for an attribute value.
type dnTemplate string

func parseDNTemplate(s string) (dnTemplate, error) {
	if !strings.Contains(s, placeholder) {
		return "", fmt.Errorf("DN template %q has no %s", s, placeholder)
	}
	t := dnTemplate(s)
	if dn, err := ldap.ParseDN(t.fill("probe")); err != nil || len(dn.RDNs) == 0 {
		return "", fmt.Errorf("DN template %q: %w", s, errors.Join(errors.New("not a DN"), err))
	}
	return t, nil
}

// fill puts name in place as one attribute value, whatever it contains.
func (t dnTemplate) fill(name string) string {
	return strings.ReplaceAll(string(t), placeholder, escapeDN(name))
}

// escapeDN escapes an attribute value for a DN (RFC 4514 section 2.4). Control characters, which the RFC lets stand and
// OpenLDAP's parser skips, are escaped too.
func escapeDN(value string) string {
	var b strings.Builder
	for i := range len(value) {
		switch c := value[i]; {
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\%02x`, c)
		case strings.IndexByte(`"+,;<>\=`, c) >= 0,
			c == '#' && i == 0,
			c == ' ' && (i == 0 || i == len(value)-1):
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
