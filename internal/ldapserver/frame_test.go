package ldapserver

import (
	"bufio"
	"bytes"
	"io"
	"testing"

	"authsvc/internal/memtest"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// request encodes a message around an operation.
func request(t testing.TB, op *ber.Packet, controls ...Control) []byte {
	t.Helper()
	return message(7, op, controls)
}

// searchRequest encodes a search.
func searchRequest(t testing.TB, filter string) []byte {
	t.Helper()
	compiled, err := ldap.CompileFilter(filter)
	require.NoError(t, err)
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchRequest, nil, "")
	op.AppendChild(octets("dc=example"))
	for _, n := range []int64{ldap.ScopeSingleLevel, ldap.NeverDerefAliases} {
		op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, n, ""))
	}
	for _, n := range []int64{3, 4} {
		op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, n, ""))
	}
	op.AppendChild(ber.NewBoolean(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, true, ""))
	op.AppendChild(compiled)
	attributes := ber.NewSequence("")
	attributes.AppendChild(octets("cn"))
	op.AppendChild(attributes)
	return request(t, op, Control{OID: "1.2.3"})
}

func read(b []byte) (Request, error) {
	p, err := readPacket(bufio.NewReader(bytes.NewReader(b)))
	if err != nil {
		return Request{}, err
	}
	return parseRequest(p)
}

func TestReadPacket_RejectsInvalidAndLargeMessages(t *testing.T) {
	t.Parallel()
	nested := func(depth int) []byte {
		b := octets("x").Bytes()
		for range depth {
			p := ber.NewSequence("")
			p.AppendChild(ber.DecodePacket(b))
			b = p.Bytes()
		}
		return b
	}
	for name, b := range map[string][]byte{
		"TLS":                       []byte("\x16\x03\x01\x02\x00\x01"),
		"HTTP":                      []byte("GET / HTTP/1.1\r\n\r\n"),
		"an indefinite length":      {0x30, 0x80, 0x02, 0x01, 0x01, 0x00, 0x00},
		"a length of five octets":   {0x30, 0x85, 0, 0, 0, 0, 0},
		"a message of 2 GiB":        {0x30, 0x84, 0x7f, 0xff, 0xff, 0xff},
		"one byte too many":         {0x30, 0x83, 0x10, 0x00, 0x01},
		"an element beyond the end": {0x30, 0x03, 0x04, 0x05, 'x'},
		"a cut element":             {0x30, 0x01, 0x04},
		"a cut length":              {0x30, 0x02, 0x04, 0x82},
		"a tag of several octets":   {0x30, 0x04, 0x1f, 0x81, 0x01, 0x00},
		"an indefinite element":     {0x30, 0x04, 0x30, 0x80, 0x00, 0x00},
		"too many levels":           nested(maxDepth + 1),
	} {
		_, err := readPacket(bufio.NewReader(bytes.NewReader(b)))
		require.ErrorIs(t, err, errFrame, name)
	}
	_, err := readPacket(bufio.NewReader(bytes.NewReader(nested(maxDepth - 1))))
	require.NoError(t, err)
	_, err = readPacket(bufio.NewReader(bytes.NewReader(searchRequest(t, "(cn=x)")[:20])))
	require.ErrorIs(t, err, io.EOF)
}

// TestReadPacket_TakesMemoryForWhatArrives is not parallel: it measures the whole process.
func TestReadPacket_TakesMemoryForWhatArrives(t *testing.T) { //nolint:paralleltest // see above
	b := []byte{0x30, 0x83, 0x0f, 0xff, 0xff, 0x04} // a megabyte, of which one byte comes
	used := memtest.Measure(func() {
		_, err := readPacket(bufio.NewReader(bytes.NewReader(b)))
		require.Error(t, err)
	})
	assert.Less(t, used.Total, uint64(256<<10))
}

func FuzzReadPacket(f *testing.F) {
	f.Add(searchRequest(f, "(&(objectClass=person)(!(cn=a*b*c))(member:dn:2.4:=x))"))
	f.Add(BindResponse(1, 0, ""))
	f.Add(Response(1, OpSearch, Result{Code: 32, MatchedDN: "dc=org", Diagnostic: "text"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		memtest.Bound(t, len(b), 256<<10, 2000, func() { _, _ = read(b) })
	})
}
