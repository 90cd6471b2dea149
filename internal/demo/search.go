package demo

import (
	"slices"

	"github.com/go-ldap/ldap/v3"
	"github.com/jimlambrt/gldap"
)

// scopeChildren is all entries below the base without the base itself, as slapd
// and OpenLDAP's clients number it (draft-sermersheim-ldap-subordinate-scope).
const scopeChildren gldap.Scope = 3

// result is a search's answer: the entries, then the code that ends it.
type result struct {
	entries []*entry
	code    int
	// matchedDN comes with noSuchObject.
	matchedDN string
	// diagnostic is for people.
	diagnostic string
}

// search answers a search request. Anonymous sees the root DSE and nothing else.
func (t *tree) search(m *gldap.SearchMessage, anonymous bool) result {
	base, err := t.schema.parseName(m.BaseDN)
	if err != nil {
		return result{code: gldap.ResultInvalidDNSyntax, diagnostic: "invalid DN"}
	}
	if m.Scope < gldap.BaseObject || m.Scope > scopeChildren {
		return result{code: gldap.ResultProtocolError, diagnostic: "invalid scope"}
	}
	candidates, ok := t.candidates(base, m.Scope, anonymous)
	if !ok {
		absent := result{code: gldap.ResultNoSuchObject}
		if !anonymous {
			absent.matchedDN = t.nearest(base)
		}
		return absent
	}
	filter, err := ldap.CompileFilter(m.Filter)
	if err != nil {
		return result{code: gldap.ResultProtocolError, diagnostic: "the filter cannot be decoded"}
	}
	var found []*entry
	for _, e := range candidates {
		if t.schema.evaluate(filter, e) != yes {
			continue
		}
		if m.SizeLimit > 0 && int64(len(found)) == m.SizeLimit {
			return result{entries: found, code: gldap.ResultSizeLimitExceeded}
		}
		found = append(found, e)
	}
	return result{entries: found, code: gldap.ResultSuccess}
}

// candidates returns the entries in scope, false where the base is not there or
// the identity may not see it, which slapd answers alike.
func (t *tree) candidates(base name, scope gldap.Scope, anonymous bool) ([]*entry, bool) {
	if len(base) == 0 {
		return []*entry{t.rootDSE}, scope == gldap.BaseObject
	}
	if anonymous || t.find(base) == nil {
		return nil, false
	}
	var in []*entry
	for _, e := range t.entries {
		if inScope(e.name, base, scope) {
			in = append(in, e)
		}
	}
	return in, true
}

// inScope reports whether the scope reaches a name from the base.
func inScope(n, base name, scope gldap.Scope) bool {
	depth := len(n) - len(base)
	switch {
	case !n.within(base):
		return false
	case scope == gldap.BaseObject:
		return depth == 0
	case scope == gldap.SingleLevel:
		return depth == 1
	case scope == scopeChildren:
		return depth > 0
	default:
		return true
	}
}

// selectAttributes returns the attributes that a request asks for (RFC 4511
// section 4.5.1.8): none asked for or "*" is all user attributes, "+" all
// operational ones, "1.1" alone is none. A password is never among them.
func (s schema) selectAttributes(e *entry, asked []string) []attribute {
	allUser := len(asked) == 0 || slices.Contains(asked, "*")
	allOperational := slices.Contains(asked, "+")
	named := make(map[*attributeType]bool)
	for _, description := range asked {
		if t, tagged := s.lookup(description); t != nil && !tagged {
			named[t] = true
		}
	}
	var selected []attribute
	for _, a := range e.attributes {
		all := allUser
		if a.typ.operational {
			all = allOperational
		}
		if a.typ.key != passwordAttribute && (all || named[a.typ]) {
			selected = append(selected, a)
		}
	}
	return selected
}
