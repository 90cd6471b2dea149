package ldaptest

import (
	"slices"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// Malformed is an answer that no correct server gives.
type Malformed struct {
	// Name says what is wrong, fit for a subtest.
	Name string
	// Bytes is the answer to the request with that message id.
	Bytes func(id int64) []byte
}

// MalformedAnswers lists every answer below, for tests that go through all.
// Each answers a bind; not one of them may count as a bind that succeeded.
func MalformedAnswers() []Malformed {
	fixed := func(b []byte) func(int64) []byte { return func(int64) []byte { return b } }
	return []Malformed{
		{"half a message", HalfMessage},
		{"garbage", fixed(Garbage())},
		{"endless length", fixed(EndlessLength())},
		{"wrong message id", WrongMessageID},
		{"message id 0", MessageIDZero},
		{"message id is text", fixed(TextMessageID())},
		{"empty sequence", fixed(EmptySequence())},
		{"indefinite length", fixed(IndefiniteLength())},
		{"deep nesting", fixed(DeepNesting(maxDepth))},
		{"envelope without operation", NoOperation},
		{"result code as text", TextResultCode},
		{"result code out of range", HugeResultCode},
		{"result without fields", EmptyResult},
		{"extended response to a bind", ExtendedToBind},
		{"search done to a bind", SearchDoneToBind},
		{"undecodable password policy control", BadPolicyControl},
		{"control without type", EmptyControl},
	}
}

// maxDepth nests deeper than any decoder should follow.
const maxDepth = 100_000

// HalfMessage is the first half of a bind's success.
func HalfMessage(id int64) []byte {
	b := BindResponse(id, ldap.LDAPResultSuccess, "")
	return b[:len(b)/2]
}

// Garbage is no BER at all, though its first bytes are read as a tag and length.
func Garbage() []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") }

// EndlessLength begins a message of 2 GiB.
func EndlessLength() []byte { return []byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff} }

// WrongMessageID is a bind's success under an id that nobody used.
func WrongMessageID(id int64) []byte {
	return BindResponse(id+1000, ldap.LDAPResultSuccess, "")
}

// MessageIDZero is a bind's success under the id of unsolicited notifications.
func MessageIDZero(int64) []byte { return BindResponse(0, ldap.LDAPResultSuccess, "") }

// TextMessageID has a string where the message id belongs; go-ldap skips it.
func TextMessageID() []byte { return []byte{0x30, 0x03, 0x04, 0x01, 'x'} }

// EmptySequence is a message without anything in it; go-ldap skips it.
func EmptySequence() []byte { return []byte{0x30, 0x00} }

// IndefiniteLength begins a message that RFC 4511, section 5.1, forbids.
func IndefiniteLength() []byte {
	return []byte{0x30, 0x80, 0x02, 0x01, 0x01, 0x61, 0x80}
}

// DeepNesting is depth sequences of indefinite length, one inside the other.
func DeepNesting(depth int) []byte {
	b := make([]byte, 0, 2*depth)
	for range depth {
		b = append(b, 0x30, 0x80)
	}
	return b
}

// NoOperation is a message of an id alone.
func NoOperation(id int64) []byte { return envelope(id) }

// TextResultCode has a string for a result code.
func TextResultCode(id int64) []byte {
	return envelope(id, 0x61, 0x07, 0x04, 0x01, '0', 0x04, 0x00, 0x04, 0x00)
}

// HugeResultCode has the result code 65536, which is 0 in 16 bits.
func HugeResultCode(id int64) []byte {
	return envelope(id, 0x61, 0x09, 0x0a, 0x03, 0x01, 0x00, 0x00, 0x04, 0x00, 0x04, 0x00)
}

// EmptyResult is a bind response without result code.
func EmptyResult(id int64) []byte { return envelope(id, 0x61, 0x00) }

// ExtendedToBind is the success of an operation that was not asked for.
func ExtendedToBind(id int64) []byte {
	return ExtendedResponse(id, ldap.LDAPResultSuccess, "", "", nil)
}

// SearchDoneToBind is the success of an operation that was not asked for.
func SearchDoneToBind(id int64) []byte {
	return SearchDone(id, ldap.LDAPResultSuccess, "")
}

// BadPolicyControl is a bind's success with a password policy control whose
// error, 9, is out of range.
func BadPolicyControl(id int64) []byte {
	return BindResponse(id, ldap.LDAPResultSuccess, "",
		Control{OID: ldap.ControlTypeBeheraPasswordPolicy, Value: []byte{0x30, 0x03, 0x81, 0x01, 0x09}})
}

// EmptyControl is a bind's success with a control that has no type.
func EmptyControl(id int64) []byte {
	return envelope(id, 0x61, 0x07, 0x0a, 0x01, 0x00, 0x04, 0x00, 0x04, 0x00, 0xa0, 0x02, 0x30, 0x00)
}

// envelope is an LDAPMessage around bytes as they are, up to 120 of them.
func envelope(id int64, rest ...byte) []byte {
	number := ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, "").Bytes()
	body := slices.Concat(number, rest)
	return append([]byte{0x30, byte(len(body))}, body...)
}
