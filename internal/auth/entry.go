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

// maxEntrySize bounds the memory of the user's entry in a login, in bytes: 1 MiB of attributes, and
// 64 KiB for the DN and overhead.
const maxEntrySize = 1<<20 + 64<<10

// The memory overhead of a value and of an attribute, in bytes, so that empty ones count too.
const (
	stringSize    = 16
	attributeSize = 72
)

// errLargeEntry is the cause of a fault.
var errLargeEntry = errors.New("the requested attributes of the user's entry exceed 1 MiB: request fewer or smaller ones in LDAP_ATTRIBUTES")

// addFound adds entries that were not found before, since bases may overlap. It keeps two at most,
// because a server that ignores the limit may send any number. It fails if one is larger than
// maxEntrySize.
func (l *login) addFound(found, more []*ldap.Entry) ([]*ldap.Entry, error) {
	for _, e := range more {
		same := func(f *ldap.Entry) bool { return ldapname.PermitDNKey(f.DN) == ldapname.PermitDNKey(e.DN) }
		if len(found) < 2 && !slices.ContainsFunc(found, same) {
			kept, ok := l.copyEntry(e)
			if !ok {
				return nil, fault(errLargeEntry)
			}
			found = append(found, kept)
		}
	}
	return found, nil
}

// copyEntry copies the DN and the requested attributes of an entry, which later steps need, so that
// a waiting login does not hold the whole answer in memory. ok is false if the copy exceeds
// maxEntrySize.
func (l *login) copyEntry(e *ldap.Entry) (kept *ldap.Entry, ok bool) {
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

// textsSize estimates the memory of texts, in bytes.
func textsSize(texts []string) (size int) {
	for _, s := range texts {
		size += stringSize + len(s)
	}
	return size
}

// identityOf returns the identity of an entry, without attributes and groups.
func (l *login) identityOf(e *ldap.Entry) identity {
	id := identity{user: User{DN: e.DN}, entry: e}
	u := &id.user
	for _, a := range e.Attributes {
		if ldapname.SameDescription(a.Name, l.cfg.NameAttribute) && len(a.Values) > 0 {
			u.Username = text(a.Name, ownName(a.Values, l.cfg.NameAttribute, e.DN))
		}
	}
	if u.Username == "" {
		u.Username, id.unnamed = nameInDN(e.DN, l.cfg.NameAttribute)
	}
	return id
}

// nameInDN returns the name of an entry that shows no name attribute: the value of the name
// attribute in its RDN, or else of another attribute; then unnamed is true. The RDN is the entry's
// own (RFC 4512 section 2.3.2). The typed name may be another user's, because the filter may match
// an attribute that users can set.
func nameInDN(entry, attribute string) (name string, unnamed bool) {
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

// ownName returns the value of an entry's name attribute that is its name: if there are several,
// the one in its RDN, which has only one (RFC 4512 section 2.3). Users may be allowed to add values
// to an attribute, and the order of values has no meaning.
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

// rdnValue returns the value of an attribute in the RDN.
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

// text converts an attribute's value for JSON: to its own text form if it has one, and to base64 if
// it is not valid UTF-8.
func text(attribute, value string) string {
	if s, ok := dialect.Text(attribute, value); ok {
		return s
	}
	if utf8.ValidString(value) {
		return value
	}
	return base64.StdEncoding.EncodeToString([]byte(value))
}
