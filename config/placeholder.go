package config

import (
	"regexp"
	"slices"
	"strings"

	"authsvc/internal/dialect"
	"authsvc/internal/ldapname"

	"github.com/go-ldap/ldap/v3"
)

// A login's values replace placeholders in filters and templates.
const (
	placeholder      = dialect.Placeholder
	groupPlaceholder = dialect.DNPlaceholder
)

var (
	// braces matches what looks like a placeholder.
	braces = regexp.MustCompile(`\{[^{}]*\}?|\}`)
	// guid matches a GUID in the form in which Active Directory writes it in a name.
	guid = regexp.MustCompile(`^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
)

// unknownPlaceholder returns the first text in a filter or template that looks like a placeholder
// but is not known, or "". With attributes, each attribute of the user's entry is known too, but
// not {username} or {dn} in another spelling.
func unknownPlaceholder(text string, attributes bool, known ...string) string {
	for _, at := range braces.FindAllStringIndex(text, -1) {
		found := text[at[0]:at[1]]
		if at[0] > 0 && strings.ContainsRune("$%", rune(text[at[0]-1])) {
			return text[at[0]-1 : at[1]] // a variable, as shells and other programs write it
		}
		name := strings.TrimSuffix(strings.TrimPrefix(found, "{"), "}")
		other := slices.ContainsFunc([]string{placeholder, groupPlaceholder}, func(k string) bool { return strings.EqualFold(k, found) })
		if !slices.Contains(known, found) && (!attributes || other || found != "{"+name+"}" || !ldapname.IsDescription(name)) {
			return found
		}
	}
	return ""
}

// refusePlaceholders rejects a user filter or template that has an unknown placeholder, or that
// lacks the known one.
func refusePlaceholders(wrong *problems, variable, text string) (refused bool) {
	missing := ""
	if !strings.Contains(text, placeholder) {
		missing = " has no " + placeholder
	}
	switch unknown := unknownPlaceholder(text, false, placeholder); {
	case unknown != "" && missing != "":
		wrong.add(variable, `%q%s, and %s is not a placeholder: the only placeholder is %s; write a literal brace as \7b or \7d`, text, missing, unknown, placeholder)
	case unknown != "":
		wrong.add(variable, `%q has %s, which is not a placeholder: the only placeholder is %s; write a literal brace as \7b or \7d`, text, unknown, placeholder)
	case missing != "":
		wrong.add(variable, "%q%s", text, missing)
	default:
		return false
	}
	return true
}

// refuseInDN rejects what looks like a placeholder in a DN of the configuration. Such a DN has no
// placeholders. In Active Directory a GUID in braces may be a part of a DN.
func refuseInDN(wrong *problems, variable, dn string) (refused bool) {
	for _, found := range braces.FindAllString(dn, -1) {
		name := strings.TrimSuffix(strings.TrimPrefix(found, "{"), "}")
		if found == "{"+name+"}" && ldapname.IsDescription(name) && !guid.MatchString(name) {
			wrong.add(variable, `%q has %s: placeholders are not supported here; write a literal brace as \7b or \7d`, dn, found)
			return true
		}
	}
	return false
}

// validateGroupFilter checks a filter that finds the groups of a user.
func (l *LDAP) validateGroupFilter(wrong *problems) {
	const variable = "LDAP_GROUP_FILTER"
	filter := l.GroupFilter
	if unknown := unknownPlaceholder(filter, true, groupPlaceholder, placeholder); unknown != "" {
		wrong.add(variable, `%q has %s, which is not a placeholder: use %s, %s or an attribute of the user's entry such as {gidNumber}; `+
			`write a literal brace as \7b or \7d`, filter, unknown, groupPlaceholder, placeholder)
		return
	}
	// All placeholders are replaced at once, because they are allowed in the same places.
	one := braces.ReplaceAllLiteralString(filter, placeholder)
	if !strings.Contains(one, placeholder) {
		wrong.add(variable, "%q must have %s, %s or an attribute of the user's entry such as {gidNumber}", filter, groupPlaceholder, placeholder)
		return
	}
	if _, err := ldap.CompileFilter(strings.ReplaceAll(one, placeholder, "name")); err != nil {
		wrong.add(variable, "%q is not a filter (RFC 4515): %v", filter, err)
		return
	}
	if !assertedOnly(one) {
		wrong.add(variable, "%q has a placeholder outside of a value", filter)
	}
}
