package ldappool

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"authsvc/internal/ldaptest"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/stretchr/testify/require"
)

// octetsOf reads bytes written as hex, with spaces where they help.
func octetsOf(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	require.NoError(t, err)
	return b
}

// framed is a message and where in the stream it ends.
type framed struct {
	message
	end int
}

// feed gives f the chunks one after the other, and returns the messages that it found until the first error.
func feed(f *framer, chunks ...[]byte) (found []framed, err error) {
	at := 0
	for _, b := range chunks {
		for len(b) > 0 {
			used, m, done, err := f.next(b)
			at += used
			b = b[used:]
			if err != nil {
				return found, err
			}
			if done {
				found = append(found, framed{m, at})
			}
		}
	}
	return found, nil
}

// singly is b in chunks of one byte.
func singly(b []byte) [][]byte {
	var chunks [][]byte
	for i := range b {
		chunks = append(chunks, b[i:i+1])
	}
	return chunks
}

// goodMessage is a message that the framer must read.
type goodMessage struct {
	name  string
	bytes []byte
	want  message
}

func goodMessages(t testing.TB) []goodMessage {
	t.Helper()
	entry := ldaptest.Entry{DN: ldaptest.UserDN(1), Attributes: map[string][]string{"uid": {"user1"}}}
	long := strings.Repeat("x", 70_000)
	return []goodMessage{
		{"a bind that succeeded", ldaptest.BindResponse(1, 0, ""), message{1, tagBindResponse, 0}},
		{"a refused bind", ldaptest.BindResponse(2, 49, "no"), message{2, tagBindResponse, 49}},
		{"an id of two bytes", ldaptest.BindResponse(300, 0, ""), message{300, tagBindResponse, 0}},
		{"the greatest id", ldaptest.BindResponse(1<<31-1, 0, ""), message{1<<31 - 1, tagBindResponse, 0}},
		{"a result code of two bytes", ldaptest.BindResponse(3, 4096, ""), message{3, tagBindResponse, 4096}},
		{"a result code of three bytes", ldaptest.HugeResultCode(3), message{3, tagBindResponse, 65536}},
		{"a length of one byte more", ldaptest.BindResponse(4, 0, long[:200]), message{4, tagBindResponse, 0}},
		{"a length of two bytes more", ldaptest.BindResponse(4, 0, long[:300]), message{4, tagBindResponse, 0}},
		{"a length of three bytes more", ldaptest.BindResponse(4, 0, long), message{4, tagBindResponse, 0}},
		{"an entry", ldaptest.SearchEntry(5, entry), message{5, tagSearchEntry, -1}},
		{"a reference", ldaptest.SearchReference(6, "ldap://other/"), message{6, tagSearchRef, -1}},
		{"the end of a search", ldaptest.SearchDone(7, 32, ""), message{7, tagSearchDone, 32}},
		{"a notice of disconnection", ldaptest.NoticeOfDisconnection(52, "bye"), message{0, tagExtendedAnswer, 52}},
		{"lengths of four bytes, as Samba and AD write them",
			octetsOf(t, "30 84 00000010 02 01 08 61 84 00000007 0a 01 31 04 00 04 00"), message{8, tagBindResponse, 49}},
		{"everything in its longest form",
			octetsOf(t, "30 84 00000016 02 04 00000008 61 84 0000000a 0a 04 00000031 04 00 04 00"), message{8, tagBindResponse, 49}},
		{"a length longer than it need be", octetsOf(t, "30 82 000c 02 01 08 61 07 0a 01 00 04 00 04 00"), message{8, tagBindResponse, 0}},
		{"an unbind", octetsOf(t, "30 05 02 01 09 42 00"), message{9, 0x42, -1}},
		{"an operation of length zero at the end", octetsOf(t, "30 05 02 01 09 64 00"), message{9, tagSearchEntry, -1}},
	}
}

func TestMessagesAreReadHoweverTheyAreCut(t *testing.T) {
	t.Parallel()
	for _, m := range goodMessages(t) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			want := []framed{{m.want, len(m.bytes)}, {m.want, 2 * len(m.bytes)}}
			twice := append(bytes.Clone(m.bytes), m.bytes...)
			var f framer // one for all: it must be as new after each message
			found, err := feed(&f, twice)
			require.NoError(t, err)
			require.Equal(t, want, found)
			found, err = feed(&f, singly(twice)...)
			require.NoError(t, err)
			require.Equal(t, want, found)
			for cut := 1; cut < min(len(twice), 400); cut++ {
				found, err := feed(&f, twice[:cut], twice[cut:])
				require.NoError(t, err)
				require.Equal(t, want, found, "cut after %d bytes", cut)
			}
		})
	}
}

func TestMessagesAreReadAtAnyTwoCuts(t *testing.T) {
	t.Parallel()
	var stream []byte
	var want []framed
	for _, m := range goodMessages(t) {
		if len(m.bytes) < 50 {
			stream = append(stream, m.bytes...)
			want = append(want, framed{m.want, len(stream)})
		}
	}
	for i := range stream {
		for j := i; j < len(stream); j++ {
			found, err := feed(new(framer), stream[:i], stream[i:j], stream[j:])
			require.NoError(t, err)
			if len(found) != len(want) { // Equal is slow for the number of cuts
				require.Equal(t, want, found, "cuts at %d and %d", i, j)
			}
			for k := range want {
				if found[k] != want[k] {
					require.Equal(t, want, found, "cuts at %d and %d", i, j)
				}
			}
		}
	}
}

func TestWhatIsNoLDAPMessageIsRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, bytes string
		want        error
	}{
		{"text", "48545450", errNoLDAP},
		{"a set for an envelope", "31 05 02 01 01 42 00", errNoLDAP},
		{"an indefinite length", "30 80", errNoLDAP},
		{"the reserved length", "30 ff", errNoLDAP},
		{"a length of five bytes", "30 85 00", errNoLDAP},
		{"a length of 2 GiB", "30 84 7fffffff", errTooLong},
		{"a length of 4 GiB", "30 84 ffffffff", errTooLong},
		{"a length of 16 MiB, without its own bytes", "30 84 01000000", errTooLong},
		{"an empty envelope", "30 00", errNoLDAP},
		{"an id that is text", "30 03 04 01 78", errNoLDAP},
		{"an empty id", "30 04 02 00 42 00", errNoLDAP},
		{"a negative id", "30 05 02 01 ff 42 00", errNoLDAP},
		{"an id of five bytes", "30 09 02 05 0000000001 42 00", errNoLDAP},
		{"an id longer than its message", "30 03 02 02 01", errNoLDAP},
		{"an id whose length is long-form", "30 06 02 81 01 01 42 00", errNoLDAP},
		{"an id alone", "30 03 02 01 01", errNoLDAP},
		{"an operation without length", "30 04 02 01 01 61", errNoLDAP},
		{"an operation of indefinite length", "30 05 02 01 01 61 80", errNoLDAP},
		{"an entry of indefinite length", "30 07 02 01 01 64 80 00 00", errNoLDAP},
		{"an operation whose length is cut off", "30 06 02 01 01 61 82 00", errNoLDAP},
		{"an operation longer than its message", "30 08 02 01 01 61 07 0a 01 00", errNoLDAP},
		{"an operation longer than its message, without result code", "30 06 02 01 01 64 02 00", errNoLDAP},
		{"a result without code", "30 05 02 01 01 61 00", errNoLDAP},
		{"a result code that is an INTEGER", "30 0c 02 01 01 61 07 02 01 00 04 00 04 00", errNoLDAP},
		{"a result code that is text", "30 0c 02 01 01 61 07 04 01 30 04 00 04 00", errNoLDAP},
		{"a negative result code", "30 0c 02 01 01 61 07 0a 01 ff 04 00 04 00", errNoLDAP},
		{"a result code of five bytes", "30 10 02 01 01 61 0b 0a 05 0000000000 04 00 04 00", errNoLDAP},
		{"a result code of the message and not of the operation", "30 08 02 01 01 61 00 0a 01 00", errNoLDAP},
		{"a result code that reaches past the operation", "30 08 02 01 01 61 02 0a 01 00", errNoLDAP},
		{"a search's end without code", "30 05 02 01 01 65 00", errNoLDAP},
		{"an extended answer without code", "30 05 02 01 01 78 00", errNoLDAP},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := octetsOf(t, tt.bytes)
			for _, chunks := range [][][]byte{{b}, singly(b)} {
				found, err := feed(new(framer), chunks...)
				require.ErrorIs(t, err, tt.want)
				require.Empty(t, found)
			}
		})
	}
}

func TestALengthIsRefusedBeforeItsMessageCame(t *testing.T) {
	t.Parallel()
	for name, b := range map[string][]byte{
		"too long":   octetsOf(t, "30 84 01000000"),
		"indefinite": ldaptest.IndefiniteLength()[:2],
		"deep":       ldaptest.DeepNesting(1),
		"endless":    ldaptest.EndlessLength(),
	} {
		_, err := feed(new(framer), b)
		require.Error(t, err, name)
	}
}

func TestAMessageMayBe4MiBLongAndNoMore(t *testing.T) {
	t.Parallel()
	// Envelope 6 bytes, id 3, operation 6, a string's tag and length 6, then the string.
	const text = maxAnswer - 6 - 3 - 6 - 6
	head := octetsOf(t, "30 84 003ffffa 02 01 01 64 84 003ffff1 04 84 003fffeb")
	require.Equal(t, maxAnswer-6, 0x3ffffa)
	require.Equal(t, text, 0x3fffeb)
	found, err := feed(new(framer), head, make([]byte, 1<<20), make([]byte, text-1<<20))
	require.NoError(t, err)
	require.Equal(t, []framed{{message{1, tagSearchEntry, -1}, maxAnswer}}, found)

	head[5]++
	_, err = feed(new(framer), head)
	require.ErrorIs(t, err, errTooLong)
}

// nested is a search entry with so many levels in all, around a string.
func nested(levels, text int) []byte {
	wrap := func(tag byte, content []byte) []byte {
		n := len(content)
		return append([]byte{tag, 0x84, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, content...)
	}
	b := wrap(0x04, make([]byte, text))
	for range levels - 2 {
		b = wrap(0x30, b)
	}
	return wrap(0x30, append([]byte{2, 1, 1}, wrap(tagSearchEntry, b)...))
}

func TestAMessageMayBeNestedAsDeepAsLDAPNeedsAndNoDeeper(t *testing.T) {
	t.Parallel()
	for _, whole := range []bool{true, false} {
		chunks := func(b []byte) [][]byte {
			if whole {
				return [][]byte{b}
			}
			return singly(b)
		}
		found, err := feed(new(framer), chunks(nested(maxDepth, 5))...)
		require.NoError(t, err)
		require.Len(t, found, 1)
		_, err = feed(new(framer), chunks(nested(maxDepth+1, 5))...)
		require.ErrorIs(t, err, errTooDeep)
	}
}

func TestAnAnswerMayHaveSoManyElementsAndNoMore(t *testing.T) {
	t.Parallel()
	empties := bytes.Repeat([]byte{4, 0}, maxElements)
	n := len(empties)
	message := append([]byte{0x30, 0x84, 0, byte((n + 9) >> 16), byte((n + 9) >> 8), byte(n + 9), 2, 1, 1, 0x64, 0x84, 0, byte(n >> 16), byte(n >> 8), byte(n)}, empties...)
	_, err := feed(new(framer), message)
	require.ErrorIs(t, err, errTooMany)

	// They are counted over all messages of an answer, and anew with each exchange.
	w := newWire(nil, nil)
	entries := bytes.Repeat(ldaptest.SearchEntry(1, ldaptest.Entry{DN: "cn=x"}), maxElements/5) // five each
	for _, answer := range []int{1, 2} {
		w.in.elements.count = 0
		w.x, w.open = exchange{id: 1, request: tagSearchRequest}, true
		_, _, err = w.follow(entries)
		require.NoError(t, err, "answer %d", answer)
	}
	_, _, err = w.follow(entries[:100])
	require.ErrorIs(t, err, errTooMany)
}

func TestElementsThatDoNotFitTheirMessageAreNoLDAP(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"a string that reaches past the message":   "30 0c 02 01 01 61 07 0a 01 00 04 00 04 64",
		"a string that reaches past its operation": "30 11 02 01 01 61 07 0a 01 00 04 00 04 03 04 03 61 62 63",
		"a length that is cut off":                 "30 0c 02 01 01 61 07 0a 01 00 04 00 04 84",
		"a tag and nothing":                        "30 0b 02 01 01 61 06 0a 01 00 04 00 04",
		"a length of no end inside":                "30 0e 02 01 01 61 09 0a 01 00 04 00 24 80 00 00",
		"an end-of-contents":                       "30 0c 02 01 01 61 07 0a 01 00 04 00 00 00",
		"a tag of several bytes":                   "30 0d 02 01 01 61 08 0a 01 00 04 00 1f 01 00",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := octetsOf(t, text)
			for _, chunks := range [][][]byte{{b}, singly(b)} {
				found, err := feed(new(framer), chunks...)
				require.ErrorIs(t, err, errNoLDAP)
				require.Empty(t, found)
			}
		})
	}
}

func TestAFramerStopsAtTheEndOfAMessage(t *testing.T) {
	t.Parallel()
	b := ldaptest.BindResponse(1, 0, "")
	used, m, done, err := new(framer).next(append(bytes.Clone(b), 0xff, 0xff))
	require.NoError(t, err)
	require.True(t, done)
	require.Equal(t, len(b), used)
	require.Equal(t, message{1, tagBindResponse, 0}, m)
}

// FuzzFramer compares the framer with the decoder that go-ldap reads the same bytes with: a message that both take is
// the same to both, and a stream is the same to the framer however it is cut.
func FuzzFramer(f *testing.F) {
	for _, m := range goodMessages(f) {
		f.Add(m.bytes)
	}
	for _, m := range ldaptest.MalformedAnswers() {
		if b := m.Bytes(1); len(b) < 1000 {
			f.Add(b)
		}
	}
	f.Add(append(ldaptest.BindResponse(1, 0, ""), ldaptest.NoticeOfDisconnection(52, "bye")...))
	f.Fuzz(func(t *testing.T, b []byte) {
		found, err := feed(new(framer), b)
		again, againErr := feed(new(framer), singly(b)...)
		require.Equal(t, found, again)
		require.Equal(t, err, againErr)
		start := 0
		for _, m := range found {
			r := bytes.NewReader(b[start:])
			p, err := ber.ReadPacket(r)
			if err != nil {
				return // go-ldap reads no further, and the exchange fails
			}
			require.Equal(t, m.end, len(b)-r.Len(), "end of the message")
			requireSameMessage(t, p, m.message)
			start = m.end
		}
	})
}

// requireSameMessage checks that m is what the decoder made of the same bytes.
func requireSameMessage(t *testing.T, p *ber.Packet, m message) {
	t.Helper()
	require.Equal(t, ber.Identifier{ClassType: ber.ClassUniversal, TagType: ber.TypeConstructed, Tag: ber.TagSequence}, p.Identifier)
	require.GreaterOrEqual(t, len(p.Children), 2)
	require.Equal(t, m.id, p.Children[0].Value)
	op := p.Children[1]
	require.Equal(t, m.op&0xe0, byte(op.ClassType)|byte(op.TagType))
	if m.op&0x1f != 0x1f { // a tag of several bytes, which no operation that is waited for has
		require.EqualValues(t, m.op&0x1f, op.Tag)
	}
	switch m.op {
	case tagBindResponse, tagSearchDone, tagExtendedAnswer:
		require.NotEmpty(t, op.Children)
		require.Equal(t, ber.Identifier{ClassType: ber.ClassUniversal, TagType: ber.TypePrimitive, Tag: ber.TagEnumerated}, op.Children[0].Identifier)
		require.Equal(t, m.code, op.Children[0].Value)
	default:
		require.EqualValues(t, -1, m.code)
	}
}
