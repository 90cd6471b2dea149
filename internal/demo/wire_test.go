package demo

import (
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// message is an LDAPMessage (RFC 4511 section 4.1.1) with the number 1.
func message(operation *ber.Packet) []byte {
	envelope := ber.NewSequence("LDAPMessage")
	envelope.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 1, "id"))
	envelope.AppendChild(operation)
	return envelope.Bytes()
}

// octets is an OCTET STRING.
func octets(value string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, value, "")
}

// number is an INTEGER or ENUMERATED.
func number(tag ber.Tag, value int) *ber.Packet {
	return ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, tag, value, "")
}

// bindRequestBytes is a simple bind as it goes over the wire.
func bindRequestBytes(t testing.TB, dn, password string) []byte {
	t.Helper()
	bind := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationBindRequest, nil, "")
	bind.AppendChild(number(ber.TagInteger, 3))
	bind.AppendChild(octets(dn))
	bind.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, password, ""))
	return message(bind)
}

// searchRequestBytes is a search for everything below the base.
func searchRequestBytes(t testing.TB, base string) []byte {
	t.Helper()
	filter, err := ldap.CompileFilter("(objectClass=*)")
	require.NoError(t, err)
	search := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchRequest, nil, "")
	search.AppendChild(octets(base))
	search.AppendChild(number(ber.TagEnumerated, ldap.ScopeWholeSubtree))
	search.AppendChild(number(ber.TagEnumerated, ldap.NeverDerefAliases))
	search.AppendChild(number(ber.TagInteger, 0))
	search.AppendChild(number(ber.TagInteger, 0))
	search.AppendChild(ber.NewBoolean(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, false, ""))
	search.AppendChild(filter)
	search.AppendChild(ber.NewSequence("attributes"))
	return message(search)
}
