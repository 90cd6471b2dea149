package auth

import (
	"encoding/base64"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"
)

// merge adds entries that were not found yet: bases may overlap. Two are enough; a server that ignores the limit may send
// any number.
func (l *login) merge(more []*ldap.Entry) {
	for _, e := range more {
		same := func(f *ldap.Entry) bool { return strings.EqualFold(f.DN, e.DN) }
		if len(l.found) < 2 && !slices.ContainsFunc(l.found, same) {
			l.found = append(l.found, e)
		}
	}
}

// describe makes the user of an entry.
func (l *login) describe(e *ldap.Entry) {
	u := &l.user
	u.DN = e.DN
	for _, a := range e.Attributes {
		if strings.EqualFold(a.Name, l.cfg.NameAttribute) && len(a.Values) > 0 {
			u.Username = text(a.Name, a.Values[0])
		}
		for _, name := range l.cfg.Attributes {
			if !named(a, name) {
				continue
			}
			if u.Attributes == nil {
				u.Attributes = make(map[string][]string, len(l.cfg.Attributes))
			}
			values := make([]string, len(a.Values))
			for i, v := range a.Values {
				values[i] = text(name, v)
			}
			u.Attributes[name] = values
		}
	}
	if u.Username == "" {
		u.Username, l.nameless = nameInDN(e.DN, l.cfg.NameAttribute)
	}
}

// nameInDN is the name of an entry that shows no name attribute: the value that its DN has of it, or else of another one; then
// nameless is true. What is in its RDN is the entry's own (RFC 4512 section 2.3.2), and what was typed may be somebody else's: the
// filter may have found it in an attribute that users set themselves.
func nameInDN(dn, attribute string) (name string, nameless bool) {
	parsed, err := ldap.ParseDN(dn)
	if err != nil || len(parsed.RDNs) == 0 {
		return text(attribute, dn), true
	}
	rdn := parsed.RDNs[0].Attributes
	for _, a := range rdn {
		if strings.EqualFold(a.Type, attribute) {
			return text(a.Type, a.Value), false
		}
	}
	return text(rdn[0].Type, rdn[0].Value), true
}

// named tells whether an attribute is the one asked for. Some have to be transferred as ";binary" (RFC 4522 section 3), and
// a server says so whether that was asked for or not.
func named(a *ldap.EntryAttribute, name string) bool {
	const binary = ";binary"
	return strings.EqualFold(a.Name, name) ||
		len(a.Name) == len(name)+len(binary) && strings.EqualFold(a.Name, name+binary)
}

// text makes an attribute's value fit for JSON: one that is not valid UTF-8 becomes base64, but for those that have a text form of
// their own.
func text(attribute, value string) string {
	if s, ok := adText(attribute, value); ok {
		return s
	}
	if utf8.ValidString(value) {
		return value
	}
	return base64.StdEncoding.EncodeToString([]byte(value))
}
