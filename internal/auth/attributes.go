package auth

import (
	"context"
	"encoding/base64"

	"authsvc/internal/dialect"
	"authsvc/internal/ldapname"

	"github.com/go-ldap/ldap/v3"
)

// Attribute is an attribute to return of a user.
type Attribute struct {
	Name   string // an attribute description (RFC 4512 section 2.5)
	Base64 bool   // always, so that the form does not depend on the value
}

// ParseAttribute parses an item of LDAP_ATTRIBUTES, which config has checked.
func ParseAttribute(item string) Attribute {
	name, asBase64, _ := dialect.CutForm(item)
	return Attribute{Name: name, Base64: asBase64}
}

// form returns a value as the caller gets it.
func (a Attribute) form(value string) string {
	if a.Base64 {
		return base64.StdEncoding.EncodeToString([]byte(value))
	}
	return text(a.Name, value)
}

// userAttributes returns the configured attributes of the entry of a user whose password was right.
// It fetches values that the server did not send with the entry.
func (l *login) userAttributes(ctx context.Context, e *ldap.Entry) (map[string][]string, error) {
	if e == nil || len(l.attributes) == 0 {
		return nil, nil
	}
	names := make([]string, len(l.attributes))
	for i, a := range l.attributes {
		names[i] = a.Name
	}
	if err := l.fetchRanges(ctx, e, names...); err != nil {
		return nil, err
	}
	size := 0
	var all map[string][]string
	for _, a := range e.Attributes {
		if size += attributeSize + textsSize(a.Values); size > maxEntrySize {
			return nil, fault(errLargeEntry)
		}
		for _, requested := range l.attributes {
			if !ldapname.SameDescription(a.Name, requested.Name) {
				continue
			}
			if all == nil {
				all = make(map[string][]string, len(l.attributes))
			}
			all[requested.Name] = requested.appendForms(all[requested.Name], a.Values)
		}
	}
	return all, nil
}

// appendForms appends values. An entry may have some of them as ";binary" and some without.
func (a Attribute) appendForms(all, values []string) []string {
	if all == nil {
		all = make([]string, 0, len(values))
	}
	for _, v := range values {
		all = append(all, a.form(v))
	}
	return all
}
