package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"authsvc/internal/ldapname"

	"github.com/go-ldap/ldap/v3"
)

// maxRangeSearches bounds the range retrieval of one login. Active Directory sends 1,500 values at
// a time, so this suffices for 75,000.
const maxRangeSearches = 50

// The errors of range retrieval.
var (
	errRange           = errors.New("the server returned a range of values that does not fit the previous ones (range retrieval)")
	errRangeChanged    = errors.New("the values changed while they were read in ranges (range retrieval), or two servers order them differently")
	errRangeSearches   = fmt.Errorf("the values require more than %d searches (range retrieval)", maxRangeSearches)
	errRangeIncomplete = errors.New("the server returned a range of the values but not the rest (range retrieval)")
)

// fetchRanges fetches the missing values of attributes of which the server sent a part (MS-ADTS
// section 3.1.1.3.1.3.3). It fails unless it gets all values.
func (l *login) fetchRanges(ctx context.Context, e *ldap.Entry, names ...string) error {
	for i, a := range e.Attributes {
		whole, part, ranged := ldapname.ParseRange(a.Name)
		if !ranged || !slices.ContainsFunc(names, func(n string) bool { return ldapname.SameDescription(n, whole) }) {
			continue
		}
		all := &ldap.EntryAttribute{Name: whole}
		err := addPart(all, a, part)
		for err == nil && part.Last != ldapname.ToLast {
			if a, part, err = l.nextPart(ctx, e.DN, whole, part.Last+1); err != nil {
				return err
			}
			err = addPart(all, a, part)
		}
		if err == nil && hasDuplicates(all.Values) {
			err = errRangeChanged
		}
		if err != nil {
			return fault(fmt.Errorf("%s: %w", whole, err))
		}
		e.Attributes[i] = all
	}
	return nil
}

// addPart appends a part, which must begin where the previous part ends.
func addPart(all, a *ldap.EntryAttribute, part ldapname.Range) error {
	if part.First != len(all.Values) || part.Last != ldapname.ToLast && part.Last-part.First+1 != len(a.Values) {
		return errRange
	}
	all.Values = append(all.Values, a.Values...)
	for _, v := range a.Values {
		all.ByteValues = append(all.ByteValues, []byte(v)) // the copy of a user's entry has no ByteValues
	}
	if textsSize(all.Values) > maxEntrySize {
		return errLargeValues
	}
	return nil
}

// nextPart reads the values of an attribute from index first.
func (l *login) nextPart(ctx context.Context, dn, attribute string, first int) (*ldap.EntryAttribute, ldapname.Range, error) {
	if l.rangeSearches++; l.rangeSearches > maxRangeSearches {
		return nil, ldapname.Range{}, fault(fmt.Errorf("%s: %w", attribute, errRangeSearches))
	}
	asked := attribute + ";range=" + ldapname.Range{First: first, Last: ldapname.ToLast}.String()
	entries, err := l.lookup(ctx, asked, ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false,
		"(objectClass=*)", []string{asked}, nil))
	if err != nil {
		return nil, ldapname.Range{}, err
	}
	if len(entries) == 1 {
		for _, a := range entries[0].Attributes {
			if whole, part, ranged := ldapname.ParseRange(a.Name); ranged && ldapname.SameDescription(whole, attribute) {
				return a, part, nil
			}
		}
	}
	return nil, ldapname.Range{}, fault(fmt.Errorf("%s: %w", attribute, errRangeIncomplete))
}

// hasDuplicates reports whether a value occurs twice. The values of an attribute are unique, so
// duplicates mean that parts overlap and others are missing.
func hasDuplicates(values []string) bool {
	seen := make(map[string]bool, len(values))
	for _, v := range values {
		if seen[v] {
			return true
		}
		seen[v] = true
	}
	return false
}
