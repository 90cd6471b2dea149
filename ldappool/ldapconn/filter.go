package ldapconn

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// Filter is a search filter as it is sent (RFC 4511 section 4.5.1.7), compiled once and used often.
// The zero value is no filter. It can be used by several goroutines at a time.
type Filter struct{ ber []byte }

// CompileFilter compiles the text of a filter (RFC 4515). Its error wraps [ErrInvalidRequest].
func CompileFilter(text string) (Filter, error) {
	packet, err := ldap.CompileFilter(text)
	if err != nil {
		return Filter{}, fmt.Errorf("%w: %w", ErrInvalidRequest, err)
	}
	return Filter{ber: packet.Bytes()}, nil
}

// IsZero reports whether f is no filter.
func (f Filter) IsZero() bool { return len(f.ber) == 0 }

// Bytes returns the filter as it is sent. It must not be changed.
func (f Filter) Bytes() []byte { return f.ber }

// String returns the text of the filter; of the zero value it is empty.
func (f Filter) String() string {
	if f.IsZero() {
		return ""
	}
	packet, err := ber.DecodePacketErr(f.ber)
	if err != nil {
		return err.Error() // no filter that was compiled
	}
	readFlags(packet)
	text, err := ldap.DecompileFilter(packet)
	if err != nil {
		return err.Error()
	}
	return escapedText.ReplaceAllStringFunc(text, func(escaped string) string {
		if b, err := hex.DecodeString(strings.ReplaceAll(escaped, `\`, "")); err == nil && utf8.Valid(b) {
			return string(b)
		}
		return escaped
	})
}

// escapedText matches non-ASCII text as go-ldap writes it.
var escapedText = regexp.MustCompile(`(?:\\[89a-f][0-9a-f])+`)

// readFlags sets the values of the dnAttributes in a filter, which the decoder leaves as octets and
// DecompileFilter wants.
func readFlags(p *ber.Packet) {
	for _, child := range p.Children {
		if p.Tag == ldap.FilterExtensibleMatch && child.Tag == ldap.MatchingRuleAssertionDNAttributes {
			child.Value = !bytes.Equal(child.Data.Bytes(), []byte{0})
		}
		readFlags(child)
	}
}

// FilterTemplate is a compiled filter with places for values. It can be used by several goroutines
// at a time.
type FilterTemplate struct {
	names []string
	root  filterNode
	size  int // of the filter without values
}

// filterNode is an element of a filter.
type filterNode struct {
	whole    []byte // the element as it is sent, if it has no place for a value; then the rest is empty
	tag      byte
	children []filterNode // of a constructed element
	parts    []filterPart // of a primitive one: its content
}

// filterPart is a piece of an assertion value: a text, or the place of a value.
type filterPart struct {
	text  string
	value int // index of the name; -1: text
}

// placeMark begins the place of a value while a template is compiled. No configured filter contains
// it.
const placeMark = "\x00\xffvalue\xff"

// placeholder is the place of a value in the text of a template.
var placeholder = regexp.MustCompile(`\{([A-Za-z][A-Za-z0-9;-]*)\}`)

// CompileTemplate compiles the text of a filter (RFC 4515) in which placeholders, {name}, stand for
// assertion values or parts of them, for example (&(objectClass=person)(uid={username})). A
// placeholder is an error anywhere else.
func CompileTemplate(text string) (*FilterTemplate, error) {
	// While the text is compiled, a mark and the number of the name from 1 stand for each
	// placeholder.
	t := &FilterTemplate{}
	places := 0
	text = placeholder.ReplaceAllStringFunc(text, func(found string) string {
		places++
		name := found[1 : len(found)-1]
		i := slices.Index(t.names, name)
		if i < 0 {
			i = len(t.names)
			t.names = append(t.names, name)
		}
		return fmt.Sprintf(`%s\%02x`, ldap.EscapeFilter(placeMark), i+1)
	})
	if len(t.names) > 0xff {
		return nil, fmt.Errorf("%w: more than 255 placeholders in a filter", ErrInvalidRequest)
	}
	packet, err := ldap.CompileFilter(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidRequest, err)
	}
	t.size = len(packet.Bytes()) + 16
	var found int
	if t.root, found = newFilterNode(packet); found != places {
		return nil, fmt.Errorf("%w: a placeholder is allowed only in the value of an assertion", ErrInvalidRequest)
	}
	return t, nil
}

// newFilterNode returns a compiled filter, or a part of it, as a node, and how many placeholders it
// has.
func newFilterNode(p *ber.Packet) (n filterNode, places int) {
	whole := p.Bytes()
	n.tag = whole[0]
	for _, child := range p.Children {
		c, found := newFilterNode(child)
		n.children = append(n.children, c)
		places += found
	}
	if p.TagType == ber.TypePrimitive {
		text, rest, marked := strings.Cut(p.Data.String(), placeMark)
		n.parts = append(n.parts, filterPart{text: text, value: -1})
		for ; marked; places++ {
			i := int(rest[0]) - 1
			text, rest, marked = strings.Cut(rest[1:], placeMark)
			n.parts = append(n.parts, filterPart{value: i}, filterPart{text: text, value: -1})
		}
	}
	if places == 0 {
		return filterNode{whole: slices.Clone(whole)}, 0
	}
	return n, places
}

// Names returns the names of the placeholders, each once, in the order of the text.
func (t *FilterTemplate) Names() []string { return slices.Clone(t.names) }

// Fill returns the filter with values in place of the placeholders, in the order of Names; there
// must be as many. A value needs no escaping: it becomes an assertion value, or a part of one,
// whatever it contains.
func (t *FilterTemplate) Fill(values ...string) Filter {
	if len(values) != len(t.names) {
		panic(fmt.Sprintf("ldapconn: got %d values for a filter with %d placeholders", len(values), len(t.names)))
	}
	size := t.size
	for _, v := range values {
		size += len(v)
	}
	return Filter{ber: t.root.append(make([]byte, 0, size), values)}
}

func (n *filterNode) append(b []byte, values []string) []byte {
	if n.whole != nil {
		return append(b, n.whole...)
	}
	b, at := openElement(b, n.tag)
	for i := range n.children {
		b = n.children[i].append(b, values)
	}
	for _, p := range n.parts {
		if p.value >= 0 {
			b = append(b, values[p.value]...)
		} else {
			b = append(b, p.text...)
		}
	}
	return closeElement(b, at)
}
