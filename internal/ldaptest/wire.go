package ldaptest

import (
	"authsvc/internal/ldapserver"
)

// What goes over the wire is [ldapserver]'s. These names are for the tests' convenience.
type (
	// Handler answers a request, or does not.
	Handler = ldapserver.Handler
	// Conn is a client's connection, seen from the server.
	Conn = ldapserver.Conn
	// Request is one message from a client.
	Request = ldapserver.Request
	// Op is an operation, as the application tag of its request.
	Op = ldapserver.Op
	// Control is a response control with its value already encoded.
	Control = ldapserver.Control
	// Entry is an entry of a directory.
	Entry = ldapserver.Entry
)

// The operations that a [Request] is decoded for, and the OIDs of extended operations.
const (
	OpBind     = ldapserver.OpBind
	OpUnbind   = ldapserver.OpUnbind
	OpSearch   = ldapserver.OpSearch
	OpAbandon  = ldapserver.OpAbandon
	OpExtended = ldapserver.OpExtended

	StartTLSOID = ldapserver.StartTLSOID
	NoticeOID   = ldapserver.NoticeOID
	WhoAmIOID   = ldapserver.WhoAmIOID
)

// BindResponse encodes the answer to a bind.
func BindResponse(id int64, code uint16, diagnostic string, controls ...Control) []byte {
	return ldapserver.BindResponse(id, code, diagnostic, controls...)
}

// SearchEntry encodes one entry found.
func SearchEntry(id int64, e Entry) []byte { return ldapserver.SearchEntry(id, e) }

// SearchReference encodes a reference to where the search may go on.
func SearchReference(id int64, uris ...string) []byte {
	return ldapserver.SearchReference(id, uris...)
}

// SearchDone encodes the end of a search.
func SearchDone(id int64, code uint16, diagnostic string, controls ...Control) []byte {
	return ldapserver.SearchDone(id, code, diagnostic, controls...)
}

// ExtendedResponse encodes the answer to an extended request.
func ExtendedResponse(id int64, code uint16, diagnostic, oid string, value []byte) []byte {
	return ldapserver.ExtendedResponse(id, code, diagnostic, oid, value)
}

// NoticeOfDisconnection encodes the message that a server sends unasked before it closes.
func NoticeOfDisconnection(code uint16, diagnostic string) []byte {
	return ldapserver.NoticeOfDisconnection(code, diagnostic)
}
