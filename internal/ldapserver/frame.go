package ldapserver

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// The bounds on a request. asn1-ber has bounds too, but they are variables of its package.
const (
	maxMessage = 1 << 20 // bytes of content
	maxDepth   = 64      // levels; the filter of a request is on the fourth
)

var errFrame = errors.New("malformed message")

// readPacket reads one message and decodes its BER. Its memory grows with the bytes that arrive,
// and not with the length that the message claims.
func readPacket(r *bufio.Reader) (*ber.Packet, error) {
	tag, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	if tag != 0x30 { // a SEQUENCE
		return nil, errFrame
	}
	length, header, err := readLength(r)
	if err != nil {
		return nil, err
	}
	message := bytes.NewBuffer(append([]byte{tag}, header...))
	if _, err := io.CopyN(message, r, int64(length)); err != nil {
		return nil, err
	}
	if !isBounded(message.Bytes(), maxDepth) {
		return nil, errFrame
	}
	return ber.DecodePacketErr(message.Bytes())
}

// readLength reads the length of a message (X.690 section 8.1.3). LDAP permits the definite form
// alone (RFC 4511 section 5.1). header is what was read.
func readLength(r *bufio.Reader) (length int, header []byte, err error) {
	first, err := r.ReadByte()
	if err != nil {
		return 0, nil, err
	}
	header = []byte{first}
	if first < 0x80 {
		return int(first), header, nil
	}
	octets := int(first & 0x7f)
	if octets == 0 || octets > 4 {
		return 0, nil, errFrame
	}
	for range octets {
		b, err := r.ReadByte()
		if err != nil {
			return 0, nil, err
		}
		header = append(header, b)
		length = length<<8 | int(b)
	}
	if length > maxMessage {
		return 0, nil, errFrame
	}
	return length, header, nil
}

// isBounded reports whether b is a series of elements with short tags and definite lengths, which
// fit into each other and have at most depth levels.
func isBounded(b []byte, depth int) bool {
	for len(b) > 0 {
		if depth == 0 || len(b) < 2 || b[0]&0x1f == 0x1f {
			return false
		}
		constructed, length, header := b[0]&0x20 != 0, int(b[1]), 2
		if length >= 0x80 {
			octets := length & 0x7f
			header += octets
			if octets == 0 || octets > 4 || len(b) < header {
				return false
			}
			length = 0
			for _, o := range b[2:header] {
				length = length<<8 | int(o)
			}
		}
		if length > len(b)-header {
			return false
		}
		if constructed && !isBounded(b[header:header+length], depth-1) {
			return false
		}
		b = b[header+length:]
	}
	return true
}
