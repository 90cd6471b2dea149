package auth

import (
	"fmt"
	"slices"
	"strings"

	"authsvc/internal/dialect"

	"github.com/go-ldap/ldap/v3"
)

// dnPlaceholder stands in a group filter for the DN of the user, or of a group whose parent groups
// are searched for.
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

// fill inserts a DN and a name as one assertion value each, escaped (RFC 4515 section 3). It
// replaces all placeholders in one pass, so that a placeholder within a DN is not replaced.
func (f groupFilter) fill(dn, name string) string {
	return strings.NewReplacer(append(nameReplacements(name), dnPlaceholder, ldap.EscapeFilter(dn))...).Replace(string(f))
}

// usesName reports whether the filter uses the user's name.
func (f groupFilter) usesName() bool {
	return strings.Contains(string(f), placeholder) || strings.Contains(string(f), namePartOfDN)
}

// bytesFilter returns the assertion that an attribute has this value, with every byte escaped.
func bytesFilter(attribute string, value []byte) string {
	var b strings.Builder
	b.WriteString("(" + attribute + "=")
	for _, c := range value {
		fmt.Fprintf(&b, `\%02x`, c)
	}
	b.WriteByte(')')
	return b.String()
}

// anyOf returns a filter that matches if any of the filters does.
func anyOf(filters []string) string {
	if len(filters) == 1 {
		return filters[0]
	}
	return "(|" + strings.Join(filters, "") + ")"
}
