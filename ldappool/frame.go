package ldappool

import (
	"errors"
	"fmt"
)

// Tags of the protocol operations that pass the wire (RFC 4511 section 4.2 and following): class application.
const (
	tagBindRequest    = 0x60
	tagBindResponse   = 0x61
	tagSearchRequest  = 0x63
	tagSearchEntry    = 0x64
	tagSearchDone     = 0x65
	tagSearchRef      = 0x73
	tagExtendedAnswer = 0x78
)

// maxAnswer bounds one message, and all messages of one answer together, in bytes. What a login reads is a few
// kilobytes; a peer that sends more is broken or hostile.
const maxAnswer = 4 << 20

// headSize is enough of a message to read its id, its operation and its result code, however its lengths are
// written: 6 bytes for the envelope's tag and length, 6 for the id, 6 for the operation's, 6 for the code.
const headSize = 24

var (
	errNoLDAP  = errors.New("not an LDAP message")
	errTooLong = fmt.Errorf("message longer than %d bytes", maxAnswer)
)

// message is what the wire needs to know of an LDAPMessage (RFC 4511 section 4.1.1).
type message struct {
	id   int64
	op   byte  // tag of the operation
	code int64 // result code, where the operation is a result; -1 otherwise
}

// framer cuts a stream of bytes into LDAP messages, checks their elements, and reads the head of each. It keeps
// headSize bytes and no more.
type framer struct {
	head [headSize]byte
	have int // bytes in head
	size int // of the message with its own tag and length; 0 while not known
	seen int // bytes of the message so far

	elements elements
}

// next takes bytes of b up to the end of the message under way and says how many they were. With done, m is
// that message. An error means that the stream is no LDAP; nothing can be read from it any more.
func (f *framer) next(b []byte) (used int, m message, done bool, err error) {
	if used, err = f.cut(b); err != nil {
		return used, m, false, err
	}
	if err := f.elements.follow(b[:used]); err != nil {
		return used, m, false, err
	}
	if f.size == 0 || f.seen < f.size {
		return used, m, false, nil
	}
	if err := f.elements.finish(); err != nil {
		return used, m, false, err
	}
	m, err = readHead(f.head[:f.have], f.size)
	f.have, f.size, f.seen = 0, 0, 0
	return used, m, err == nil, err
}

// cut tells how many bytes of b belong to the message under way.
func (f *framer) cut(b []byte) (used int, err error) {
	for f.size == 0 {
		if used == len(b) {
			return used, nil
		}
		f.head[f.have] = b[used]
		f.have++
		used++
		if f.size, err = messageSize(f.head[:f.have]); err != nil {
			return used, err
		}
		f.seen = f.have
	}
	take := min(len(b)-used, f.size-f.seen)
	f.have += copy(f.head[f.have:], b[used:used+take])
	f.seen += take
	return used + take, nil
}

// messageSize reads the envelope's tag and length, and gives the whole message's size: 0 while head is too short.
func messageSize(head []byte) (int, error) {
	if head[0] != 0x30 {
		return 0, errNoLDAP
	}
	content, header, err := berLength(head[1:])
	if err != nil || header == 0 {
		return 0, err
	}
	size := 1 + header + content
	if size > maxAnswer {
		return 0, errTooLong
	}
	return size, nil
}

// readHead reads id, operation and result code from the head of a message that is complete with size bytes.
func readHead(head []byte, size int) (message, error) {
	_, header, _ := berLength(head[1:])
	at := 1 + header
	id, n, err := berInt(head[at:], 0x02)
	if err != nil {
		return message{}, err
	}
	at += n
	if at >= len(head) {
		return message{}, errNoLDAP
	}
	m := message{id: id, op: head[at], code: -1}
	content, header, err := berLength(head[at+1:])
	if err != nil {
		return message{}, err
	}
	at += 1 + header
	if header == 0 || at+content > size {
		return message{}, errNoLDAP
	}
	switch m.op {
	case tagBindResponse, tagSearchDone, tagExtendedAnswer:
		if m.code, n, err = berInt(head[at:], 0x0a); err != nil {
			return message{}, err
		}
		if n > content {
			return message{}, errNoLDAP
		}
	}
	return m, nil
}

// berLength reads a definite length (RFC 4511 section 5.1 allows no other) and how many bytes it is written in:
// 0 while b is too short.
func berLength(b []byte) (content, header int, err error) {
	if len(b) == 0 {
		return 0, 0, nil
	}
	if b[0] < 0x80 {
		return int(b[0]), 1, nil
	}
	n := int(b[0] & 0x7f)
	if n == 0 || n > 4 {
		return 0, 0, errNoLDAP
	}
	if len(b) < 1+n {
		return 0, 0, nil
	}
	for _, octet := range b[1 : 1+n] {
		if content = content<<8 | int(octet); content > maxAnswer { // before an int of 32 bits is full
			return 0, 0, errTooLong
		}
	}
	return content, 1 + n, nil
}

// berInt reads a non-negative INTEGER or ENUMERATED of up to four bytes, and how many bytes it stands in.
func berInt(b []byte, tag byte) (value int64, size int, err error) {
	if len(b) < 3 || b[0] != tag || b[1] < 1 || b[1] > 4 || len(b) < 2+int(b[1]) || b[2]&0x80 != 0 {
		return 0, 0, errNoLDAP
	}
	for _, octet := range b[2 : 2+int(b[1])] {
		value = value<<8 | int64(octet)
	}
	return value, 2 + int(b[1]), nil
}
