package auth

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"authsvc/internal/dialect"
	"authsvc/internal/ldapname"
	"authsvc/ldappool/ldapconn"

	"github.com/go-ldap/ldap/v3"
)

// placeholder stands in filters and DN templates for the typed name.
const placeholder = dialect.Placeholder

// namePartOfDN stands in a filter for a name that is an attribute value of a DN, as in
// (member=uid={username},dc=org).
const namePartOfDN = "{username-in-dn}"

// userFilter is a search filter (RFC 4515) with placeholders for the typed name.
type userFilter struct {
	text     string // with namePartOfDN instead of the placeholders that are parts of DNs
	template *ldapconn.FilterTemplate
	places   []string // the placeholders of the template's values
}

func parseFilter(s string) (*userFilter, error) {
	if !strings.Contains(s, placeholder) {
		return nil, fmt.Errorf("filter %q has no %s", s, placeholder)
	}
	f, err := newUserFilter(markDNs(s, placeholder))
	if err != nil {
		return nil, fmt.Errorf("filter %q: %w", s, err)
	}
	return f, nil
}

func newUserFilter(text string) (*userFilter, error) {
	template, err := ldapconn.CompileTemplate(text)
	if err != nil {
		return nil, err
	}
	f := &userFilter{text: text, template: template}
	for _, name := range template.Names() {
		f.places = append(f.places, "{"+name+"}")
	}
	return f, nil
}

// fill inserts a name, escaped as one assertion value, or as one attribute value of a DN (RFC 4515
// section 3, RFC 4514 section 2.4). account is the part of the name that qualifiedFilters use.
func (f *userFilter) fill(name, account string) ldapconn.Filter {
	values := make([]string, 0, 4)
	for _, place := range f.places {
		switch place {
		case placeholder:
			values = append(values, name)
		case namePartOfDN:
			values = append(values, ldapname.EscapeValue(name))
		case accountPlaceholder:
			values = append(values, account)
		case accountPartOfDN:
			values = append(values, ldapname.EscapeValue(account))
		default: // not a placeholder
			values = append(values, place)
		}
	}
	return f.template.Fill(values...)
}

// nameReplacements returns the placeholders for a name and their replacements in a filter.
func nameReplacements(name string) []string {
	return []string{placeholder, ldap.EscapeFilter(name), namePartOfDN, ldap.EscapeFilter(ldapname.EscapeValue(name))}
}

// markDNs replaces each placeholder within a DN with that of partOfDN. Otherwise a user who is
// called b\6fb would be bob in that DN.
func markDNs(filter string, placeholders ...string) string {
	var b strings.Builder
	rest := filter
	for {
		at := inBraces.FindStringIndex(rest)
		if at == nil {
			b.WriteString(rest)
			return b.String()
		}
		b.WriteString(rest[:at[0]])
		found := rest[at[0]:at[1]]
		rest = rest[at[1]:]
		assertion := b.String()[strings.LastIndexByte(b.String(), '(')+1:] // no value has a parenthesis that is not escaped
		after, _, _ := strings.Cut(rest, ")")
		if _, value, _ := strings.Cut(assertion, "="); slices.Contains(placeholders, found) && isPartOfDN(value, after) {
			found = partOfDN(found)
		}
		b.WriteString(found)
	}
}

// inBraces matches a placeholder.
var inBraces = regexp.MustCompile(`\{[^{}]*\}`)

// partOfDN returns the placeholder for an attribute value of a DN. An attribute description cannot
// have a colon.
func partOfDN(of string) string {
	if of == placeholder {
		return namePartOfDN
	}
	return strings.TrimSuffix(of, "}") + ":in-dn}"
}

// isPartOfDN reports whether an assertion value is a DN and the value between before and after is
// only a part of it.
func isPartOfDN(before, after string) bool {
	if before == "" {
		return false
	}
	const dn = "x=#040178" // only a separator may follow it
	value := inBraces.ReplaceAllStringFunc(before+"probe"+after, func(found string) string {
		if found == dnPlaceholder {
			return dn
		}
		return "probe"
	})
	value = filterEscape.ReplaceAllStringFunc(value, func(escape string) string {
		c, _ := hex.DecodeString(escape[1:]) // it matches
		return string(c)
	})
	parsed, err := ldapname.ParseDN(value)
	return err == nil && len(parsed.RDNs) > 0
}

// filterEscape matches an escaped byte in a filter (RFC 4515 section 3).
var filterEscape = regexp.MustCompile(`\\[0-9A-Fa-f]{2}`)

// dnTemplate is a DN (RFC 4514) with a placeholder for an attribute value.
type dnTemplate string

func parseDNTemplate(s string) (dnTemplate, error) {
	if !strings.Contains(s, placeholder) {
		return "", fmt.Errorf("DN template %q has no %s", s, placeholder)
	}
	t := dnTemplate(s)
	if dn, err := ldapname.ParseDN(t.fill("probe")); err != nil || len(dn.RDNs) == 0 {
		return "", fmt.Errorf("DN template %q: %w", s, errors.Join(errors.New("not a DN"), err))
	}
	return t, nil
}

// fill inserts name as one escaped attribute value.
func (t dnTemplate) fill(name string) string {
	return strings.ReplaceAll(string(t), placeholder, ldapname.EscapeValue(name))
}

// comparesText reports whether the name is only the value of attributes that are known to be
// compared as text (caseIgnoreMatch of RFC 4517 or a stricter rule). telephoneNumberMatch ignores
// all spaces and hyphens.
func (t dnTemplate) comparesText() bool {
	const probe = "authsvcprobe"
	dn, err := ldapname.ParseDN(t.fill(probe))
	if err != nil {
		return false
	}
	for _, rdn := range dn.RDNs {
		for _, a := range rdn.Attributes {
			text := func(known string) bool { return ldapname.SameAttribute(known, a.Type) }
			if strings.Contains(a.Value, probe) && !slices.ContainsFunc(textAttributes, text) {
				return false
			}
		}
	}
	return true
}

// textAttributes are common naming attributes that are compared as text.
var textAttributes = []string{"uid", "cn", "sn", "givenName", "mail", "ou", "o", "displayName", "sAMAccountName", "userPrincipalName", "krbPrincipalName", "employeeNumber"}
