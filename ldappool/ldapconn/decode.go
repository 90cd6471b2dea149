package ldapconn

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"github.com/go-ldap/ldap/v3"
)

// Bounds of what a server may send. A login reads some kilobytes; a server that sends more is
// broken or hostile. Only entries hold stored values. Every other message is a result or a
// reference, and small.
const (
	maxAnswer   = 4 << 20   // bytes of one message, and of all messages of one answer together
	maxElements = 1 << 17   // elements in all messages of one answer
	maxResult   = 128 << 10 // bytes of a message that is not an entry
	maxDN       = 8 << 10   // bytes of a name
	maxControls = 8         // controls of one message
	maxControl  = 1 << 10   // bytes of a control's OID or value
	maxURLs     = 256       // URLs kept of the referrals or references of one answer
	keptEntry   = 4 << 10   // bytes of an entry whose memory may be kept as a whole if a caller keeps a part
)

var (
	errTooMany    = fmt.Errorf("answer of more than %d elements", maxElements)
	errResult     = fmt.Errorf("result or reference longer than %d bytes", maxResult)
	errDN         = fmt.Errorf("name longer than %d bytes", maxDN)
	errControls   = fmt.Errorf("more than %d controls, or one longer than %d bytes", maxControls, maxControl)
	errCode       = errors.New("result code out of range")
	errWrongReply = errors.New("answer that does not fit the request")
)

// message is an LDAPMessage (RFC 4511 section 4.1.1) whose head has been read.
type message struct {
	id   int
	op   byte     // tag of the operation
	body elements // of the operation
	tail elements // after the operation: controls
}

// readMessage reads the head of the message that b is. count counts the elements of the answer it
// belongs to.
func readMessage(b []byte, count *int) (message, error) {
	all := elements{b: b, end: len(b), count: count}
	envelope, err := all.take(tagSequence)
	if err != nil {
		return message{}, err
	}
	inner := all.within(envelope)
	id, err := inner.integer(tagInteger)
	if err != nil {
		return message{}, err
	}
	op, err := inner.next()
	if err != nil {
		return message{}, err
	}
	return message{id: id, op: op.tag, body: inner.within(op), tail: inner}, nil
}

// isNotice reports whether m is an unsolicited notification: a notice of disconnection, the only
// one that there is (RFC 4511 section 4.4).
func (m *message) isNotice() bool { return m.id == 0 && m.op == tagExtendedAnswer }

// decode adds a message to the answer of a request, and reports whether that is complete.
func (r *SearchResult) decode(m *message, id int, request byte) (complete bool, err error) {
	if m.id != id {
		return false, fmt.Errorf("%w: message ID %d instead of %d", errWrongReply, m.id, id)
	}
	switch {
	case request == tagBindRequest && m.op == tagBindResponse,
		request == tagSearchRequest && m.op == tagSearchDone,
		request == tagExtendedRequest && m.op == tagExtendedAnswer:
		complete, err = true, r.decodeResult(&m.body)
	case request == tagSearchRequest && m.op == tagSearchEntry:
		err = r.decodeEntry(&m.body)
	case request == tagSearchRequest && m.op == tagSearchReference:
		r.References, err = decodeURLs(&m.body, r.References)
	default:
		return false, fmt.Errorf("%w: operation %#x to request %#x", errWrongReply, m.op, request)
	}
	if err != nil {
		return false, err
	}
	controls, err := decodeTail(&m.tail)
	if err != nil {
		return false, err
	}
	if complete {
		r.Controls = controls
	}
	return complete, nil
}

// decodeResult reads an LDAPResult (RFC 4511 section 4.1.9). What may follow it, the SASL
// credentials of a bind and the name and value of an extended answer, is skipped.
func (r *SearchResult) decodeResult(in *elements) error {
	code, err := in.integer(tagEnumerated)
	if err != nil {
		return err
	}
	if code > math.MaxUint16 {
		return errCode
	}
	r.Code = uint16(code) //nolint:gosec // it fits
	if r.MatchedDN, err = decodeText(in, maxDN, errDN); err != nil {
		return err
	}
	if r.Diagnostic, err = decodeText(in, maxResult, errResult); err != nil {
		return err
	}
	for in.more() {
		e, err := in.next()
		if err != nil {
			return err
		}
		if e.tag != tagReferral {
			continue
		}
		if r.Referrals != nil {
			return errNotLDAP
		}
		urls := in.within(e)
		if r.Referrals, err = decodeURLs(&urls, []string{}); err != nil {
			return err
		}
	}
	return nil
}

// decodeText reads an OCTET STRING of at most limit bytes.
func decodeText(in *elements, limit int, tooLong error) (string, error) {
	e, err := in.take(tagOctetString)
	if err != nil {
		return "", err
	}
	if e.end-e.start > limit {
		return "", tooLong
	}
	return string(in.octets(e)), nil
}

// decodeURLs adds URLs to a list (RFC 4511 section 4.1.10). Those beyond maxURLs are checked and
// dropped: no referral is followed.
func decodeURLs(in *elements, list []string) ([]string, error) {
	for in.more() {
		url, err := in.take(tagOctetString)
		if err != nil {
			return nil, err
		}
		if len(list) < maxURLs {
			list = append(list, string(in.octets(url)))
		}
	}
	return list, nil
}

// decodeTail reads what follows the operation: controls, and extensions, which are skipped (RFC
// 4511 section 4).
func decodeTail(in *elements) (controls []Control, err error) {
	for in.more() {
		e, err := in.next()
		if err != nil {
			return nil, err
		}
		if e.tag != tagControls {
			continue
		}
		if controls != nil {
			return nil, errNotLDAP
		}
		controls = []Control{}
		for list := in.within(e); list.more(); {
			if len(controls) == maxControls {
				return nil, errControls
			}
			c, err := decodeControl(&list)
			if err != nil {
				return nil, err
			}
			controls = append(controls, c)
		}
	}
	return controls, nil
}

// decodeControl reads a Control (RFC 4511 section 4.1.11). What follows its value is skipped.
func decodeControl(list *elements) (c Control, err error) {
	e, err := list.take(tagSequence)
	if err != nil {
		return c, err
	}
	in := list.within(e)
	if c.OID, err = decodeText(&in, maxControl, errControls); err != nil {
		return c, err
	}
	var before byte // the tag of the last element; they have an order
	for in.more() {
		e, err := in.next()
		switch {
		case err != nil:
			return c, err
		case e.tag == tagBoolean && before == 0 && e.end == e.start+1:
			c.Critical = in.b[e.start] != 0
		case e.tag == tagBoolean || e.tag == tagOctetString && before > tagBoolean:
			return c, errNotLDAP
		case e.tag == tagOctetString && e.end-e.start > maxControl:
			return c, errControls
		case e.tag == tagOctetString:
			c.Value = append([]byte{}, in.octets(e)...)
		}
		before = e.tag
	}
	return c, nil
}

// decodeEntry adds a SearchResultEntry (RFC 4511 section 4.5.2). It checks and counts the whole
// entry before it allocates anything.
func (r *SearchResult) decodeEntry(in *elements) error {
	begin := in.at
	dn, err := in.take(tagOctetString)
	if err != nil {
		return err
	}
	if dn.end-dn.start > maxDN {
		return errDN
	}
	list, err := in.take(tagSequence)
	if err != nil {
		return err
	}
	attributes, values, err := countAttributes(in.within(list))
	if err != nil {
		return err
	}
	for in.more() { // extensions
		if _, err := in.next(); err != nil {
			return err
		}
	}
	f := newFiller(in.b[begin:list.end], begin, values)
	r.Entries = append(r.Entries, &ldap.Entry{DN: f.text(dn), Attributes: f.fill(in.within(list), attributes)})
	return nil
}

// countAttributes checks a PartialAttributeList and counts its attributes and their values.
func countAttributes(in elements) (attributes, values int, err error) {
	for ; in.more(); attributes++ {
		e, err := in.take(tagSequence)
		if err != nil {
			return 0, 0, err
		}
		attribute := in.within(e)
		if _, err := attribute.take(tagOctetString); err != nil {
			return 0, 0, err
		}
		e, err = attribute.take(tagSet)
		if err != nil {
			return 0, 0, err
		}
		for set := attribute.within(e); set.more(); values++ {
			if _, err := set.take(tagOctetString); err != nil {
				return 0, 0, err
			}
		}
		for attribute.more() { // extensions
			if _, err := attribute.next(); err != nil {
				return 0, 0, err
			}
		}
	}
	return attributes, values, nil
}

// filler makes the texts and attributes of an entry. Those of an entry of up to keptEntry bytes are
// parts of one string and one slice. Those of a larger one are copies of their own, so that a
// caller that keeps one of them, such as the DN, does not keep all of the entry in memory.
type filler struct {
	b     []byte // the entry
	begin int    // of the entry in its message

	shared bool
	whole  string   // b, if shared
	raw    []byte   // the same
	values []string // of all attributes, one after the other, if shared
	octets [][]byte // the same
}

// newFiller makes the filler of an entry b that has so many values.
func newFiller(b []byte, begin, values int) *filler {
	f := &filler{b: b, begin: begin, shared: len(b) <= keptEntry}
	if !f.shared {
		return f
	}
	f.whole = string(b)
	if values > 0 {
		f.raw, f.values, f.octets = bytes.Clone(b), make([]string, 0, values), make([][]byte, 0, values)
	}
	return f
}

// text returns the content of an element.
func (f *filler) text(of element) string {
	start, end := of.start-f.begin, of.end-f.begin
	if f.shared {
		return f.whole[start:end]
	}
	return string(f.b[start:end])
}

// bytes is text as bytes.
func (f *filler) bytes(of element) []byte {
	start, end := of.start-f.begin, of.end-f.begin
	if f.shared {
		return f.raw[start:end:end]
	}
	return bytes.Clone(f.b[start:end:end])
}

// fill makes so many attributes of a list that countAttributes found in order.
func (f *filler) fill(in elements, n int) []*ldap.EntryAttribute {
	if n == 0 {
		return nil
	}
	ignored := 0 // elements are counted already
	in.count = &ignored
	attributes := make([]ldap.EntryAttribute, n)
	pointers := make([]*ldap.EntryAttribute, n)
	for i := range attributes {
		e, _ := in.next()
		attribute := in.within(e)
		name, _ := attribute.next()
		e, _ = attribute.next()
		values, octets := f.values, f.octets
		if !f.shared {
			n := count(attribute.within(e))
			values, octets = make([]string, 0, n), make([][]byte, 0, n)
		}
		first := len(values)
		for set := attribute.within(e); set.more(); {
			v, _ := set.next()
			values, octets = append(values, f.text(v)), append(octets, f.bytes(v))
		}
		last := len(values)
		attributes[i] = ldap.EntryAttribute{
			Name: f.text(name), Values: values[first:last:last], ByteValues: octets[first:last:last],
		}
		pointers[i] = &attributes[i]
		if f.shared {
			f.values, f.octets = values, octets
		}
	}
	return pointers
}

// count returns how many elements in has. All of them must be readable.
func count(in elements) (n int) {
	ignored := 0
	in.count = &ignored
	for ; in.more(); n++ {
		_, _ = in.next()
	}
	return n
}
