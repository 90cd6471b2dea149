package ldappool

import "fmt"

// Bounds of what go-ldap is given to decode. Its decoder keeps the bytes of a message once for each level of nesting, and
// some hundred bytes for each element: without bounds a message of a few megabytes takes gigabytes, and its deadline does
// not stop it. An LDAP message needs seven levels (a search entry's values), a login some dozen elements.
const (
	maxDepth    = 10
	maxElements = 1 << 17 // in all messages of one answer
)

var (
	errTooDeep = fmt.Errorf("message nested deeper than %d elements", maxDepth)
	errTooMany = fmt.Errorf("answer of more than %d elements", maxElements)
)

// elements follows the elements of a message as its bytes come, and checks that they are BER as LDAP restricts it (RFC
// 4511 section 5.1): definite lengths, tags of one byte, and each element within the one around it. What passes, go-ldap's
// decoder reads to the message's end and not further.
type elements struct {
	at    int           // bytes of the message so far
	ends  [maxDepth]int // where the constructed elements that are open end
	depth int           // how many of them there are
	skip  int           // content of a primitive element that is still to come
	head  [6]byte       // tag and length that are under way
	have  int           // bytes in head
	count int           // elements since the answer began
}

// follow takes the next bytes of a message.
func (e *elements) follow(b []byte) error {
	for len(b) > 0 {
		n := 1
		if e.skip > 0 {
			n = min(e.skip, len(b))
			e.skip -= n
			e.at += n
		} else if err := e.octet(b[0]); err != nil {
			return err
		}
		b = b[n:]
		for e.skip == 0 && e.have == 0 && e.depth > 0 && e.at == e.ends[e.depth-1] {
			e.depth--
		}
	}
	return nil
}

// octet takes one byte of an element's tag and length, and opens the element with the last.
func (e *elements) octet(b byte) error {
	e.head[e.have] = b
	e.have++
	e.at++
	tag := e.head[0]
	if tag&0x1f == 0x1f || tag == 0 {
		return errNoLDAP
	}
	length, size, err := berLength(e.head[1:e.have])
	if err != nil || size == 0 {
		return err
	}
	e.have = 0
	e.count++
	end := e.at + length
	switch constructed := tag&0x20 != 0; {
	case e.count > maxElements:
		return errTooMany
	case e.depth > 0 && end > e.ends[e.depth-1]:
		return errNoLDAP
	case !constructed:
		e.skip = length
	case e.depth == maxDepth:
		return errTooDeep
	default:
		e.ends[e.depth] = end
		e.depth++
	}
	return nil
}

// finish ends a message, and tells whether it ended with its elements.
func (e *elements) finish() error {
	whole := e.depth == 0 && e.skip == 0 && e.have == 0
	*e = elements{count: e.count}
	if !whole {
		return errNoLDAP
	}
	return nil
}
