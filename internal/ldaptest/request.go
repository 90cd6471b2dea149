package ldaptest

import (
	"errors"
	"fmt"

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

// String is the operation's name: "bind", or "op 6" for one not listed here.
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
	// Scope, SizeLimit, Filter (as text) and Attributes are a search's.
	Scope, SizeLimit int
	Filter           string
	Attributes       []string
	// Extended is the OID of an extended request.
	Extended string
	// AbandonID is the message that an abandon gives up.
	AbandonID int64
	// Controls are the OIDs of the request's controls.
	Controls []string
	// Packet is the whole message.
	Packet *ber.Packet
}

// parseRequest reads a message. It trusts the client's shape: a test's client
// is no attacker, and a wrong one only loses its connection.
func parseRequest(p *ber.Packet) (req Request, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed request: %v", r)
		}
	}()
	op := p.Children[1]
	if op.ClassType != ber.ClassApplication {
		return req, errors.New("malformed request: no application tag")
	}
	req = Request{MessageID: p.Children[0].Value.(int64), Op: Op(op.Tag), Packet: p}
	switch req.Op {
	case OpBind:
		req.parseBind(op)
	case OpSearch:
		err = req.parseSearch(op)
	case OpAbandon:
		req.AbandonID, err = ber.ParseInt64(op.Data.Bytes())
	case OpExtended:
		req.Extended = op.Children[0].Data.String()
	}
	if len(p.Children) > 2 {
		for _, control := range p.Children[2].Children {
			req.Controls = append(req.Controls, control.Children[0].Data.String())
		}
	}
	return req, err
}

func (req *Request) parseBind(op *ber.Packet) {
	req.DN = op.Children[1].Data.String()
	auth := op.Children[2]
	const simple, sasl = 0, 3 // AuthenticationChoice, RFC 4511, section 4.2
	switch auth.Tag {
	case simple:
		req.Password = auth.Data.String()
	case sasl:
		req.SASL = auth.Children[0].Data.String()
	}
}

func (req *Request) parseSearch(op *ber.Packet) error {
	req.DN = op.Children[0].Data.String()
	req.Scope = int(op.Children[1].Value.(int64))
	req.SizeLimit = int(op.Children[3].Value.(int64))
	for _, a := range op.Children[7].Children {
		req.Attributes = append(req.Attributes, a.Data.String())
	}
	var err error
	req.Filter, err = ldap.DecompileFilter(op.Children[6])
	return err
}

// HasControl says whether the request carries a control of that OID.
func (req Request) HasControl(oid string) bool {
	for _, c := range req.Controls {
		if c == oid {
			return true
		}
	}
	return false
}

// filter is the filter of a search, undecoded.
func (req Request) filter() *ber.Packet { return req.Packet.Children[1].Children[6] }

// typesOnly says whether a search asked for attribute names without values.
func (req Request) typesOnly() bool {
	only, ok := req.Packet.Children[1].Children[5].Value.(bool)
	return ok && only
}
