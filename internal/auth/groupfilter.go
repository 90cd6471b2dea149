package auth

import (
	"fmt"
	"slices"
	"strings"

	"authsvc/internal/dialect"

	"github.com/go-ldap/ldap/v3"
)

// dnPlaceholder stands in a group filter for the DN of the user, or of a group whose own groups are
// looked for.
const dnPlaceholder = dialect.DNPlaceholder

// groupFilter is a search filter (RFC 4515) with placeholders for a DN, a name, and attributes of
// the user's entry.
type groupFilter string

func parseGroupFilter(s string) (groupFilter, error) {
	placeholders := slices.DeleteFunc(inBraces.FindAllString(s, -1), func(found string) bool { return found == dnPlaceholder })
	if len(placeholders) == 0 && !strings.Contains(s, dnPlaceholder) {
		return "", fmt.Errorf("group filter %q must have %s, %s or an attribute of the user's entry", s, dnPlaceholder, placeholder)
	}
	f := groupFilter(markDNs(s, placeholders...))
	probe, err := f.withValues(func(string) [][]byte { return [][]byte{[]byte("probe")} })
	if err == nil {
		_, err = ldap.CompileFilter(probe.fill("probe", "probe"))
	}
	if err != nil {
		return "", fmt.Errorf("group filter %q: %w", s, err)
	}
	return f, nil
}

// fill puts a DN and a name in place as one assertion value each, whatever they contain (RFC 4515
// section 3). It goes over the template once: a DN that has a placeholder in it is not filled
// again.
func (f groupFilter) fill(dn, name string) string {
	return strings.NewReplacer(append(nameReplacements(name), dnPlaceholder, ldap.EscapeFilter(dn))...).Replace(string(f))
}

// asksName reports whether the filter depends on the user's name, and not on the DN alone.
func (f groupFilter) asksName() bool {
	return strings.Contains(string(f), placeholder) || strings.Contains(string(f), namePartOfDN)
}

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
