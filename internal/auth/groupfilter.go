package auth

import (
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// dnPlaceholder stands in a group filter for the DN of the user, or of a group whose own groups are looked for.
const dnPlaceholder = "{dn}"

// groupFilter is a search filter (RFC 4515) with placeholders for a DN and a name.
type groupFilter string

func parseGroupFilter(s string) (groupFilter, error) {
	if !strings.Contains(s, dnPlaceholder) && !strings.Contains(s, placeholder) {
		return "", fmt.Errorf("group filter %q has neither %s nor %s", s, dnPlaceholder, placeholder)
	}
	f := groupFilter(s)
	if _, err := ldap.CompileFilter(f.fill("probe", "probe")); err != nil {
		return "", fmt.Errorf("group filter %q: %w", s, err)
	}
	return f, nil
}

// fill puts a DN and a name in place as one assertion value each, whatever they contain (RFC 4515 section 3). It goes over
// the template once: a DN that has a placeholder in it is not filled again.
func (f groupFilter) fill(dn, name string) string {
	return strings.NewReplacer(dnPlaceholder, ldap.EscapeFilter(dn), placeholder, ldap.EscapeFilter(name)).Replace(string(f))
}

// asksName tells whether the user's name decides, and not the DN alone.
func (f groupFilter) asksName() bool { return strings.Contains(string(f), placeholder) }

// bytesFilter is the assertion that an attribute has this value, every byte of it escaped.
func bytesFilter(attribute string, value []byte) string {
	var b strings.Builder
	b.WriteString("(" + attribute + "=")
	for _, c := range value {
		fmt.Fprintf(&b, `\%02x`, c)
	}
	b.WriteByte(')')
	return b.String()
}

// anyOf is the filter that matches what any of the filters does.
func anyOf(filters []string) string {
	if len(filters) == 1 {
		return filters[0]
	}
	return "(|" + strings.Join(filters, "") + ")"
}
