package ldapconn

import (
	"net"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// canned is a server that answers each bind and each search alike, and costs next to nothing
// itself.
func canned(b *testing.B) (addr string) {
	b.Helper()
	control := ldaptest.Control{OID: ldap.ControlTypeBeheraPasswordPolicy, Value: []byte{0x30, 0}}
	bind := [][]byte{afterID(b, ldaptest.BindResponse(1, 0, "", control))}
	search := [][]byte{afterID(b, ldaptest.SearchEntry(1, userOne)), afterID(b, ldaptest.SearchDone(1, 0, ""))}
	return listen(b, func(c net.Conn) {
		request, answer := make([]byte, 512), make([]byte, 0, 1024)
		for {
			if _, err := c.Read(request); err != nil {
				return
			}
			at := 2 // of the ID's tag
			if request[1] >= 0x80 {
				at += int(request[1] & 0x7f)
			}
			id := request[at : at+2+int(request[at+1])]
			messages := search
			if request[at+len(id)] == tagBindRequest {
				messages = bind
			}
			answer = answer[:0]
			for _, rest := range messages {
				var content int
				answer, content = openElement(answer, tagSequence)
				answer = closeElement(append(append(answer, id...), rest...), content)
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	})
}

// afterID is what follows the ID of a message.
func afterID(b *testing.B, message []byte) []byte {
	b.Helper()
	var count int
	all := elements{b: message, end: len(message), count: &count}
	envelope, err := all.next()
	require.NoError(b, err)
	inner := all.within(envelope)
	_, err = inner.next()
	require.NoError(b, err)
	return message[inner.at:]
}

var userOne = ldaptest.Entry{DN: ldaptest.UserDN(1), Attributes: map[string][]string{
	"uid": {"user1"}, "mail": {"user1@example.org"}, "displayName": {"User One"},
	"memberOf": {"cn=a,ou=groups,dc=example,dc=org", "cn=b,ou=groups,dc=example,dc=org"},
}}

var benchmarked = ldap.NewSearchRequest(ldaptest.PeopleDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, 5, false,
	"(&(objectClass=person)(uid=user1))", []string{"uid", "mail", "displayName", "memberOf"}, nil)

// BenchmarkBind and BenchmarkSearch show what an operation costs over a socket, compared with
// go-ldap's own connection.
func BenchmarkBind(b *testing.B) {
	addr := canned(b)
	b.Run("ldapconn", func(b *testing.B) {
		c, err := Dial(b.Context(), Endpoint{Network: "tcp", Address: addr}, Options{})
		require.NoError(b, err)
		defer c.Close()
		ppolicy := []Control{{OID: ldap.ControlTypeBeheraPasswordPolicy}}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Bind(b.Context(), time.Now().Add(time.Minute), ldaptest.UserDN(1), "password1", ppolicy...); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("go-ldap", func(b *testing.B) {
		c := goLDAPConn(b, addr)
		ppolicy := []ldap.Control{ldap.NewControlBeheraPasswordPolicy()}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.SimpleBind(ldap.NewSimpleBindRequest(ldaptest.UserDN(1), "password1", ppolicy)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSearch(b *testing.B) {
	addr := canned(b)
	template, err := CompileTemplate("(&(objectClass=person)(uid={username}))")
	require.NoError(b, err)
	for name, filter := range map[string]func() Filter{
		"ldapconn, template": func() Filter { return template.Fill("user1") },
		"ldapconn, text":     func() Filter { return Filter{} },
	} {
		b.Run(name, func(b *testing.B) {
			c, err := Dial(b.Context(), Endpoint{Network: "tcp", Address: addr}, Options{})
			require.NoError(b, err)
			defer c.Close()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Search(b.Context(), time.Now().Add(time.Minute), benchmarked, filter()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("go-ldap", func(b *testing.B) {
		c := goLDAPConn(b, addr)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Search(benchmarked); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func goLDAPConn(b *testing.B, addr string) *ldap.Conn {
	b.Helper()
	raw, err := net.Dial("tcp", addr)
	require.NoError(b, err)
	c := ldap.NewConn(raw, false)
	c.Start()
	b.Cleanup(func() { _ = c.Close() })
	return c
}

// BenchmarkCodec shows what encoding a bind and a search and decoding their answers cost, without a
// socket.
func BenchmarkCodec(b *testing.B) {
	bind, entry := ldaptest.BindResponse(1, 0, ""), ldaptest.SearchEntry(1, userOne)
	filter, err := CompileFilter(benchmarked.Filter)
	require.NoError(b, err)
	decode := func(answer []byte, request byte) {
		var r SearchResult
		var count int
		m, err := readMessage(answer, &count)
		if err == nil {
			_, err = r.decode(&m, 1, request)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out, _ = appendMessage(out[:0], 1, func(b []byte) ([]byte, error) { return appendBind(b, ldaptest.UserDN(1), "password1", nil), nil })
		out, _ = appendMessage(out[:0], 2, func(b []byte) ([]byte, error) { return appendSearch(b, benchmarked, filter) })
		decode(bind, tagBindRequest)
		decode(entry, tagSearchRequest)
	}
}
