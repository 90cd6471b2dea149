package ldapconn

import (
	"errors"
	"fmt"
	"slices"
)

// Tags of the elements of messages (RFC 4511 section 5.1 and appendix B).
const (
	tagBoolean     = 0x01
	tagInteger     = 0x02
	tagOctetString = 0x04
	tagEnumerated  = 0x0a
	tagSequence    = 0x30
	tagSet         = 0x31

	tagBindRequest     = 0x60
	tagBindResponse    = 0x61
	tagUnbindRequest   = 0x42
	tagSearchRequest   = 0x63
	tagSearchEntry     = 0x64
	tagSearchDone      = 0x65
	tagSearchReference = 0x73
	tagExtendedRequest = 0x77
	tagExtendedAnswer  = 0x78

	tagSimple      = 0x80 // [0] of BindRequest: the password
	tagSASL        = 0xa3 // [3] of BindRequest: mechanism and credentials
	tagRequestName = 0x80 // [0] of ExtendedRequest
	tagControls    = 0xa0 // [0] of LDAPMessage
	tagReferral    = 0xa3 // [3] of LDAPResult
)

var (
	errNotLDAP = errors.New("not an LDAP message")
	errTooLong = fmt.Errorf("message longer than %d bytes", maxAnswer)
)

// appendElement appends a whole element.
func appendElement[T string | []byte](b []byte, tag byte, content T) []byte {
	b, at := openElement(b, tag)
	return closeElement(append(b, content...), at)
}

// appendInteger appends a non-negative INTEGER or ENUMERATED in as few bytes as it needs.
func appendInteger(b []byte, tag byte, value int) []byte {
	n := 1
	for v := value; v > 0x7f; v >>= 8 {
		n++
	}
	b = append(b, tag, byte(n))
	for n--; n >= 0; n-- {
		b = append(b, byte(value>>(8*n))) //nolint:gosec // the byte that is next
	}
	return b
}

// openElement appends the tag of an element and one byte for its length. What is appended up to
// closeElement is its content.
func openElement(b []byte, tag byte) (_ []byte, at int) {
	return append(b, tag, 0), len(b) + 2
}

// closeElement writes the length of the element whose content began at at. It moves the content if
// the length takes more than one byte.
func closeElement(b []byte, at int) []byte {
	length := len(b) - at
	if length < 0x80 {
		b[at-1] = byte(length) //nolint:gosec // it is less than 128
		return b
	}
	octets := make([]byte, 0, 4)
	for v := length; v > 0; v >>= 8 {
		octets = append(octets, byte(v))
	}
	slices.Reverse(octets)
	b[at-1] = 0x80 | byte(len(octets)) //nolint:gosec // there are 4 at most
	return slices.Insert(b, at, octets...)
}

// element is an element of a message: its tag, and where its content is.
type element struct {
	tag        byte
	start, end int
}

// elements reads elements that follow one another, and counts them. Its errors are errNotLDAP and
// errTooMany.
type elements struct {
	b       []byte
	at, end int
	count   *int // of the answer
}

// more reports whether another element follows.
func (e *elements) more() bool { return e.at < e.end }

// next reads the next element: a tag of one byte, and a definite length (RFC 4511 section 5.1) that
// does not reach past the end.
func (e *elements) next() (element, error) {
	if *e.count++; *e.count > maxElements {
		return element{}, errTooMany
	}
	if e.at >= e.end {
		return element{}, errNotLDAP
	}
	tag := e.b[e.at]
	length, size, err := readLength(e.b[e.at+1 : e.end])
	if err != nil || size == 0 || tag == 0 || tag&0x1f == 0x1f || length > e.end-e.at-1-size {
		return element{}, errNotLDAP
	}
	found := element{tag: tag, start: e.at + 1 + size, end: e.at + 1 + size + length}
	e.at = found.end
	return found, nil
}

// take reads the next element, which must have that tag.
func (e *elements) take(tag byte) (element, error) {
	found, err := e.next()
	if err == nil && found.tag != tag {
		err = errNotLDAP
	}
	return found, err
}

// within returns the elements of which a constructed element consists.
func (e *elements) within(outer element) elements {
	return elements{b: e.b, at: outer.start, end: outer.end, count: e.count}
}

// octets returns an element's content, which stays part of the message.
func (e *elements) octets(of element) []byte { return e.b[of.start:of.end] }

// integer reads a non-negative INTEGER or ENUMERATED of up to four bytes, whose length is one byte.
func (e *elements) integer(tag byte) (int, error) {
	at := e.at
	found, err := e.take(tag)
	size := found.end - found.start
	if err != nil || found.start != at+2 || size < 1 || size > 4 || e.b[found.start]&0x80 != 0 {
		return 0, errNotLDAP
	}
	value := 0
	for _, octet := range e.octets(found) {
		value = value<<8 | int(octet)
	}
	return value, nil
}

// messageSize returns the size of the message that begins b, with its tag and length: 0 while b is
// too short.
func messageSize(b []byte) (int, error) {
	if b[0] != tagSequence {
		return 0, errNotLDAP
	}
	length, size, err := readLength(b[1:])
	if err != nil || size == 0 {
		return 0, err
	}
	return 1 + size + length, nil
}

// operationTag returns the tag of the operation in the message that begins b: 0 while b is too
// short.
func operationTag(b []byte) byte {
	_, size, _ := readLength(b[1:])
	if size == 0 || len(b) < 3+size {
		return 0
	}
	at := 3 + size + int(b[2+size]) // after the message ID; a longer one is rejected with its message
	if at >= len(b) {
		return 0
	}
	return b[at]
}

// readLength reads a definite length and how many bytes it is written in: 0 while b is too short.
func readLength(b []byte) (length, size int, err error) {
	if len(b) == 0 {
		return 0, 0, nil
	}
	if b[0] < 0x80 {
		return int(b[0]), 1, nil
	}
	n := int(b[0] & 0x7f)
	if n == 0 || n > 4 {
		return 0, 0, errNotLDAP
	}
	if len(b) < 1+n {
		return 0, 0, nil
	}
	for _, octet := range b[1 : 1+n] {
		if length = length<<8 | int(octet); length > maxAnswer { // before an int of 32 bits overflows
			return 0, 0, errTooLong
		}
	}
	return length, 1 + n, nil
}
