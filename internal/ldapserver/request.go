package ldapserver

import (
	"errors"
	"fmt"
	"slices"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// Op is an operation of RFC 4511, as the application tag of its request.
type Op ber.Tag

// The operations that a [Request] is decoded for.
const (
	OpBind     Op = ldap.ApplicationBindRequest
	OpUnbind   Op = ldap.ApplicationUnbindRequest
	OpSearch   Op = ldap.ApplicationSearchRequest
	OpAbandon  Op = ldap.ApplicationAbandonRequest
	OpExtended Op = ldap.ApplicationExtendedRequest
)

// String returns the operation's name: "bind", or "op 6" for one that is not listed here.
func (op Op) String() string {
	switch op {
	case OpBind:
		return "bind"
	case OpUnbind:
		return "unbind"
	case OpSearch:
		return "search"
	case OpAbandon:
		return "abandon"
	case OpExtended:
		return "extended"
	}
	return fmt.Sprintf("op %d", uint64(op))
}

// Request is one message from a client (RFC 4511, section 4.1.1).
type Request struct {
	// MessageID is the number that the answer must carry.
	MessageID int64
	// Op says which of the other fields are set.
	Op Op
	// DN is the name of a bind or the base of a search.
	DN string
	// Password is the credentials of a simple bind.
	Password string
	// SASL is the mechanism of a SASL bind, empty for a simple one.
	SASL string
	// Scope, SizeLimit, TypesOnly and Attributes are a search's.
	Scope, SizeLimit int
	TypesOnly        bool
	Attributes       []string
	// FilterPacket is the filter of a search as it came; its parts are not checked. Filter is its
	// text, empty if go-ldap cannot decompile it.
	FilterPacket *ber.Packet
	Filter       string
	// Extended is the OID of an extended request.
	Extended string
	// AbandonID is the message that an abandon gives up.
	AbandonID int64
	// Controls are the OIDs of the request's controls.
	Controls []string
	// Packet is the whole message.
	Packet *ber.Packet
}

// HasControl reports whether the request carries a control of that OID.
func (req Request) HasControl(oid string) bool { return slices.Contains(req.Controls, oid) }

var errRequest = errors.New("malformed request")

// parseRequest decodes a message.
func parseRequest(p *ber.Packet) (Request, error) {
	message := fields{left: p.Children}
	req := Request{MessageID: message.number(), Packet: p}
	op := message.next()
	if op.ClassType != ber.ClassApplication {
		return req, errRequest
	}
	req.Op = Op(op.Tag)
	body := fields{left: op.Children}
	switch req.Op {
	case OpBind:
		req.parseBind(&body)
	case OpSearch:
		req.parseSearch(&body)
	case OpAbandon:
		id, err := ber.ParseInt64(octetsOf(op))
		req.AbandonID, body.failed = id, err != nil
	case OpExtended:
		req.Extended = body.text()
	}
	if len(message.left) > 0 {
		for _, control := range message.next().Children {
			oid := fields{left: control.Children}
			req.Controls = append(req.Controls, oid.text())
			message.failed = message.failed || oid.failed
		}
	}
	if message.failed || body.failed {
		return req, errRequest
	}
	return req, nil
}

func (req *Request) parseBind(body *fields) {
	body.number() // the version
	req.DN = body.text()
	auth := body.next()
	const simple, sasl = 0, 3 // AuthenticationChoice, RFC 4511, section 4.2
	switch auth.Tag {
	case simple:
		req.Password = string(octetsOf(auth))
	case sasl:
		mechanism := fields{left: auth.Children}
		req.SASL = mechanism.text()
		body.failed = body.failed || mechanism.failed
	}
}

func (req *Request) parseSearch(body *fields) {
	req.DN = body.text()
	req.Scope = int(body.number())
	body.number() // whether to follow aliases
	req.SizeLimit = int(body.number())
	body.number() // the time limit
	req.TypesOnly, _ = body.next().Value.(bool)
	req.FilterPacket = body.next()
	for _, a := range body.next().Children {
		req.Attributes = append(req.Attributes, string(octetsOf(a)))
	}
	if !body.failed {
		req.Filter, _ = ldap.DecompileFilter(req.FilterPacket) // which does not know every filter
	}
}

// fields reads the parts of a sequence in turn. What is missing or of the wrong type sets failed.
type fields struct {
	left   []*ber.Packet
	failed bool
}

func (f *fields) next() *ber.Packet {
	if len(f.left) == 0 {
		f.failed = true
		return new(ber.Packet)
	}
	p := f.left[0]
	f.left = f.left[1:]
	return p
}

// number reads an INTEGER or ENUMERATED.
func (f *fields) number() int64 {
	n, ok := f.next().Value.(int64)
	f.failed = f.failed || !ok
	return n
}

// text reads an OCTET STRING, which may have a tag of its context.
func (f *fields) text() string {
	p := f.next()
	f.failed = f.failed || p.TagType != ber.TypePrimitive
	return string(octetsOf(p))
}

// octetsOf returns the content of a primitive element.
func octetsOf(p *ber.Packet) []byte {
	if p.Data == nil {
		return nil
	}
	return p.Data.Bytes()
}
