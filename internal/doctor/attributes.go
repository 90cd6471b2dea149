package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"authsvc/internal/auth"
	"authsvc/internal/ldapname"
)

// namedAttribute is an attribute that a variable names.
type namedAttribute struct{ variable, name string }

// namedAttributes returns the attributes that the configuration names, except those of the user
// filter.
func (s *target) namedAttributes() []namedAttribute {
	all := []namedAttribute{{"LDAP_USER_NAME_ATTRIBUTE", s.Logins.NameAttribute}}
	for _, item := range s.Logins.Attributes {
		all = append(all, namedAttribute{"LDAP_ATTRIBUTES", auth.ParseAttribute(item).Name})
	}
	if g := s.Logins.Groups; g.Enabled {
		all = append(all, namedAttribute{"LDAP_GROUP_NAME_ATTRIBUTE", g.NameAttribute})
		for _, name := range auth.FilterAttributes(g.Filter) {
			all = append(all, namedAttribute{"LDAP_GROUP_FILTER", name})
		}
	}
	return slices.DeleteFunc(all, func(a namedAttribute) bool { return a.name == "" || a.name == "1.1" })
}

// checkAttributes checks whether the directory's schema has the attributes that the configuration
// names.
func (s *target) checkAttributes(ctx context.Context) finding {
	all := s.namedAttributes()
	if len(s.attributeNames(ctx)) == 0 {
		return skip("the directory does not show its schema: the configured attributes cannot be checked")
	}
	var missing, otherNames, remedies []string
	usual := s.usuallyMissing()
	for _, a := range all {
		names := s.attributeNames(ctx)[strings.ToLower(withoutOptions(a.name))]
		switch {
		case s.isUndefined(ctx, a.name) && usual(a):
		case s.isUndefined(ctx, a.name):
			missing = append(missing, fmt.Sprintf("%s (%s)", a.name, a.variable))
			remedies = append(remedies, "correct "+a.name+" in "+a.variable+s.suggestAttribute(ctx, a.name))
		case len(names) > 0 && !s.Logins.Dialect.EchoesAttributeNames && !ldapname.SameAttribute(withoutOptions(a.name), names[0]):
			otherNames = append(otherNames, fmt.Sprintf("%s: the directory answers with %s, which authsvc does not recognize as the same attribute: write %[2]s in %[3]s", a.name, names[0],
				a.variable))
		}
	}
	switch {
	case len(missing) > 0:
		f := warn(strings.Join(remedies, "; "), "the directory's schema has no attribute %s: no entry can have it", strings.Join(missing, ", "))
		f.Details = otherNames
		return f
	case len(otherNames) > 0:
		f := warn("use the directory's own name for the attribute", "a configured attribute has another name in the directory's answers")
		f.Details = otherNames
		return f
	}
	return pass("the directory's schema has every configured attribute")
}

// usuallyMissing returns a function that reports whether a directory may lack an attribute without
// a warning. The default group filters compare such attributes in addition to those that a
// directory has.
func (s *target) usuallyMissing() func(namedAttribute) bool {
	return func(a namedAttribute) bool {
		usual := []string{"member", "uniqueMember", "memberUid"}
		return a.variable == "LDAP_GROUP_FILTER" && slices.ContainsFunc(usual, func(n string) bool { return strings.EqualFold(n, a.name) })
	}
}

func withoutOptions(description string) string {
	name, _, _ := strings.Cut(description, ";")
	return name
}

// suggestAttribute returns a hint with the most similar attribute name of the schema; "" if none is
// similar.
func (s *target) suggestAttribute(ctx context.Context, name string) string {
	name = strings.ToLower(withoutOptions(name))
	best, least := "", 3 // a distance of 3 is too far
	for lower, names := range s.attributeNames(ctx) {
		if len(names) == 0 || lower[0] >= '0' && lower[0] <= '9' {
			continue
		}
		d := distance(name, lower)
		if d > len(name)/2 {
			continue
		}
		own := names[slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, lower) })]
		if d < least || d == least && best != "" && preferred(own, best) {
			best, least = own, d
		}
	}
	if best == "" {
		return ""
	}
	return ": did you mean " + best + "?"
}

// preferred orders two names that are equally similar: common ones come first, the others by the
// alphabet, so that the answer is the same each time.
func preferred(a, b string) bool {
	common := []string{"mail", "cn", "sn", "uid", "givenName", "displayName", "memberOf", "title", "mobile", "telephoneNumber"}
	rank := func(n string) int {
		i := slices.IndexFunc(common, func(c string) bool { return strings.EqualFold(c, n) })
		if i < 0 {
			return len(common)
		}
		return i
	}
	if rank(a) != rank(b) {
		return rank(a) < rank(b)
	}
	return a < b
}

// distance counts the letters to insert, delete, replace or swap with their neighbour to make b of
// a (optimal string alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
