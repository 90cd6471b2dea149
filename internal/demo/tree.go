package demo

import (
	"fmt"

	"github.com/go-ldap/ldap/v3"
)

// entry is an entry of the directory; it never changes.
type entry struct {
	dn   string // as the LDIF spells it
	name name
	// attributes in the order in which they are returned.
	attributes []attribute
	// values by the attribute type's key.
	values map[string][]string
}

// attribute is a type and its values. Two of them share the type where the LDIF
// uses two of its names, which the sample does not.
type attribute struct {
	name   string // as the LDIF spells it
	typ    *attributeType
	values []string
}

// newEntry takes over what go-ldap has parsed. The error tells of a DN without
// the syntax of one, or of an attribute that the schema lacks.
func newEntry(s schema, parsed *ldap.Entry) (*entry, error) {
	n, err := s.parseName(parsed.DN)
	if err != nil {
		return nil, fmt.Errorf("dn %q: %w", parsed.DN, err)
	}
	e := &entry{dn: parsed.DN, name: n, values: make(map[string][]string)}
	for _, a := range parsed.Attributes {
		t, _ := s.lookup(a.Name)
		if t == nil {
			return nil, fmt.Errorf("dn %q: attribute %q is not in the schema", parsed.DN, a.Name)
		}
		e.attributes = append(e.attributes, attribute{name: a.Name, typ: t, values: a.Values})
		e.values[t.key] = append(e.values[t.key], a.Values...)
	}
	return e, nil
}

// tree is the directory's content: the root DSE and the entries below one
// suffix, parents first. It never changes once built, so it needs no lock.
type tree struct {
	schema  schema
	rootDSE *entry
	entries []*entry
	byName  map[string]*entry
}

// newTree returns a tree without entries.
func newTree(s schema) *tree {
	return &tree{schema: s, rootDSE: &entry{}, byName: make(map[string]*entry)}
}

// add appends an entry: the suffix at first, then any whose parent is there.
func (t *tree) add(parsed *ldap.Entry) error {
	e, err := newEntry(t.schema, parsed)
	if err != nil {
		return err
	}
	if t.find(e.name) != nil {
		return fmt.Errorf("dn %q: there twice", e.dn)
	}
	if len(t.entries) == 0 {
		if t.rootDSE, err = newRootDSE(t.schema, e.dn); err != nil {
			return err
		}
	} else if t.find(e.name.parent()) == nil {
		return fmt.Errorf("dn %q: its parent is not before it", e.dn)
	}
	t.entries = append(t.entries, e)
	t.byName[e.name.String()] = e
	return nil
}

// find returns the entry of that name, nil where there is none.
func (t *tree) find(n name) *entry { return t.byName[n.String()] }

// nearest returns the DN of the lowest entry above a name that is not there,
// the matchedDN of RFC 4511 section 4.1.9; empty where there is none.
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
func newRootDSE(s schema, suffix string) (*entry, error) {
	e, err := newEntry(s, ldap.NewEntry("", map[string][]string{
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
