package auth

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"authsvc/internal/dialect"
	"authsvc/internal/ldapname"

	"github.com/go-ldap/ldap/v3"
)

// maxEntrySize bounds what a login keeps of the user's entry while it waits for other operations,
// in bytes: attributes of 1 MiB, and 64 KiB for the DN and what holds them.
const maxEntrySize = 1<<20 + 64<<10

// Sizes of what holds a value and an attribute, in bytes, so that empty ones without end count too.
const (
	stringSize    = 16
	attributeSize = 72
)

// errLargeEntry is the cause of a fault.
var errLargeEntry = errors.New("the requested attributes of the user's entry exceed 1 MiB: request fewer or smaller ones in LDAP_ATTRIBUTES")

// merge adds entries that were not found yet: bases may overlap. Two are enough; a server that
// ignores the limit may send any number. It fails if one is larger than maxEntrySize.
func (l *login) merge(found, more []*ldap.Entry) ([]*ldap.Entry, error) {
	for _, e := range more {
		same := func(f *ldap.Entry) bool { return ldapname.PermitDNKey(f.DN) == ldapname.PermitDNKey(e.DN) }
		if len(found) < 2 && !slices.ContainsFunc(found, same) {
			kept, ok := l.keep(e)
			if !ok {
				return nil, fault(errLargeEntry)
			}
			found = append(found, kept)
		}
	}
	return found, nil
}

// keep copies what later steps need of an entry: its DN and the requested attributes. Logins that
// wait for a connection keep nothing else of the answer. ok is false if that is more than
// maxEntrySize.
func (l *login) keep(e *ldap.Entry) (kept *ldap.Entry, ok bool) {
	size := len(e.DN)
	if size > maxEntrySize {
		return nil, false
	}
	kept = &ldap.Entry{DN: strings.Clone(e.DN)}
	for _, a := range e.Attributes {
		if !slices.ContainsFunc(l.requested, func(name string) bool { return ldapname.SameDescription(a.Name, name) }) {
			continue
		}
		size += len(a.Name) + attributeSize + textsSize(a.Values)
		if size > maxEntrySize {
			return nil, false
		}
		values := make([]string, len(a.Values))
		for i, v := range a.Values {
			values[i] = strings.Clone(v)
		}
		kept.Attributes = append(kept.Attributes, &ldap.EntryAttribute{Name: strings.Clone(a.Name), Values: values})
	}
	return kept, true
}

// textsSize is about how many bytes of memory texts take.
func textsSize(texts []string) (size int) {
	for _, s := range texts {
		size += stringSize + len(s)
	}
	return size
}

// describe makes the user of an entry, but for the attributes and the groups.
func (l *login) describe(e *ldap.Entry) identity {
	who := identity{user: User{DN: e.DN}, entry: e}
	u := &who.user
	for _, a := range e.Attributes {
		if ldapname.SameDescription(a.Name, l.cfg.NameAttribute) && len(a.Values) > 0 {
			u.Username = text(a.Name, ownName(a.Values, l.cfg.NameAttribute, e.DN))
		}
	}
	if u.Username == "" {
		u.Username, who.nameless = nameInDN(e.DN, l.cfg.NameAttribute)
	}
	return who
}

// nameInDN is the name of an entry that shows no name attribute: the value that its DN has of it,
// or else of another one; then nameless is true. What is in its RDN is the entry's own (RFC 4512
// section 2.3.2), and what was typed may be somebody else's: the filter may have found it in an
// attribute that users set themselves.
func nameInDN(entry, attribute string) (name string, nameless bool) {
	parsed, err := ldapname.ParseDN(entry)
	if err != nil || len(parsed.RDNs) == 0 {
		return text(attribute, entry), true
	}
	if own, ok := rdnValue(parsed, attribute); ok {
		return text(attribute, own), false
	}
	rdn := parsed.RDNs[0].Attributes
	return text(rdn[0].Type, rdn[0].Value), true
}

// ownName returns the value of an entry's name attribute that is its own name: of several the one
// in its RDN, which has only one (RFC 4512 section 2.3). Users may be allowed to add values to an
// attribute, and the order of values means nothing.
func ownName(values []string, attribute, dn string) string {
	if len(values) == 1 {
		return values[0]
	}
	parsed, err := ldapname.ParseDN(dn)
	if err != nil {
		return values[0]
	}
	own, ok := rdnValue(parsed, attribute)
	if !ok {
		return values[0]
	}
	for _, v := range values {
		if ldapname.PermitKey(v) == ldapname.PermitKey(own) {
			return v
		}
	}
	return own
}

// rdnValue returns the value that the RDN has of an attribute.
func rdnValue(dn *ldap.DN, attribute string) (string, bool) {
	if len(dn.RDNs) == 0 {
		return "", false
	}
	for _, a := range dn.RDNs[0].Attributes {
		if ldapname.SameAttribute(a.Type, attribute) {
			return a.Value, true
		}
	}
	return "", false
}

// text makes an attribute's value fit for JSON: one that is not valid UTF-8 becomes base64, but for
// those that have a text form of their own.
func text(attribute, value string) string {
	if s, ok := dialect.Text(attribute, value); ok {
		return s
	}
	if utf8.ValidString(value) {
		return value
	}
	return base64.StdEncoding.EncodeToString([]byte(value))
}
