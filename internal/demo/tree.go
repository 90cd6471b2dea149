package demo

import (
	"fmt"

	"authsvc/internal/ldapname"

	"github.com/go-ldap/ldap/v3"
)

// entry is an entry of the directory; it never changes.
type entry struct {
	dn         string // as the LDIF spells it
	name       name
	attributes []*ldap.EntryAttribute
}

// newEntry takes over what go-ldap has parsed. The error is a DN that cannot be parsed.
func newEntry(parsed *ldap.Entry) (*entry, error) {
	n, err := parseName(parsed.DN)
	if err != nil {
		return nil, fmt.Errorf("dn %q: %w", parsed.DN, err)
	}
	return &entry{dn: parsed.DN, name: n, attributes: parsed.Attributes}, nil
}

// values returns the values of an attribute, by any of its names. Entries have no attributes with
// options, such as "cn;lang-en".
func (e *entry) values(attribute string) []string {
	for _, a := range e.attributes {
		if ldapname.SameAttribute(a.Name, attribute) {
			return a.Values
		}
	}
	return nil
}

// tree is the directory's content: the root DSE and the entries below one
// suffix, parents first. It never changes once built, so it needs no lock.
type tree struct {
	rootDSE *entry
	entries []*entry
	byName  map[string]*entry
}

// newTree returns a tree without entries.
func newTree() *tree { return &tree{rootDSE: &entry{}, byName: make(map[string]*entry)} }

// add appends an entry: the suffix at first, then any whose parent is there.
func (t *tree) add(parsed *ldap.Entry) error {
	e, err := newEntry(parsed)
	if err != nil {
		return err
	}
	if t.find(e.name) != nil {
		return fmt.Errorf("dn %q: occurs twice", e.dn)
	}
	if len(t.entries) == 0 {
		if t.rootDSE, err = newRootDSE(e.dn); err != nil {
			return err
		}
	} else if t.find(e.name.parent()) == nil {
		return fmt.Errorf("dn %q: its parent must come before it", e.dn)
	}
	t.entries = append(t.entries, e)
	t.byName[e.name.String()] = e
	return nil
}

// find returns the entry of that name, or nil.
func (t *tree) find(n name) *entry { return t.byName[n.String()] }

// nearest returns the DN of the lowest entry above a name that is not there, the matchedDN of RFC
// 4511 section 4.1.9, or an empty one.
func (t *tree) nearest(n name) string {
	for len(n) > 0 {
		n = n.parent()
		if e := t.find(n); e != nil {
			return e.dn
		}
	}
	return ""
}

// newRootDSE describes the server (RFC 4512 section 5.1).
func newRootDSE(suffix string) (*entry, error) {
	e, err := newEntry(ldap.NewEntry("", map[string][]string{
		"objectClass":          {"top"},
		"namingContexts":       {suffix},
		"supportedLDAPVersion": {"3"},
		"vendorName":           {"authsvc demo"},
	}))
	if err != nil {
		return nil, fmt.Errorf("root DSE: %w", err)
	}
	return e, nil
}
