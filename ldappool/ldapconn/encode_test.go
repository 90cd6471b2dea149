package ldapconn

import (
	"bytes"
	"fmt"
	"math"
	"net"
	"strings"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// requestOf returns the first request that go-ldap sends when do uses a connection of its.
func requestOf(t testing.TB, do func(*ldap.Conn) error) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	conn := ldap.NewConn(ours, false)
	conn.Start()
	over := make(chan struct{})
	go func() { defer close(over); _ = do(conn) }() // its error is the end of the pipe
	p, err := ber.ReadPacket(theirs)
	require.NoError(t, err)
	require.NoError(t, theirs.Close())
	<-over
	_ = conn.Close()
	return p.Bytes()
}

// encoded is a request as this package sends it, with message ID 1.
func encoded(t testing.TB, operation func([]byte) ([]byte, error)) []byte {
	t.Helper()
	b, err := appendMessage(nil, 1, operation)
	require.NoError(t, err)
	return b
}

func encodedSearch(t testing.TB, req *ldap.SearchRequest, filter Filter) []byte {
	t.Helper()
	return encoded(t, func(b []byte) ([]byte, error) { return appendSearch(b, req, filter) })
}

// lengths of a text at which the length of an element takes one byte more, or the length of one
// around it.
var lengths = []int{1, 100, 110, 115, 120, 126, 127, 128, 200, 240, 255, 256, 1000, 65_000, 65_535, 65_536, 100_000}

func TestEncode_ABindIsGoLDAPs(t *testing.T) {
	t.Parallel()
	ppolicy := Control{OID: ldap.ControlTypeBeheraPasswordPolicy}
	valued := Control{OID: "1.2.3", Value: []byte("value")}
	type request struct {
		name         string
		dn, password string
		controls     []Control
		theirs       []ldap.Control
	}
	tests := []request{
		{"plain", "cn=x", "secret", nil, nil},
		{"text of every kind", "cn=\u00e4\x00\xff", "\x00\xffp\u00e4ss", nil, nil},
		{"the password policy control", "cn=x", "secret", []Control{ppolicy}, []ldap.Control{ldap.NewControlBeheraPasswordPolicy()}},
		{"a control with value", "cn=x", "secret", []Control{valued}, []ldap.Control{ldap.NewControlString("1.2.3", false, "value")}},
		{"two controls", "cn=x", "secret", []Control{ppolicy, valued},
			[]ldap.Control{ldap.NewControlBeheraPasswordPolicy(), ldap.NewControlString("1.2.3", false, "value")}},
	}
	for _, n := range lengths {
		text := strings.Repeat("x", n)
		tests = append(tests,
			request{fmt.Sprint("a DN of ", n), text, "secret", nil, nil},
			request{fmt.Sprint("a password of ", n), "cn=x", text, []Control{ppolicy}, []ldap.Control{ldap.NewControlBeheraPasswordPolicy()}})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := requestOf(t, func(c *ldap.Conn) error {
				_, err := c.SimpleBind(ldap.NewSimpleBindRequest(tt.dn, tt.password, tt.theirs))
				return err
			})
			got := encoded(t, func(b []byte) ([]byte, error) { return appendBind(b, tt.dn, tt.password, tt.controls), nil })
			require.Equal(t, want, got)
			require.GreaterOrEqual(t, bindSize(tt.dn, tt.password, tt.controls), len(got), "the buffer moves and leaves a password behind")
		})
	}
}

func TestEncode_AnExternalBindIsGoLDAPs(t *testing.T) {
	t.Parallel()
	want := requestOf(t, (*ldap.Conn).ExternalBind)
	got := encoded(t, func(b []byte) ([]byte, error) { return appendBindExternal(b, ""), nil })
	require.Equal(t, want, got)
	require.Equal(t, octetsOf(t, "30 18 02 01 01 60 13 02 01 03 04 00 a3 0c 04 08 45 58 54 45 52 4e 41 4c 04 00"), got)
	// go-ldap asserts no identity.
	for _, n := range lengths {
		dn := strings.Repeat("x", n)
		got := encoded(t, func(b []byte) ([]byte, error) { return appendBindExternal(b, dn), nil })
		credentials := around(tagSASL, text("EXTERNAL"), text("dn:"+dn))
		require.Equal(t, envelope(around(tagBindRequest, []byte{tagInteger, 1, 3}, text(""), credentials)...), got)
	}
}

func TestEncode_ASearchIsGoLDAPs(t *testing.T) {
	t.Parallel()
	base := func(change func(*ldap.SearchRequest)) *ldap.SearchRequest {
		req := ldap.NewSearchRequest("dc=example,dc=org", ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, 5, false,
			"(&(objectClass=person)(uid=x))", []string{"uid", "mail"}, nil)
		change(req)
		return req
	}
	tests := map[string]*ldap.SearchRequest{
		"plain":            base(func(*ldap.SearchRequest) {}),
		"the root DSE":     ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)", []string{"1.1"}, nil),
		"no attributes":    base(func(r *ldap.SearchRequest) { r.Attributes = nil }),
		"paged":            base(func(r *ldap.SearchRequest) { r.Controls = []ldap.Control{ldap.NewControlPaging(100)} }),
		"a control":        base(func(r *ldap.SearchRequest) { r.Controls = []ldap.Control{ldap.NewControlManageDsaIT(true)} }),
		"one level":        base(func(r *ldap.SearchRequest) { r.Scope, r.DerefAliases = ldap.ScopeSingleLevel, ldap.DerefAlways }),
		"large size limit": base(func(r *ldap.SearchRequest) { r.SizeLimit, r.TimeLimit = math.MaxInt32, math.MaxInt32 }),
	}
	for _, n := range []int{0, 1, 127, 128, 255, 256, 32_767, 32_768, 1 << 23, 1<<23 - 1} {
		tests[fmt.Sprint("a size limit of ", n)] = base(func(r *ldap.SearchRequest) { r.SizeLimit = n })
	}
	for _, n := range lengths {
		tests[fmt.Sprint("a base of ", n)] = base(func(r *ldap.SearchRequest) { r.BaseDN = strings.Repeat("x", n) })
		tests[fmt.Sprint("an attribute of ", n)] = base(func(r *ldap.SearchRequest) { r.Attributes = []string{"x", strings.Repeat("x", n)} })
		tests[fmt.Sprint("a value of ", n)] = base(func(r *ldap.SearchRequest) { r.Filter = "(|(uid=" + strings.Repeat("x", n) + ")(a=*))" })
	}
	for _, filter := range filterTexts {
		tests[filter] = base(func(r *ldap.SearchRequest) { r.Filter = filter })
	}
	for name, req := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := requestOf(t, func(c *ldap.Conn) error { _, err := c.Search(req); return err })
			require.Equal(t, want, encodedSearch(t, req, Filter{}))
			compiled, err := CompileFilter(req.Filter)
			require.NoError(t, err)
			req.Filter = "not looked at"
			require.Equal(t, want, encodedSearch(t, req, compiled))
		})
	}
}

// TestEncode_DiffersFromGoLDAPInTrue: RFC 4511 section 5.1 wants FF for TRUE, of which go-ldap
// makes 01.
func TestEncode_DiffersFromGoLDAPInTrue(t *testing.T) {
	t.Parallel()
	req := anyone()
	req.TypesOnly = true
	theirs := requestOf(t, func(c *ldap.Conn) error { _, err := c.Search(req); return err })
	ours := encodedSearch(t, req, Filter{})
	require.Equal(t, bytes.Replace(theirs, []byte{1, 1, 1}, []byte{1, 1, 0xff}, 1), ours)
	require.NotEqual(t, theirs, ours)

	theirs = requestOf(t, func(c *ldap.Conn) error {
		_, err := c.SimpleBind(ldap.NewSimpleBindRequest("cn=x", "x", []ldap.Control{ldap.NewControlString("1.2.3", true, "v")}))
		return err
	})
	ours = encoded(t, func(b []byte) ([]byte, error) {
		return appendBind(b, "cn=x", "x", []Control{{OID: "1.2.3", Critical: true, Value: []byte("v")}}), nil
	})
	require.Equal(t, bytes.Replace(theirs, []byte{1, 1, 1}, []byte{1, 1, 0xff}, 1), ours)
}

// TestEncode_AControlMayHaveAnEmptyValue, which go-ldap cannot send.
func TestEncode_AControlMayHaveAnEmptyValue(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		value []byte
		want  string
	}{
		"none":  {nil, "a0 09 30 07 04 05 31 2e 32 2e 33"},
		"empty": {[]byte{}, "a0 0b 30 09 04 05 31 2e 32 2e 33 04 00"},
	} {
		require.Equal(t, octetsOf(t, tt.want), appendControls(nil, []Control{{OID: "1.2.3", Value: tt.value}}), name)
	}
}

func TestEncode_StartTLSAndUnbindAreGoLDAPs(t *testing.T) {
	t.Parallel()
	want := requestOf(t, func(c *ldap.Conn) error { return c.StartTLS(nil) })
	require.Equal(t, want, encoded(t, func(b []byte) ([]byte, error) { return appendStartTLS(b), nil }))
	want = requestOf(t, func(c *ldap.Conn) error { return c.Unbind() })
	require.Equal(t, want, encoded(t, func(b []byte) ([]byte, error) { return appendUnbind(b), nil }))
}
