package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"authsvc/internal/ldapname"

	"github.com/go-ldap/ldap/v3"
)

// A group filter may use attributes of the user's entry, such as (gidNumber={gidNumber}) for the
// primary group of RFC 2307.

// maxPlaceholderValues bounds the assertions that one placeholder expands to.
const maxPlaceholderValues = 100

// errManyPlaceholderValues is the cause of a fault.
var errManyPlaceholderValues = fmt.Errorf("the user's entry has more than %d values of an attribute in the group filter", maxPlaceholderValues)

// Assertions that no entry and every entry matches. No object class has that name, and servers
// index object classes.
const (
	holdsForNone = "(objectClass=authsvcNone)"
	holdsForAll  = "(objectClass=*)"
)

// placeholderAttribute returns the attribute that a placeholder of a group filter stands for. ok is
// false for the user's DN and name.
func placeholderAttribute(found string) (name string, ok bool) {
	if found == dnPlaceholder || found == placeholder || found == namePartOfDN {
		return "", false
	}
	name, _, _ = strings.Cut(strings.Trim(found, "{}"), ":") // see partOfDN
	return name, true
}

// attributes returns the attributes of the user's entry that the filter uses, each once.
func (f groupFilter) attributes() (names []string) {
	for _, found := range inBraces.FindAllString(string(f), -1) {
		if name, ok := placeholderAttribute(found); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// withValues inserts the values of the user's entry. An assertion matches if it does with any value
// of the attribute. Without a value it does not make the filter match more groups, even if it is
// negated.
func (f groupFilter) withValues(values func(attribute string) [][]byte) (groupFilter, error) {
	var b strings.Builder
	err := eachItem(string(f), func(text string, item, negated bool) error {
		if !item {
			b.WriteString(text)
			return nil
		}
		filled, err := fillItem(text, values)
		switch {
		case err != nil:
			return err
		case len(filled) == 0 && negated:
			b.WriteString(holdsForAll)
		case len(filled) == 0:
			b.WriteString(holdsForNone)
		default:
			b.WriteString(anyOf(filled))
		}
		return nil
	})
	return groupFilter(b.String()), err
}

// fillItem returns an item once for each value of the attributes that it uses.
func fillItem(item string, values func(attribute string) [][]byte) ([]string, error) {
	filled := []string{item}
	for _, found := range inBraces.FindAllString(item, -1) {
		name, ok := placeholderAttribute(found)
		if !ok || !strings.Contains(item, found) {
			continue
		}
		var next []string
		for _, value := range values(name) {
			escaped := string(value)
			if found != "{"+name+"}" {
				escaped = ldapname.EscapeValue(escaped)
			}
			// A brace in the value would be a placeholder to fill.
			escaped = strings.NewReplacer("{", `\7b`, "}", `\7d`).Replace(ldap.EscapeFilter(escaped))
			for _, text := range filled {
				next = append(next, strings.ReplaceAll(text, found, escaped))
			}
			if len(next) > maxPlaceholderValues {
				return nil, errManyPlaceholderValues
			}
		}
		filled = next
	}
	return filled, nil
}

// eachItem calls do with each item of a valid filter, with its parentheses, and with the text
// between items. negated reports whether the filter matches fewer entries if the item matches more.
func eachItem(filter string, do func(text string, item, negated bool) error) error {
	var negations []bool // of the sets that are open
	negated := false
	for filter != "" {
		end, item := 1, false
		switch {
		case filter[0] == '(' && len(filter) > 1 && strings.IndexByte("&|!", filter[1]) >= 0:
			end = 2
			negations = append(negations, negated)
			negated = negated != (filter[1] == '!')
		case filter[0] == '(':
			item = true
			end = strings.IndexByte(filter, ')') + 1 // no value has one that is not escaped
		case filter[0] == ')' && len(negations) > 0:
			negated = negations[len(negations)-1]
			negations = negations[:len(negations)-1]
		}
		if end <= 0 {
			return errors.New("a parenthesis is not closed")
		}
		if err := do(filter[:end], item, negated); err != nil {
			return err
		}
		filter = filter[end:]
	}
	return nil
}

// groupFilter returns the filter of groups with the values of the user's entry.
func (l *login) groupFilter(ctx context.Context) (groupFilter, error) {
	f := l.groups.filter
	names := f.attributes()
	if len(names) == 0 {
		return f, nil
	}
	found, err := l.ownValues(ctx, names...)
	if err != nil {
		return "", err
	}
	f, err = f.withValues(func(attribute string) [][]byte { return found[attribute] })
	if err != nil {
		return "", fault(err)
	}
	return f, nil
}
