package auth

import (
	"slices"
	"strings"
	"unicode/utf8"

	"authsvc/internal/dialect"
	"authsvc/internal/ldapname"

	"github.com/go-ldap/ldap/v3"
)

// group is a group's entry as the directory returned it.
type group struct {
	dn    string
	id    string   // value of Dialect.IDAttribute; "" if the entry shows none
	name  string   // for User.Groups; "" if the entry shows no name
	names []string // all values of the name attribute that are text, for comparison with a required name
}

// newGroup reads an entry. A value that is not text is returned as base64, and is not compared with
// required names.
func newGroup(e *ldap.Entry, nameAttribute, idAttribute string) group {
	g := group{dn: strings.Clone(e.DN), id: string(e.GetEqualFoldRawAttributeValue(idAttribute))}
	for _, a := range e.Attributes {
		if !ldapname.SameDescription(a.Name, nameAttribute) || len(a.Values) == 0 {
			continue
		}
		g.name = strings.Clone(text(a.Name, ownName(a.Values, nameAttribute, e.DN)))
		for _, v := range a.Values {
			if s, ok := dialect.Text(a.Name, v); ok {
				g.names = append(g.names, s)
			} else if utf8.ValidString(v) {
				g.names = append(g.names, strings.Clone(v))
			}
		}
	}
	return g
}

// size estimates the memory of a group, in bytes.
func (g group) size() int {
	return len(g.dn) + len(g.id) + len(g.name) + textsSize(g.names) + groupSize
}

// groupSize is the size of the struct.
const groupSize = 72

// is reports whether two answers of the directory are about one entry. Both DNs are the directory's
// own, so they differ at most in case, between servers. The identifiers distinguish entries whose
// DNs differ only in case, in a directory where case matters.
func (g group) is(other group) bool {
	if g.id != "" && other.id != "" && g.id != other.id {
		return false
	}
	return ldapname.PermitDNKey(g.dn) == ldapname.PermitDNKey(other.dn)
}

// groupSet is the groups of one user.
type groupSet struct {
	groups []group
	size   int             // of groups, and of those that findByMemberOf keeps separately, in bytes
	seen   map[string]bool // DNs as the directory returned them
}

// add adds a group and reports whether it is new.
func (s *groupSet) add(g group) bool {
	if s.seen[g.dn] {
		return false
	}
	if s.seen == nil {
		s.seen = map[string]bool{}
	}
	s.seen[g.dn] = true
	s.groups = append(s.groups, g)
	s.size += g.size()
	return true
}

// list returns the names in order, each once; never nil.
func (s *groupSet) list() []string {
	list := []string{}
	for _, g := range s.groups {
		if g.name != "" {
			list = append(list, g.name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}
