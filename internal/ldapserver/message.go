package ldapserver

import (
	"maps"
	"slices"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// OIDs of the extended operations that the server knows.
const (
	// StartTLSOID names StartTLS (RFC 4511, section 4.14.1).
	StartTLSOID = "1.3.6.1.4.1.1466.20037"
	// NoticeOID names the Notice of Disconnection (RFC 4511, section 4.4.1).
	NoticeOID = "1.3.6.1.4.1.1466.20036"
	// WhoAmIOID names Who am I? (RFC 4532).
	WhoAmIOID = "1.3.6.1.4.1.4203.1.11.3"
)

// Control is a response control with its value already encoded.
type Control struct {
	OID   string
	Value []byte // left out if nil
}

// Entry is an entry of a directory.
type Entry struct {
	DN string
	// Attributes maps a name, spelt as the server returns it, to its values.
	Attributes map[string][]string
}

// Result is the end of an operation (RFC 4511, section 4.1.9).
type Result struct {
	Code       uint16
	MatchedDN  string
	Diagnostic string
}

// Response encodes the answer to an operation, or nil if the operation has none.
func Response(id int64, op Op, r Result) []byte {
	tag := ber.Tag(op) + 1
	switch op {
	case OpUnbind, OpAbandon:
		return nil
	case OpSearch:
		tag = ldap.ApplicationSearchResultDone
	}
	return message(id, ldapResult(tag, r), nil)
}

// BindResponse encodes the answer to a bind.
func BindResponse(id int64, code uint16, diagnostic string, controls ...Control) []byte {
	return message(id, ldapResult(ldap.ApplicationBindResponse, Result{Code: code, Diagnostic: diagnostic}), controls)
}

// SearchEntry encodes one entry found, with its attributes in the order of their names.
func SearchEntry(id int64, e Entry) []byte {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
	op.AppendChild(octets(e.DN))
	attrs := ber.NewSequence("")
	for _, name := range slices.Sorted(maps.Keys(e.Attributes)) {
		values := e.Attributes[name]
		set := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		for _, v := range values {
			set.AppendChild(octets(v))
		}
		attr := ber.NewSequence("")
		attr.AppendChild(octets(name))
		attr.AppendChild(set)
		attrs.AppendChild(attr)
	}
	op.AppendChild(attrs)
	return message(id, op, nil)
}

// SearchReference encodes a reference to where the search may go on, as AD
// sends with each search from its domain's root.
func SearchReference(id int64, uris ...string) []byte {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultReference, nil, "")
	for _, uri := range uris {
		op.AppendChild(octets(uri))
	}
	return message(id, op, nil)
}

// SearchDone encodes the end of a search.
func SearchDone(id int64, code uint16, diagnostic string, controls ...Control) []byte {
	return message(id, ldapResult(ldap.ApplicationSearchResultDone, Result{Code: code, Diagnostic: diagnostic}), controls)
}

// ExtendedResponse encodes the answer to an extended request, without
// responseName if oid is empty and without responseValue if value is nil.
func ExtendedResponse(id int64, code uint16, diagnostic, oid string, value []byte) []byte {
	op := ldapResult(ldap.ApplicationExtendedResponse, Result{Code: code, Diagnostic: diagnostic})
	if oid != "" {
		op.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 10, oid, ""))
	}
	if value != nil {
		op.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 11, string(value), ""))
	}
	return message(id, op, nil)
}

// NoticeOfDisconnection encodes the message that a server sends unasked
// before it closes (RFC 4511, section 4.4.1). The code is unavailable (52) for
// a shutdown, protocolError (2) or strongerAuthRequired (8).
func NoticeOfDisconnection(code uint16, diagnostic string) []byte {
	return ExtendedResponse(0, code, diagnostic, NoticeOID, nil)
}

// message wraps an operation into an LDAPMessage.
func message(id int64, op *ber.Packet, controls []Control) []byte {
	p := ber.NewSequence("")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	p.AppendChild(op)
	if len(controls) > 0 {
		list := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		for _, c := range controls {
			control := ber.NewSequence("")
			control.AppendChild(octets(c.OID))
			if c.Value != nil {
				control.AppendChild(octets(string(c.Value)))
			}
			list.AppendChild(control)
		}
		p.AppendChild(list)
	}
	return p.Bytes()
}

// ldapResult is an LDAPResult under the given application tag.
func ldapResult(tag ber.Tag, r Result) *ber.Packet {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, int64(r.Code), ""))
	op.AppendChild(octets(r.MatchedDN))
	op.AppendChild(octets(r.Diagnostic))
	return op
}

func octets(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}
