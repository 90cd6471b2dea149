package demo

import (
	"crypto/sha256"
	"crypto/subtle"

	"authsvc/internal/ldapserver"

	"github.com/go-ldap/ldap/v3"
)

// bind judges a simple bind as slapd does.
func (t *tree) bind(dn, password string) ldapserver.Result {
	n, err := parseName(dn)
	switch {
	case err != nil:
		return ldapserver.Result{Code: ldap.LDAPResultInvalidDNSyntax, Diagnostic: "invalid DN"}
	case len(n) == 0 && password == "":
		return ldapserver.Result{Code: ldap.LDAPResultSuccess}
	case len(n) == 0:
		return ldapserver.Result{Code: ldap.LDAPResultInvalidCredentials}
	case password == "": // RFC 4513 section 5.1.2
		return ldapserver.Result{
			Code:       ldap.LDAPResultUnwillingToPerform,
			Diagnostic: "unauthenticated bind (DN with no password) disallowed",
		}
	case !t.find(n).hasPassword(password):
		return ldapserver.Result{Code: ldap.LDAPResultInvalidCredentials}
	}
	return ldapserver.Result{Code: ldap.LDAPResultSuccess}
}

// hasPassword reports whether the password is the entry's. It takes the same
// time for a wrong one, for an entry without one, and for no entry (nil).
func (e *entry) hasPassword(password string) bool {
	stored := []string{""}
	known := e != nil && len(e.values(passwordAttribute)) > 0
	if known {
		stored = e.values(passwordAttribute)
	}
	given := sha256.Sum256([]byte(password))
	equal := 0
	for _, s := range stored {
		want := sha256.Sum256([]byte(s))
		equal |= subtle.ConstantTimeCompare(given[:], want[:])
	}
	return known && equal == 1
}
