package ldapconn

import "github.com/go-ldap/ldap/v3"

// Result is what the server answered to one operation (LDAPResult, RFC 4511 section 4.1.9). No
// result code is an error.
type Result struct {
	Code       uint16   // result code, RFC 4511 appendix A; ldap.LDAPResultSuccess is 0
	MatchedDN  string   // with noSuchObject: the part of the name that exists
	Diagnostic string   // the server's explanation, for operators; it may repeat what was sent
	Referrals  []string // with referral: URLs, the first 256 at most
	Controls   []Control
}

// SearchResult is the answer to a search. If the code is not success, as with sizeLimitExceeded
// (4), Entries and References hold what arrived before.
type SearchResult struct {
	Result
	Entries    []*ldap.Entry
	References []string // URLs of continuation references (RFC 4511 section 4.5.3), the first 256 at most; they are not followed
}

// Control is a control of a request or an answer (RFC 4511 section 4.1.11) with its value as it is
// sent. The caller decodes the values that it needs.
type Control struct {
	OID      string
	Critical bool
	Value    []byte // nil: the control has no value; empty but not nil: it has an empty one
}
