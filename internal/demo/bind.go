package demo

import (
	"crypto/sha256"
	"crypto/subtle"
	"sync"

	"github.com/jimlambrt/gldap"
)

// sessions holds who is bound on which connection, by gldap's connection number.
// A connection without an entry is anonymous.
type sessions struct {
	mu    sync.Mutex
	bound map[int]*entry // guarded by mu
}

// newSessions returns sessions in which everybody is anonymous.
func newSessions() *sessions { return &sessions{bound: make(map[int]*entry)} }

// set records a bind's outcome: nil makes the connection anonymous, as a bind
// that failed does (RFC 4511 section 4.2.1).
func (s *sessions) set(conn int, who *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if who == nil {
		delete(s.bound, conn)
		return
	}
	s.bound[conn] = who
}

// anonymous reports whether nobody is bound on the connection.
func (s *sessions) anonymous(conn int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bound[conn] == nil
}

// bind judges a simple bind as slapd does. It returns the entry to bind the
// connection as, nil for anonymous, with the result code and a text for people.
func (t *tree) bind(dn, password string) (who *entry, code int, diagnostic string) {
	n, err := t.schema.parseName(dn)
	switch {
	case err != nil:
		return nil, gldap.ResultInvalidDNSyntax, "invalid DN"
	case len(n) == 0 && password == "":
		return nil, gldap.ResultSuccess, ""
	case len(n) == 0:
		return nil, gldap.ResultInvalidCredentials, ""
	case password == "": // RFC 4513 section 5.1.2
		return nil, gldap.ResultUnwillingToPerform,
			"unauthenticated bind (DN with no password) disallowed"
	}
	e := t.find(n)
	if !e.hasPassword(password) {
		return nil, gldap.ResultInvalidCredentials, ""
	}
	return e, gldap.ResultSuccess, ""
}

// hasPassword reports whether the password is the entry's. It takes the same
// time for a wrong one, for an entry without one, and for no entry (nil).
func (e *entry) hasPassword(password string) bool {
	stored := []string{""}
	known := e != nil && len(e.values[passwordAttribute]) > 0
	if known {
		stored = e.values[passwordAttribute]
	}
	given := sha256.Sum256([]byte(password))
	equal := 0
	for _, s := range stored {
		want := sha256.Sum256([]byte(s))
		equal |= subtle.ConstantTimeCompare(given[:], want[:])
	}
	return known && equal == 1
}
