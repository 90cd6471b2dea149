package demo

import (
	"errors"
	"slices"
	"strings"

	"authsvc/internal/ldapname"
	"authsvc/internal/ldapserver"

	"github.com/go-ldap/ldap/v3"
)

// search answers a search request. An anonymous client sees the root DSE and nothing else.
func (t *tree) search(req ldapserver.Request, anonymous bool) ([]*entry, ldapserver.Result) {
	base, err := parseName(req.DN)
	if err != nil {
		return nil, ldapserver.Result{Code: ldap.LDAPResultInvalidDNSyntax, Diagnostic: "invalid DN"}
	}
	if req.Scope < ldap.ScopeBaseObject || req.Scope > ldap.ScopeChildren {
		return nil, ldapserver.Result{Code: ldap.LDAPResultProtocolError, Diagnostic: "invalid scope"}
	}
	candidates, ok := t.candidates(base, req.Scope, anonymous)
	if !ok {
		absent := ldapserver.Result{Code: ldap.LDAPResultNoSuchObject}
		if !anonymous {
			absent.MatchedDN = t.nearest(base)
		}
		return nil, absent
	}
	if err := checkFilter(req.FilterPacket); errors.Is(err, errFilterKind) {
		return nil, ldapserver.Result{Code: ldap.LDAPResultUnwillingToPerform, Diagnostic: err.Error()}
	} else if err != nil {
		return nil, ldapserver.Result{Code: ldap.LDAPResultProtocolError, Diagnostic: err.Error()}
	}
	var found []*entry
	for _, e := range candidates {
		if !e.matches(req.FilterPacket) {
			continue
		}
		if req.SizeLimit > 0 && len(found) == req.SizeLimit {
			return found, ldapserver.Result{Code: ldap.LDAPResultSizeLimitExceeded}
		}
		found = append(found, e)
	}
	return found, ldapserver.Result{Code: ldap.LDAPResultSuccess}
}

// candidates returns the entries in scope. It returns false if the base does not exist or the
// client may not see it, which slapd answers alike.
func (t *tree) candidates(base name, scope int, anonymous bool) ([]*entry, bool) {
	if len(base) == 0 {
		return []*entry{t.rootDSE}, scope == ldap.ScopeBaseObject
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

// inScope reports whether the scope reaches a name from the base. ScopeChildren is every entry
// below the base (draft-sermersheim-ldap-subordinate-scope).
func inScope(n, base name, scope int) bool {
	depth := len(n) - len(base)
	switch {
	case !n.within(base):
		return false
	case scope == ldap.ScopeBaseObject:
		return depth == 0
	case scope == ldap.ScopeSingleLevel:
		return depth == 1
	case scope == ldap.ScopeChildren:
		return depth > 0
	default:
		return true
	}
}

// selected returns the entry with the attributes that a request asks for (RFC 4511 section
// 4.5.1.8): none or "*" is all user attributes, "+" all operational ones, "1.1" alone is none. A
// password is never among them.
func (e *entry) selected(req ldapserver.Request) ldapserver.Entry {
	allUser := len(req.Attributes) == 0 || slices.Contains(req.Attributes, "*")
	allOperational := slices.Contains(req.Attributes, "+")
	out := ldapserver.Entry{DN: e.dn, Attributes: make(map[string][]string)}
	for _, a := range e.attributes {
		all := allUser
		if isOperational(a.Name) {
			all = allOperational
		}
		named := func(asked string) bool { return ldapname.SameAttribute(asked, a.Name) }
		if isPassword(a.Name) || !all && !slices.ContainsFunc(req.Attributes, named) {
			continue
		}
		if !req.TypesOnly {
			out.Attributes[a.Name] = a.Values
		} else {
			out.Attributes[a.Name] = nil
		}
	}
	return out
}

// passwordAttribute is compared by binds alone: no search returns it and no filter sees it.
const passwordAttribute = "userPassword"

func isPassword(attribute string) bool { return ldapname.SameAttribute(attribute, passwordAttribute) }

// isOperational reports whether an attribute is returned only if it is asked for (RFC 4512 section
// 3.4). Only the root DSE has such attributes.
func isOperational(attribute string) bool {
	switch strings.ToLower(attribute) {
	case "vendorname", "supportedldapversion", "namingcontexts":
		return true
	}
	return false
}
