package ldapserver

import (
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRequest_HasEveryPartOfASearch(t *testing.T) {
	t.Parallel()
	got, err := read(searchRequest(t, "(&(cn=a)(!(sn=*)))"))
	require.NoError(t, err)
	assert.NotNil(t, got.Packet)
	assert.EqualValues(t, ldap.FilterAnd, got.FilterPacket.Tag)
	got.Packet, got.FilterPacket = nil, nil
	assert.Equal(t, Request{
		MessageID: 7, Op: OpSearch, DN: "dc=example", Scope: ldap.ScopeSingleLevel, SizeLimit: 3, TypesOnly: true,
		Filter: "(&(cn=a)(!(sn=*)))", Attributes: []string{"cn"}, Controls: []string{"1.2.3"},
	}, got)
	assert.True(t, got.HasControl("1.2.3"))
	assert.False(t, got.HasControl("1.2"))
}

// bindOf encodes a bind with an authentication.
func bindOf(t *testing.T, auth *ber.Packet) []byte {
	t.Helper()
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationBindRequest, nil, "")
	op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, int64(3), ""))
	op.AppendChild(octets("uid=a"))
	op.AppendChild(auth)
	return request(t, op)
}

func TestRequest_HasThePasswordOrTheMechanismOfABind(t *testing.T) {
	t.Parallel()
	simple, err := read(bindOf(t, ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, "pw", "")))
	require.NoError(t, err)
	assert.Equal(t, []string{"uid=a", "pw", ""}, []string{simple.DN, simple.Password, simple.SASL})
	mechanism := ber.Encode(ber.ClassContext, ber.TypeConstructed, 3, nil, "")
	mechanism.AppendChild(octets("EXTERNAL"))
	sasl, err := read(bindOf(t, mechanism))
	require.NoError(t, err)
	assert.Equal(t, []string{"uid=a", "", "EXTERNAL"}, []string{sasl.DN, sasl.Password, sasl.SASL})
}

func TestRequest_ThatLacksAPartIsMalformed(t *testing.T) {
	t.Parallel()
	whole := ber.DecodePacket(searchRequest(t, "(cn=a)")).Children[1]
	for n := range len(whole.Children) {
		cut := ber.Encode(ber.ClassApplication, ber.TypeConstructed, whole.Tag, nil, "")
		for _, child := range whole.Children[:n] {
			cut.AppendChild(child)
		}
		_, err := read(request(t, cut))
		require.ErrorIs(t, err, errRequest, "%d parts", n)
	}
	for name, b := range map[string][]byte{
		"nothing":                {0x30, 0x00},
		"an id alone":            {0x30, 0x03, 0x02, 0x01, 0x01},
		"text for an id":         {0x30, 0x05, 0x04, 0x01, 'x', 0x42, 0x00},
		"no application's tag":   {0x30, 0x05, 0x02, 0x01, 0x01, 0x04, 0x00},
		"an empty bind":          {0x30, 0x05, 0x02, 0x01, 0x01, 0x60, 0x00},
		"a SASL bind of nothing": bindOf(t, ber.Encode(ber.ClassContext, ber.TypeConstructed, 3, nil, "")),
	} {
		_, err := read(b)
		require.ErrorIs(t, err, errRequest, name)
	}
}

func TestResponse_AnswersEachOperationWithItsOwn(t *testing.T) {
	t.Parallel()
	for op, want := range map[Op]ber.Tag{
		OpBind: 1, OpSearch: 5, OpExtended: 24, ldap.ApplicationModifyRequest: 7, ldap.ApplicationAddRequest: 9,
		ldap.ApplicationDelRequest: 11, ldap.ApplicationModifyDNRequest: 13, ldap.ApplicationCompareRequest: 15,
	} {
		p := ber.DecodePacket(Response(7, op, Result{Code: 32, MatchedDN: "dc=org", Diagnostic: "text"}))
		answer := p.Children[1]
		assert.Equal(t, want, answer.Tag, op)
		assert.Equal(t, []any{int64(7), int64(32), "dc=org", "text"},
			[]any{p.Children[0].Value, answer.Children[0].Value, answer.Children[1].Value, answer.Children[2].Value})
	}
	assert.Nil(t, Response(7, OpUnbind, Result{}))
	assert.Nil(t, Response(7, OpAbandon, Result{}))
}
