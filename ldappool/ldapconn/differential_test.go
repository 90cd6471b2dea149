package ldapconn

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// theirs is what go-ldap makes of bytes that arrive as the answer to its first request. Their
// controls are decoded.
type theirs struct {
	code                  uint16
	matchedDN, diagnostic string // with a code that is not success
	entries               []*ldap.Entry
	references            []string
	controls              []string // OIDs
}

// goLDAP asks go-ldap. It recovers from a panic of its decoder.
func goLDAP(request byte, b []byte) (r theirs, err error) {
	ours, peer := net.Pipe()
	conn := ldap.NewConn(ours, false)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = peer.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := ber.ReadPacket(peer); err == nil {
			_, _ = peer.Write(b)
		}
		_ = peer.Close()
	}()
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("panic")
		}
		_ = conn.Close()
		<-served
	}()
	conn.Start()
	var controls []ldap.Control
	if request == tagBindRequest {
		var answer *ldap.SimpleBindResult
		if answer, err = conn.SimpleBind(ldap.NewSimpleBindRequest("cn=x", "x", nil)); answer != nil {
			controls = answer.Controls
		}
	} else {
		var answer *ldap.SearchResult
		if answer, err = conn.Search(anyone()); answer != nil {
			controls, r.entries, r.references = answer.Controls, answer.Entries, answer.Referrals
		}
	}
	for _, c := range controls {
		r.controls = append(r.controls, c.GetControlType())
	}
	var verdict *ldap.Error
	if errors.As(err, &verdict) && (verdict.ResultCode < ldap.ErrorNetwork || verdict.ResultCode > ldap.ErrorMalformedPacket) {
		r.code, r.matchedDN, r.diagnostic = verdict.ResultCode, verdict.MatchedDN, verdict.Err.Error()
		err = nil
	}
	return r, err
}

// requireSame checks that both read the same.
func requireSame(t testing.TB, request byte, ours *SearchResult, other theirs) {
	t.Helper()
	require.Equal(t, other.code, ours.Code)
	if ours.Code != ldap.LDAPResultSuccess { // go-ldap does not return the texts of a success
		require.Equal(t, other.matchedDN, ours.MatchedDN)
		require.Equal(t, other.diagnostic, ours.Diagnostic)
	}
	if request == tagBindRequest || ours.Code == ldap.LDAPResultSuccess { // nor the controls of a search that failed
		var oids []string
		for _, c := range ours.Controls {
			oids = append(oids, c.OID)
		}
		require.Equal(t, other.controls, oids)
	}
	require.Len(t, ours.Entries, len(other.entries))
	for i, e := range ours.Entries {
		require.Equal(t, other.entries[i].DN, e.DN)
		require.Len(t, e.Attributes, len(other.entries[i].Attributes))
		for j, a := range e.Attributes {
			want := other.entries[i].Attributes[j]
			require.Equal(t, want.Name, a.Name)
			require.ElementsMatch(t, want.Values, a.Values)
			require.Len(t, a.ByteValues, len(want.ByteValues))
			for k := range a.ByteValues {
				require.Equal(t, want.ByteValues[k], a.ByteValues[k])
			}
		}
	}
	rest := ours.References
	for _, first := range other.references { // of each message; go-ldap drops the others
		i := slices.Index(rest, first)
		require.GreaterOrEqual(t, i, 0, first)
		rest = rest[i+1:]
	}
}

// TestDecode_DiffersFromGoLDAP lists the answers that only one of the two takes, with the reason.
func TestDecode_DiffersFromGoLDAP(t *testing.T) {
	t.Parallel()
	control := func(elements ...[]byte) []byte {
		return bindAnswer(nil, around(tagControls, around(tagSequence, elements...)))
	}
	done := ldaptest.SearchDone(1, 0, "")
	tests := []struct {
		name    string // with the reason
		request byte
		bytes   []byte
		ours    bool // only this package takes it
	}{
		{"a code that go-ldap has for its own errors: it is a code like any other that is not known", tagBindRequest,
			ldaptest.BindResponse(1, ldap.ErrorNetwork, ""), true},
		{"a control whose value go-ldap cannot decode: the value is not this package's business", tagBindRequest,
			ldaptest.BadPolicyControl(1), true},
		{"a control with an empty value where go-ldap wants one: the same", tagBindRequest,
			control(text(ldap.ControlTypePaging), text("")), true},

		{"an extension that is no BER inside: what is not known is skipped", tagBindRequest, bindAnswer(around(0xb9, []byte{4, 5}), nil), true},

		{"an extended success to a bind: it answers something else", tagBindRequest, ldaptest.ExtendedToBind(1), false},
		{"a search's end to a bind: the same", tagBindRequest, ldaptest.SearchDoneToBind(1), false},
		{"an intermediate response that is in a search: none is requested", tagSearchRequest,
			join(envelope(around(0x79)...), done), false},
		{"a control list under another tag: what is not known is skipped", tagBindRequest,
			bindAnswer(nil, around(0xa1, around(tagSequence, text("1.2")))), false},
		{"a second list of controls: which one counts is not known", tagBindRequest,
			bindAnswer(nil, join(around(tagControls), around(tagControls))), false},
		{"a name that is longer than any: it is decoded again, by others", tagSearchRequest,
			join(ldaptest.SearchEntry(1, ldaptest.Entry{DN: strings.Repeat("x", maxDN+1)}), done), false},
		{"an ID in a long form: what goes out of its way to be unreadable is not read", tagBindRequest,
			octetsOf(t, "30 0d 02 81 01 01 61 07 0a 01 00 04 00 04 00"), false},
		{"a set for the sequence of attributes: it is no entry", tagSearchRequest,
			join(envelope(around(tagSearchEntry, text("cn=x"), around(tagSet))...), done), false},
		{"a success behind an answer: it was not requested", tagBindRequest, join(ldaptest.BindResponse(1, 0, ""), ldaptest.BindResponse(1, 0, "")), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ours, err := decoded(t, tt.request, tt.bytes)
			other, theirErr := goLDAP(tt.request, tt.bytes)
			if strings.Contains(tt.name, "under another tag") { // both take it, and read it differently
				require.NoError(t, err)
				require.NoError(t, theirErr)
				require.Empty(t, ours.Controls)
				require.NotEmpty(t, other.controls)
				return
			}
			require.Equal(t, tt.ours, err == nil, err)
			require.Equal(t, tt.ours, theirErr != nil, theirErr)
		})
	}
}

// FuzzDecode compares what this package and go-ldap make of arbitrary bytes. What both take must
// mean the same, but for controls under a tag that is not theirs; and however the bytes are cut,
// this package makes the same of them. It takes no more memory than the bytes allow.
func FuzzDecode(f *testing.F) {
	for _, m := range ldaptest.MalformedAnswers() {
		if b := m.Bytes(1); len(b) < 1000 {
			f.Add(b, false, uint16(5))
			f.Add(b, true, uint16(5))
		}
	}
	entry := ldaptest.SearchEntry(1, ldaptest.Entry{DN: ldaptest.UserDN(1), Attributes: map[string][]string{"uid": {"user1"}, "mail": {"a", ""}}})
	f.Add(join(entry, entry, ldaptest.SearchReference(1, "ldap://a", "b"), ldaptest.SearchDone(1, 4, "more")), true, uint16(20))
	f.Add(ldaptest.BindResponse(1, 49, "no", ldaptest.Control{OID: "1.2.3", Value: []byte("x")}, ldaptest.Control{OID: "1.2"}), false, uint16(7))
	f.Add(ldaptest.BindResponse(1, 0, "", ldaptest.Control{OID: ldap.ControlTypeBeheraPasswordPolicy, Value: []byte{0x30, 3, 0x81, 1, 1}}), false, uint16(7))
	f.Add(bindAnswer(around(tagReferral, text("ldap://a")), around(tagControls, around(tagSequence, text("1.2"), []byte{1, 1, 0xff}, text("v")))), false, uint16(1))
	f.Add(bindResult(14, around(0x87, []byte("a SASL challenge")), nil), false, uint16(9))
	f.Add(join(ldaptest.SearchEntry(1, ldaptest.Entry{DN: "cn=x"}), ldaptest.NoticeOfDisconnection(52, "bye")), true, uint16(3))
	f.Fuzz(func(t *testing.T, b []byte, search bool, cut uint16) {
		if len(b) > 4<<10 { // go-ldap copies the bytes at each level of nesting
			return
		}
		request := byte(tagBindRequest)
		if search {
			request = tagSearchRequest
		}
		ours, err := decoded(t, request, b)
		at := min(int(cut), len(b))
		again, againErr := decoded(t, request, b[:at], b[at:])
		require.Equal(t, ours, again)
		require.Equal(t, err == nil, againErr == nil, "%v, and in two pieces %v", err, againErr)
		if err != nil {
			return
		}
		other, theirErr := goLDAP(request, b)
		if hasUnknownTail(b) {
			return
		}
		if theirErr != nil {
			requireReason(t, ours, b, theirErr)
			return
		}
		requireSame(t, request, ours, other)
	})
}

// requireReason checks that go-ldap refused an answer for a reason that
// TestDecode_DiffersFromGoLDAP lists.
func requireReason(t testing.TB, ours *SearchResult, b []byte, err error) {
	t.Helper()
	if ours.Code >= ldap.ErrorNetwork && ours.Code <= ldap.ErrorMalformedPacket || len(ours.Controls) > 0 {
		return
	}
	for r := bytes.NewReader(b); r.Len() > 0; {
		if _, err := ber.ReadPacket(r); err != nil {
			return // it decodes what this package skips
		}
	}
	require.NoError(t, err, "go-ldap alone refuses %+v", ours)
}

// hasUnknownTail reports whether a message of b has something behind its operation that is not
// controls, which go-ldap takes for controls.
func hasUnknownTail(b []byte) bool {
	for len(b) > 0 {
		size, err := messageSize(b)
		if err != nil || size == 0 || size > len(b) {
			return false
		}
		var count int
		m, err := readMessage(b[:size], &count)
		if err != nil {
			return false
		}
		if e, err := m.tail.next(); err == nil && (e.tag != tagControls || m.tail.more()) {
			return true
		}
		b = b[size:]
	}
	return false
}

// FuzzDecodeMemory looks for answers that take more memory than their bytes allow.
func FuzzDecodeMemory(f *testing.F) {
	entry := around(tagSearchEntry, text(""), around(tagSequence, around(tagSequence, text("a"), around(tagSet, text("")))))
	f.Add(entry, uint16(1000))
	f.Add(around(tagSearchReference, text("")), uint16(1000))
	f.Add(around(tagSearchEntry, text(""), around(tagSequence, around(tagSequence, text(""), around(tagSet)))), uint16(1000))
	f.Fuzz(func(t *testing.T, op []byte, times uint16) {
		message := envelope(op...)
		if len(message)*int(times) > 2*maxAnswer {
			return
		}
		b := make([]byte, 0, len(message)*int(times))
		for range times {
			b = append(b, message...)
		}
		requireFrugal(t, tagSearchRequest, b)
	})
}
