package demo

import (
	"authsvc/internal/ldapserver"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSearch_RootDSEIsPublic(t *testing.T) {
	t.Parallel()
	conn := connect(t, start(t, Config{}).URL())
	read := func(filter string, attributes ...string) []*ldap.Entry {
		found, err := conn.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases,
			0, 0, false, filter, attributes, nil))
		require.NoError(t, err)
		return found.Entries
	}
	named := read("(objectClass=*)", "namingcontexts", "supportedLDAPVersion", "vendorName")
	require.Len(t, named, 1)
	assert.Equal(t, BaseDN, named[0].GetAttributeValue("namingContexts"))
	assert.Equal(t, "3", named[0].GetAttributeValue("supportedLDAPVersion"))
	assert.Equal(t, "authsvc demo", named[0].GetAttributeValue("vendorName"))

	assert.Len(t, read("(objectClass=*)")[0].Attributes, 1, "the others are operational")
	assert.Len(t, read("(objectClass=*)", "+")[0].Attributes, 3)
	assert.Len(t, read("(objectClass=*)", "*", "+")[0].Attributes, 4)
	assert.Empty(t, read("(objectClass=*)", "1.1")[0].Attributes)
	assert.Empty(t, read("(uid=alice)"))
}

func TestSearch_PasswordIsNeverReturned(t *testing.T) {
	t.Parallel()
	d := start(t, Config{})
	conn := connectAsService(t, d.URL())
	for _, attributes := range [][]string{nil, {"*", "+"}, {"userPassword"}, {"USERPASSWORD", "uid"}} {
		found, err := conn.Search(ldap.NewSearchRequest(BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases,
			0, 0, false, "(objectClass=*)", attributes, nil))
		require.NoError(t, err)
		require.Len(t, found.Entries, 20)
		for _, e := range found.Entries {
			for _, a := range e.Attributes {
				assert.False(t, strings.EqualFold(a.Name, "userPassword"), e.DN)
			}
		}
	}
}

func TestSearch_TypesOnlyOmitsTheValues(t *testing.T) {
	t.Parallel()
	conn := connectAsService(t, start(t, Config{}).URL())
	found, err := conn.Search(ldap.NewSearchRequest("uid=alice,"+PeopleDN, ldap.ScopeBaseObject,
		ldap.NeverDerefAliases, 0, 0, true, "(objectClass=*)", []string{"mail"}, nil))
	require.NoError(t, err)
	require.Len(t, found.Entries[0].Attributes, 1)
	assert.Equal(t, "mail", found.Entries[0].Attributes[0].Name)
	assert.Empty(t, found.Entries[0].Attributes[0].Values)
}

func TestSearch_SizeLimitIsKept(t *testing.T) {
	t.Parallel()
	conn := connectAsService(t, start(t, Config{}).URL())
	for limit, want := range map[int]int{11: 4, 12: 0, 13: 0} {
		found, err := conn.Search(ldap.NewSearchRequest(PeopleDN, ldap.ScopeSingleLevel, ldap.NeverDerefAliases,
			limit, 0, false, "(uid=*)", []string{"1.1"}, nil))
		assert.Equal(t, want, codeOf(err))
		assert.Len(t, found.Entries, min(limit, 12))
	}
}

func TestSearch_UnknownScopeIsAProtocolError(t *testing.T) {
	t.Parallel()
	conn := connectAsService(t, start(t, Config{}).URL())
	_, err := conn.Search(ldap.NewSearchRequest(BaseDN, 4, 0, 0, 0, false, "(uid=*)", nil, nil))
	assert.Equal(t, 2, codeOf(err))
}

func TestSearch_PagingIsIgnored(t *testing.T) {
	t.Parallel()
	conn := connectAsService(t, start(t, Config{}).URL())
	found, err := conn.SearchWithPaging(below(PeopleDN, "(uid=*)"), 5)
	require.NoError(t, err)
	assert.Len(t, found.Entries, 12)
}

func TestRequest_RejectsWrites(t *testing.T) {
	t.Parallel()
	conn := connectAsService(t, start(t, Config{}).URL())
	modify := ldap.NewModifyRequest("uid=alice,"+PeopleDN, nil)
	modify.Replace("cn", []string{"x"})
	add := ldap.NewAddRequest("uid=mallory,"+PeopleDN, nil)
	add.Attribute("uid", []string{"mallory"})
	for name, err := range map[string]error{
		"modify": conn.Modify(modify),
		"add":    conn.Add(add),
		"delete": conn.Del(ldap.NewDelRequest("uid=alice,"+PeopleDN, nil)),
		"rename": conn.ModifyDN(ldap.NewModifyDNRequest("uid=alice,"+PeopleDN, "uid=eve", true, "")),
	} {
		assert.Equal(t, 53, codeOf(err), name)
		assert.ErrorContains(t, err, "read-only", name)
	}
}

func TestRequest_RejectsExtendedOperations(t *testing.T) {
	t.Parallel()
	conn := connect(t, start(t, Config{}).URL())
	_, err := conn.WhoAmI(nil)
	assert.Equal(t, 2, codeOf(err))
	assert.ErrorContains(t, err, "unsupported extended operation")
}

func TestRequest_PanicFailsOnlyTheRequest(t *testing.T) {
	t.Parallel()
	var log logBuffer
	h := &handler{log: log.logger()}
	h.tree = nil // a bind panics
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := ldapserver.New(ldapserver.Config{Handler: h.serve})
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(listener, func(error) {}) })
	conn := connect(t, "ldap://"+listener.Addr().String())
	assert.Equal(t, ldap.LDAPResultOther, codeOf(conn.Bind(ServiceDN, ServicePassword)))
	assert.Equal(t, ldap.LDAPResultOther, codeOf(conn.Bind(ServiceDN, ServicePassword)), "still served")
	require.NoError(t, listener.Close())
	server.Close()
	serving.Wait()
	assert.Contains(t, log.String(), "a request panicked")
}

func TestRequest_UnknownOperationEndsTheConnection(t *testing.T) {
	t.Parallel()
	conn := connectAsService(t, start(t, Config{}).URL())
	_, err := conn.Compare("uid=alice,"+PeopleDN, "cn", "Alice Archer")
	require.Error(t, err)
	require.Error(t, conn.Bind(ServiceDN, ServicePassword))
}

func TestRequest_GarbageEndsOnlyItsConnection(t *testing.T) {
	t.Parallel()
	var log logBuffer
	d := start(t, Config{Logger: log.logger()})
	for _, garbage := range []string{"\x16\x03\x01\x02\x00\x01", "GET / HTTP/1.1\r\n\r\n", "\x30\x00", "\x30\x84\xff\xff\xff\xff"} {
		client := dialRaw(t, d)
		_, err := client.Write([]byte(garbage))
		require.NoError(t, err)
		require.NoError(t, client.CloseWrite())
		_, _ = client.Read(make([]byte, 1)) // its end
	}
	connectAsService(t, d.URL())
}

func TestLog_ShowsNoPassword(t *testing.T) {
	t.Parallel()
	var log logBuffer
	d := start(t, Config{Logger: log.logger()})
	conn := connectAsService(t, d.URL())
	assert.Equal(t, 49, codeOf(conn.Bind(ServiceDN, "a-wrong-password")))
	_, err := conn.WhoAmI(nil)
	require.Error(t, err)
	require.NoError(t, d.Close())
	assert.NotContains(t, log.String(), "password")
}
