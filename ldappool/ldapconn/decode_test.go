package ldapconn

import (
	"bytes"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// decoded is what a connection makes of bytes that arrive, in those pieces, as the answer to its
// first request: the answer, or the fault. What follows the answer counts as refused.
func decoded(t testing.TB, request byte, pieces ...[]byte) (*SearchResult, error) {
	t.Helper()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c := &Conn{answered: make(chan struct{}, 1), done: make(chan struct{}), conn: ours, raw: ours}
	_, err := c.reserve()
	require.NoError(t, err)
	require.True(t, c.begin(request, time.Time{}))
	var b []byte
	for _, piece := range pieces {
		b = append(b, piece...)
		b = b[c.receive(b):]
	}
	if c.Err() != nil {
		return nil, c.Err()
	}
	c.finish(PeerClosed, errPeerClosed)
	return c.settle()
}

// envelope is a message with ID 1 around bytes as they are.
func envelope(rest ...byte) []byte {
	b, at := openElement(nil, tagSequence)
	return closeElement(append(append(b, tagInteger, 1, 1), rest...), at)
}

// around is an element with that tag around others.
func around(tag byte, elements ...[]byte) []byte { return appendElement(nil, tag, join(elements...)) }

// text is an OCTET STRING.
func text(s string) []byte { return appendElement(nil, tagOctetString, s) }

// bindAnswer is a success of a bind with more behind its three fields, and with what follows it in
// the message.
func bindAnswer(more, behind []byte) []byte { return bindResult(0, more, behind) }

// bindResult is bindAnswer with a result code.
func bindResult(code byte, more, behind []byte) []byte {
	return envelope(join(around(tagBindResponse, []byte{tagEnumerated, 1, code}, text(""), text(""), more), behind)...)
}

func TestDecode_AnAnswerIsReadHoweverItIsWritten(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 60_000)
	entry := &ldap.Entry{DN: "cn=x", Attributes: []*ldap.EntryAttribute{
		{Name: "a", Values: []string{"1", "", "\xff\x00"}, ByteValues: [][]byte{{'1'}, {}, {0xff, 0}}},
		{Name: "b", Values: []string{}, ByteValues: [][]byte{}},
	}}
	entryBytes := envelope(around(tagSearchEntry, text("cn=x"), around(tagSequence,
		around(tagSequence, text("a"), around(tagSet, text("1"), text(""), text("\xff\x00"))),
		around(tagSequence, text("b"), around(tagSet)),
	))...)
	done := ldaptest.SearchDone(1, 0, "")
	result := func(code uint16, diagnostic string) *SearchResult {
		return &SearchResult{Result: Result{Code: code, Diagnostic: diagnostic}}
	}
	controls := func(controls ...Control) *SearchResult { return &SearchResult{Result: Result{Controls: controls}} }
	control := func(elements ...[]byte) []byte {
		return bindAnswer(nil, around(tagControls, around(tagSequence, elements...)))
	}
	extension := []byte{0x9e, 0x02, 1, 2} // an element that RFC 4511 does not know
	tests := []struct {
		name    string
		request byte
		bytes   []byte
		want    *SearchResult
	}{
		{"a bind that succeeded", tagBindRequest, ldaptest.BindResponse(1, 0, ""), result(0, "")},
		{"a refused bind", tagBindRequest, ldaptest.BindResponse(1, 49, "no"), result(49, "no")},
		{"a result code of two bytes", tagBindRequest, ldaptest.BindResponse(1, 4096, ""), result(4096, "")},
		{"the greatest result code", tagBindRequest, ldaptest.BindResponse(1, 65535, ""), result(65535, "")},
		{"a code that go-ldap has for its own errors", tagBindRequest, ldaptest.BindResponse(1, ldap.ErrorNetwork, ""), result(200, "")},
		{"a length of one byte more", tagBindRequest, ldaptest.BindResponse(1, 0, long[:200]), result(0, long[:200])},
		{"a length of two bytes more", tagBindRequest, ldaptest.BindResponse(1, 0, long[:300]), result(0, long[:300])},
		{"a long diagnostic", tagBindRequest, ldaptest.BindResponse(1, 0, long), result(0, long)},
		{"lengths of four bytes, as Samba and AD write them", tagBindRequest,
			octetsOf(t, "30 84 00000010 02 01 01 61 84 00000007 0a 01 31 04 00 04 00"), result(49, "")},
		{"everything in its longest form", tagBindRequest,
			octetsOf(t, "30 84 0000001e 02 04 00000001 61 84 00000012 0a 04 00000031 04 84 00000000 04 84 00000000"), result(49, "")},
		{"a length longer than it need be", tagBindRequest, octetsOf(t, "30 82 000c 02 01 01 61 07 0a 01 00 04 00 04 00"), result(0, "")},
		{"a matched DN", tagSearchRequest, envelope(around(tagSearchDone, []byte{tagEnumerated, 1, 32}, text("dc=x"), text(""))...),
			&SearchResult{Result: Result{Code: 32, MatchedDN: "dc=x"}}},
		{"a referral", tagBindRequest, bindAnswer(around(tagReferral, text("ldap://a"), text("ldap://b")), nil),
			&SearchResult{Result: Result{Referrals: []string{"ldap://a", "ldap://b"}}}},
		{"SASL credentials", tagBindRequest, bindAnswer([]byte{0x87, 1, 'x'}, nil), result(0, "")},
		{"an extension of the result", tagBindRequest, bindAnswer(extension, nil), result(0, "")},
		{"an extension of the message", tagBindRequest, bindAnswer(nil, extension), result(0, "")},
		{"an extension before and behind controls", tagBindRequest,
			bindAnswer(nil, join(extension, around(tagControls, around(tagSequence, text("1.2"))), extension)), controls(Control{OID: "1.2"})},
		{"no control in a list", tagBindRequest, bindAnswer(nil, around(tagControls)), controls([]Control{}...)},
		{"a control without value", tagBindRequest, control(text("1.2")), controls(Control{OID: "1.2"})},
		{"a control with an empty value", tagBindRequest, control(text("1.2"), text("")), controls(Control{OID: "1.2", Value: []byte{}})},
		{"a control with a value", tagBindRequest, control(text("1.2"), text("\x00x")), controls(Control{OID: "1.2", Value: []byte("\x00x")})},
		{"a critical control", tagBindRequest, control(text("1.2"), []byte{1, 1, 0xff}, text("v")), controls(Control{OID: "1.2", Critical: true, Value: []byte("v")})},
		{"a control critical as go-ldap writes it", tagBindRequest, control(text("1.2"), []byte{1, 1, 1}), controls(Control{OID: "1.2", Critical: true})},
		{"a control that says that it is not critical", tagBindRequest, control(text("1.2"), []byte{1, 1, 0}), controls(Control{OID: "1.2"})},
		{"an extension of a control", tagBindRequest, control(text("1.2"), text("v"), extension), controls(Control{OID: "1.2", Value: []byte("v")})},
		{"an entry", tagSearchRequest, join(entryBytes, done), &SearchResult{Entries: []*ldap.Entry{entry}}},
		{"two entries", tagSearchRequest, join(entryBytes, entryBytes, done), &SearchResult{Entries: []*ldap.Entry{entry, entry}}},
		{"an entry without attributes", tagSearchRequest, join(ldaptest.SearchEntry(1, ldaptest.Entry{DN: "cn=y"}), done),
			&SearchResult{Entries: []*ldap.Entry{{DN: "cn=y"}}}},
		{"references", tagSearchRequest, join(ldaptest.SearchReference(1, "ldap://a", "ldap://b"), ldaptest.SearchReference(1, "ldap://c"), done),
			&SearchResult{References: []string{"ldap://a", "ldap://b", "ldap://c"}}},
		{"an entry with extensions and controls", tagSearchRequest, join(envelope(join(around(tagSearchEntry, text("cn=x"), around(tagSequence,
			around(tagSequence, text("a"), around(tagSet, text("1")), extension)), extension), around(tagControls, around(tagSequence, text("1.2"))))...), done),
			&SearchResult{Entries: []*ldap.Entry{{DN: "cn=x", Attributes: []*ldap.EntryAttribute{{Name: "a", Values: []string{"1"}, ByteValues: [][]byte{{'1'}}}}}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := decoded(t, tt.request, tt.bytes)
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
			got, err = decoded(t, tt.request, singly(tt.bytes)...)
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
			for cut := 1; cut < min(len(tt.bytes), 400); cut++ {
				got, err := decoded(t, tt.request, tt.bytes[:cut], tt.bytes[cut:])
				require.NoError(t, err)
				require.Equal(t, tt.want, got, "cut after %d bytes", cut)
			}
		})
	}
}

func TestDecode_RejectsWhatIsNotLDAP(t *testing.T) {
	t.Parallel()
	control := func(elements ...[]byte) []byte {
		return bindAnswer(nil, around(tagControls, around(tagSequence, elements...)))
	}
	entry := func(elements ...[]byte) []byte { return envelope(around(tagSearchEntry, elements...)...) }
	tests := []struct {
		name   string
		bytes  []byte
		search bool
		want   error
	}{
		{"text", []byte("HTTP"), false, errNotLDAP},
		{"a set for an envelope", octetsOf(t, "31 05 02 01 01 42 00"), false, errNotLDAP},
		{"an indefinite length", octetsOf(t, "30 80"), false, errNotLDAP},
		{"the reserved length", octetsOf(t, "30 ff"), false, errNotLDAP},
		{"a length of five bytes", octetsOf(t, "30 85 00"), false, errNotLDAP},
		{"a length of 2 GiB", octetsOf(t, "30 84 7fffffff"), false, errTooLong},
		{"a length of 4 GiB", octetsOf(t, "30 84 ffffffff"), false, errTooLong},
		{"a length of 16 MiB, without its own bytes", octetsOf(t, "30 84 01000000"), false, errTooLong},
		{"an empty envelope", octetsOf(t, "30 00"), false, errNotLDAP},
		{"an ID that is text", octetsOf(t, "30 03 04 01 78"), false, errNotLDAP},
		{"an empty ID", octetsOf(t, "30 04 02 00 42 00"), false, errNotLDAP},
		{"a negative ID", octetsOf(t, "30 05 02 01 ff 42 00"), false, errNotLDAP},
		{"an ID of five bytes", octetsOf(t, "30 09 02 05 0000000001 42 00"), false, errNotLDAP},
		{"an ID longer than its message", octetsOf(t, "30 03 02 02 01"), false, errNotLDAP},
		{"an ID whose length is long-form", octetsOf(t, "30 06 02 81 01 01 42 00"), false, errNotLDAP},
		{"an ID alone", octetsOf(t, "30 03 02 01 01"), false, errNotLDAP},
		{"an operation without length", octetsOf(t, "30 04 02 01 01 61"), false, errNotLDAP},
		{"an operation of indefinite length", octetsOf(t, "30 05 02 01 01 61 80"), false, errNotLDAP},
		{"an entry of indefinite length", octetsOf(t, "30 07 02 01 01 64 80 00 00"), true, errNotLDAP},
		{"an operation whose length is cut off", octetsOf(t, "30 06 02 01 01 61 82 00"), false, errNotLDAP},
		{"an operation longer than its message", octetsOf(t, "30 08 02 01 01 61 07 0a 01 00"), false, errNotLDAP},
		{"an operation longer than its message, without result code", octetsOf(t, "30 06 02 01 01 64 02 00"), true, errNotLDAP},
		{"a result without code", octetsOf(t, "30 05 02 01 01 61 00"), false, errNotLDAP},
		{"a result code alone", octetsOf(t, "30 08 02 01 01 61 03 0a 01 00"), false, errNotLDAP},
		{"a result without diagnostic", octetsOf(t, "30 0a 02 01 01 61 05 0a 01 00 04 00"), false, errNotLDAP},
		{"a result code that is an INTEGER", octetsOf(t, "30 0c 02 01 01 61 07 02 01 00 04 00 04 00"), false, errNotLDAP},
		{"a result code that is text", octetsOf(t, "30 0c 02 01 01 61 07 04 01 30 04 00 04 00"), false, errNotLDAP},
		{"a negative result code", octetsOf(t, "30 0c 02 01 01 61 07 0a 01 ff 04 00 04 00"), false, errNotLDAP},
		{"an empty result code", octetsOf(t, "30 0b 02 01 01 61 06 0a 00 04 00 04 00"), false, errNotLDAP},
		{"a result code of five bytes", octetsOf(t, "30 10 02 01 01 61 0b 0a 05 0000000000 04 00 04 00"), false, errNotLDAP},
		{"a result code that is 0 in 16 bits", octetsOf(t, "30 0e 02 01 01 61 09 0a 03 010000 04 00 04 00"), false, errCode},
		{"a result code of the message and not of the operation", octetsOf(t, "30 08 02 01 01 61 00 0a 01 00"), false, errNotLDAP},
		{"a result code that reaches past the operation", octetsOf(t, "30 08 02 01 01 61 02 0a 01 00"), false, errNotLDAP},
		{"a matched DN that is a sequence", octetsOf(t, "30 0c 02 01 01 61 07 0a 01 00 30 00 04 00"), false, errNotLDAP},
		{"a string that reaches past the message", octetsOf(t, "30 0c 02 01 01 61 07 0a 01 00 04 00 04 64"), false, errNotLDAP},
		{"a string that reaches past its operation", octetsOf(t, "30 11 02 01 01 61 07 0a 01 00 04 00 04 03 04 03 61 62 63"), false, errNotLDAP},
		{"a length that is cut off", octetsOf(t, "30 0c 02 01 01 61 07 0a 01 00 04 00 04 84"), false, errNotLDAP},
		{"a tag and nothing", octetsOf(t, "30 0b 02 01 01 61 06 0a 01 00 04 00 04"), false, errNotLDAP},
		{"a length of no end inside", octetsOf(t, "30 10 02 01 01 61 0b 0a 01 00 04 00 04 00 24 80 00 00"), false, errNotLDAP},
		{"a string of indefinite length", octetsOf(t, "30 0c 02 01 01 61 07 0a 01 00 04 80 04 00"), false, errNotLDAP},
		{"an end-of-contents", octetsOf(t, "30 0e 02 01 01 61 09 0a 01 00 04 00 04 00 00 00"), false, errNotLDAP},
		{"a tag of several bytes", octetsOf(t, "30 0f 02 01 01 61 0a 0a 01 00 04 00 04 00 1f 01 00"), false, errNotLDAP},
		{"a referral that is text", bindAnswer(around(tagReferral, []byte{tagInteger, 1, 1}), nil), false, errNotLDAP},
		{"two referrals", bindAnswer(join(around(tagReferral, text("a")), around(tagReferral, text("a"))), nil), false, errNotLDAP},
		{"two lists of controls", bindAnswer(nil, join(around(tagControls), around(tagControls))), false, errNotLDAP},
		{"a control that is text", bindAnswer(nil, around(tagControls, text("1.2"))), false, errNotLDAP},
		{"a control without type", control(), false, errNotLDAP},
		{"a control whose type is a number", control([]byte{tagInteger, 1, 1}), false, errNotLDAP},
		{"a control with two values", control(text("1.2"), text("a"), text("b")), false, errNotLDAP},
		{"a control critical behind its value", control(text("1.2"), text("a"), []byte{1, 1, 0xff}), false, errNotLDAP},
		{"a control critical twice", control(text("1.2"), []byte{1, 1, 0xff}, []byte{1, 1, 0}), false, errNotLDAP},
		{"a criticality of two bytes", control(text("1.2"), []byte{1, 2, 0, 0}), false, errNotLDAP},
		{"an empty criticality", control(text("1.2"), []byte{1, 0}), false, errNotLDAP},
		{"a control cut off behind its type", control(text("1.2"), []byte{4, 5}), false, errNotLDAP},
		{"an entry without DN", entry(), true, errNotLDAP},
		{"an entry without attributes", entry(text("cn=x")), true, errNotLDAP},
		{"an entry whose DN is a number", entry([]byte{tagInteger, 1, 1}, around(tagSequence)), true, errNotLDAP},
		{"an entry whose attributes are a set", entry(text("cn=x"), around(tagSet)), true, errNotLDAP},
		{"an attribute without name", entry(text("cn=x"), around(tagSequence, around(tagSequence))), true, errNotLDAP},
		{"an attribute without values", entry(text("cn=x"), around(tagSequence, around(tagSequence, text("a")))), true, errNotLDAP},
		{"an attribute whose values are a sequence", entry(text("cn=x"), around(tagSequence, around(tagSequence, text("a"), around(tagSequence)))), true, errNotLDAP},
		{"a value that is a number", entry(text("cn=x"), around(tagSequence, around(tagSequence, text("a"), around(tagSet, []byte{tagInteger, 1, 1})))), true, errNotLDAP},
		{"a value that reaches past its set", entry(text("cn=x"), around(tagSequence, around(tagSequence, text("a"), []byte{tagSet, 2, 4, 1}, []byte{0}))), true, errNotLDAP},
		{"an entry with an extension cut off", entry(text("cn=x"), around(tagSequence), []byte{0x99, 5}), true, errNotLDAP},
		{"an attribute with an extension cut off", entry(text("cn=x"), around(tagSequence, around(tagSequence, text("a"), around(tagSet), []byte{0x99, 5}))), true, errNotLDAP},
		{"a reference that is a number", envelope(around(tagSearchReference, []byte{tagInteger, 1, 1})...), true, errNotLDAP},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			request := byte(tagBindRequest)
			if tt.search {
				request = tagSearchRequest
			}
			_, err := decoded(t, request, tt.bytes)
			require.ErrorIs(t, err, tt.want)
			_, err = decoded(t, request, singly(tt.bytes)...)
			require.ErrorIs(t, err, tt.want)
		})
	}
}

func TestDecode_ALengthIsRefusedBeforeItsMessageArrived(t *testing.T) {
	t.Parallel()
	for name, b := range map[string][]byte{
		"too long":   octetsOf(t, "30 84 01000000"),
		"indefinite": ldaptest.IndefiniteLength()[:2],
		"deep":       ldaptest.DeepNesting(1),
		"endless":    ldaptest.EndlessLength(),
	} {
		_, err := decoded(t, tagBindRequest, b)
		require.Error(t, err, name)
		require.NotErrorIs(t, err, errPeerClosed, name)
	}
}

// TestDecode_EachBoundIsKept: one more than the bound is refused, and the bound itself is not.
func TestDecode_EachBoundIsKept(t *testing.T) {
	t.Parallel()
	long := func(n int) []byte { return text(strings.Repeat("x", n)) }
	result := func(matched, diagnostic, more []byte) []byte {
		return envelope(around(tagBindResponse, []byte{tagEnumerated, 1, 0}, matched, diagnostic, more)...)
	}
	done := ldaptest.SearchDone(1, 0, "")
	exactly := func(n int) []byte { // a string of n bytes with its tag and length; both grow alike
		return append([]byte{tagOctetString, 0x83, byte((n - 5) >> 16), byte((n - 5) >> 8), byte(n - 5)}, make([]byte, n-5)...)
	}
	control := func(n int, elements ...[]byte) []byte {
		return bindAnswer(nil, around(tagControls, bytes.Repeat(around(tagSequence, elements...), n)))
	}
	tests := []struct {
		name   string
		search bool
		bound  int
		bytes  func(n int) []byte
		err    error
	}{
		{"a matched DN", false, maxDN, func(n int) []byte { return result(long(n), text(""), nil) }, errDN},
		{"a result", false, maxResult, func(n int) []byte { return bindAnswer(exactly(n-20), nil) }, errResult},
		{"a reference", true, maxResult, func(n int) []byte { return join(envelope(around(tagSearchReference, exactly(n-13))...), done) }, errResult},
		{"an entry's DN", true, maxDN, func(n int) []byte {
			return join(envelope(around(tagSearchEntry, long(n), around(tagSequence))...), done)
		}, errDN},
		{"controls", false, maxControls, func(n int) []byte { return control(n, text("1.2")) }, errControls},
		{"a control's OID", false, maxControl, func(n int) []byte { return control(1, long(n)) }, errControls},
		{"a control's value", false, maxControl, func(n int) []byte { return control(1, text("1.2"), long(n)) }, errControls},
		{"an entry's controls", true, maxControls, func(n int) []byte {
			return join(envelope(join(around(tagSearchEntry, text(""), around(tagSequence)),
				around(tagControls, bytes.Repeat(around(tagSequence, text("1.2")), n)))...), done)
		}, errControls},
		{"elements", true, maxElements, func(n int) []byte { // 9 are others
			return join(envelope(around(tagSearchEntry, text(""), around(tagSequence, around(tagSequence, text("a"),
				around(tagSet, bytes.Repeat([]byte{4, 0}, n-14)))))...), done)
		}, errTooMany},
		{"elements that are skipped", true, maxElements, func(n int) []byte {
			return join(envelope(join(around(tagSearchEntry, text(""), around(tagSequence)), bytes.Repeat([]byte{0x99, 0}, n-11))...), done)
		}, errTooMany},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			request := byte(tagBindRequest)
			if tt.search {
				request = tagSearchRequest
			}
			_, err := decoded(t, request, tt.bytes(tt.bound))
			require.NoError(t, err)
			_, err = decoded(t, request, tt.bytes(tt.bound+1))
			require.ErrorIs(t, err, tt.err)
		})
	}
	t.Run("a message", func(t *testing.T) {
		t.Parallel()
		whole := func(size int) []byte { // of 4-byte lengths, so that the size is exact
			wrap := func(tag byte, content []byte) []byte {
				n := len(content)
				return append([]byte{tag, 0x84, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, content...)
			}
			value := make([]byte, size-6-3-6-2-6-6-3-6-6)
			return wrap(tagSequence, join([]byte{2, 1, 1}, wrap(tagSearchEntry, join(text(""), wrap(tagSequence,
				wrap(tagSequence, join(text("a"), wrap(tagSet, wrap(tagOctetString, value)))))))))
		}
		require.Len(t, whole(1000), 1000)
		_, err := decoded(t, tagSearchRequest, whole(maxAnswer))
		require.ErrorIs(t, err, errPeerClosed, "there is no room for the end of the search")
		_, err = decoded(t, tagSearchRequest, whole(maxAnswer-len(done)), done)
		require.NoError(t, err)
		_, err = decoded(t, tagSearchRequest, whole(maxAnswer-len(done)+1), done)
		require.ErrorIs(t, err, errTooLong)
		_, err = decoded(t, tagSearchRequest, whole(maxAnswer + 1)[:6])
		require.ErrorIs(t, err, errTooLong, "before it arrived")
	})
}

// TestDecode_NestingCostsNothing: what is not one of LDAP's shapes is skipped or refused, and not
// followed.
func TestDecode_NestingCostsNothing(t *testing.T) {
	t.Parallel()
	deep := text("")
	for len(deep) < 3<<20 {
		deep = around(tagSequence, deep)
		if len(deep) > 10_000 {
			deep = around(tagSequence, bytes.Repeat(deep, 20))
		}
	}
	entry := func(extension, behind []byte) []byte {
		return join(envelope(join(around(tagSearchEntry, text(""), around(tagSequence), extension), behind)...), ldaptest.SearchDone(1, 0, ""))
	}
	_, err := decoded(t, tagSearchRequest, entry(around(0xb9, deep), nil))
	require.NoError(t, err, "an extension")
	_, err = decoded(t, tagSearchRequest, entry(nil, around(tagControls, deep)))
	require.ErrorIs(t, err, errNotLDAP)
}

// TestDecode_TheValuesOfAnEntryAreApart: appending to one does not change the next.
func TestDecode_TheValuesOfAnEntryAreApart(t *testing.T) {
	t.Parallel()
	attribute := func(name string) []byte { return around(tagSequence, text(name), around(tagSet, text("1"), text("2"))) }
	b := join(envelope(around(tagSearchEntry, text("cn=x"), around(tagSequence, attribute("a"), attribute("b")))...), ldaptest.SearchDone(1, 0, ""))
	r, err := decoded(t, tagSearchRequest, b)
	require.NoError(t, err)
	clear(b)
	first := r.Entries[0].Attributes[0]
	_ = append(first.ByteValues[0], "xxx"...)
	_ = append(first.Values, "x")
	_ = append(first.ByteValues, []byte("x"))
	for i, name := range []string{"a", "b"} {
		require.Equal(t, &ldap.EntryAttribute{Name: name, Values: []string{"1", "2"}, ByteValues: [][]byte{{'1'}, {'2'}}}, r.Entries[0].Attributes[i])
	}
}

// perByte bounds what an answer may take, for each byte that arrived: the two copies of an entry's
// bytes, a value of two bytes as a string and a slice, and the growth of lists by doubling.
const perByte = 64

// requireFrugal checks that an answer takes no more memory than its bytes allow. Nothing else may
// run.
func requireFrugal(t testing.TB, request byte, b []byte) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _ = decoded(t, request, b)
	runtime.ReadMemStats(&after)
	require.LessOrEqual(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<10+perByte*len(b)), "of %d bytes", len(b))
}

func TestDecode_MemoryIsBoundedByWhatArrived(t *testing.T) { //nolint:paralleltest // it measures the memory of the process
	values := func(n int, value []byte) []byte {
		return envelope(around(tagSearchEntry, text(""), around(tagSequence, around(tagSequence, text(""), around(tagSet, bytes.Repeat(value, n)))))...)
	}
	for name, b := range map[string][]byte{
		"empty values":     values(maxElements-100, text("")),
		"short values":     values(maxElements-100, text("x")),
		"one long value":   values(1, text(strings.Repeat("x", 3<<20))),
		"empty attributes": envelope(around(tagSearchEntry, text(""), around(tagSequence, bytes.Repeat(around(tagSequence, text(""), around(tagSet)), maxElements/4)))...),
		"empty entries":    bytes.Repeat(envelope(around(tagSearchEntry, text(""), around(tagSequence))...), maxElements/6),
		"references":       bytes.Repeat(envelope(around(tagSearchReference, bytes.Repeat(text(""), 50))...), 2000),
		"extensions":       values(1000, []byte{0x99, 0}),
	} {
		t.Run(name, func(t *testing.T) { requireFrugal(t, tagSearchRequest, b) })
	}
	full := bindAnswer(around(tagReferral, bytes.Repeat(text("x"), 40_000)), around(tagControls, bytes.Repeat(around(tagSequence, text("1.2"), text("x")), maxControls)))
	t.Run("controls", func(t *testing.T) { requireFrugal(t, tagBindRequest, full) })
}

// TestDecode_ALongResultIsRefusedBeforeItArrived, as soon as it can be seen that it is no entry.
func TestDecode_ALongResultIsRefusedBeforeItArrived(t *testing.T) {
	t.Parallel()
	head := octetsOf(t, "30 84 00200000 02 01 01 61")
	for n := range head {
		_, err := decoded(t, tagBindRequest, head[:n])
		require.ErrorIs(t, err, errPeerClosed, "after %d bytes", n)
	}
	_, err := decoded(t, tagBindRequest, head)
	require.ErrorIs(t, err, errResult)
	entry := append(bytes.Clone(head[:len(head)-1]), tagSearchEntry)
	_, err = decoded(t, tagSearchRequest, entry)
	require.ErrorIs(t, err, errPeerClosed, "an entry may be that long")
	_, err = decoded(t, tagBindRequest, entry)
	require.ErrorIs(t, err, errResult)
}

// TestDecode_APartOfALargeEntryDoesNotKeepTheRest: a caller that keeps a name, a DN, a value or an
// attribute of each of many entries keeps the memory of no more than that.
func TestDecode_APartOfALargeEntryDoesNotKeepTheRest(t *testing.T) { //nolint:paralleltest // it measures the memory of the process
	const entries = 32
	message := around(tagSequence, []byte{tagInteger, 1, 1}, around(tagSearchEntry, text("cn=x"), around(tagSequence,
		around(tagSequence, text("cn"), around(tagSet, text("short"))),
		around(tagSequence, text("jpegPhoto"), around(tagSet, text(strings.Repeat("z", 1<<20)), text("short"))))))
	for name, part := range map[string]func(*ldap.Entry) any{
		"DN":        func(e *ldap.Entry) any { return e.DN },
		"name":      func(e *ldap.Entry) any { return e.Attributes[1].Name },
		"value":     func(e *ldap.Entry) any { return e.Attributes[1].Values[1] },
		"octets":    func(e *ldap.Entry) any { return e.Attributes[1].ByteValues[1] },
		"values":    func(e *ldap.Entry) any { return e.Attributes[0].Values },
		"allOctets": func(e *ldap.Entry) any { return e.Attributes[0].ByteValues },
	} {
		t.Run(name, func(t *testing.T) {
			var kept []any
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for range entries {
				count := 0
				m, err := readMessage(message, &count)
				require.NoError(t, err)
				var r SearchResult
				_, err = r.decode(&m, 1, tagSearchRequest)
				require.NoError(t, err)
				kept = append(kept, part(r.Entries[0]))
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(entries*16<<10), "%d of %d bytes are kept", after.HeapAlloc-before.HeapAlloc, entries*len(message))
			runtime.KeepAlive(kept)
		})
	}
}

// TestDecode_KeepsAFewReferences of an answer that has many, in one message or several: none is
// followed.
func TestDecode_KeepsAFewReferences(t *testing.T) {
	t.Parallel()
	result := func(op byte, more ...[]byte) []byte {
		return around(tagSequence, []byte{tagInteger, 1, 1},
			around(op, append([][]byte{{tagEnumerated, 1, 10}, text(""), text("")}, more...)...))
	}
	urls := bytes.Repeat(text("ldap://x/"), maxURLs-1)
	reference := around(tagSequence, []byte{tagInteger, 1, 1}, around(tagSearchReference, urls))
	answer, err := decoded(t, tagSearchRequest, reference, reference, result(tagSearchDone, around(tagReferral, urls, urls)))
	require.NoError(t, err)
	require.Len(t, answer.References, maxURLs)
	require.Len(t, answer.Referrals, maxURLs)
	_, err = decoded(t, tagBindRequest, result(tagBindResponse, around(tagReferral, urls, text("ldap://x/"), []byte{tagInteger, 1, 1})))
	require.Error(t, err, "those that are dropped are checked")
}
