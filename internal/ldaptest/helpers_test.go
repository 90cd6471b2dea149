package ldaptest

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// dial opens a connection with a deadline on each request.
func dial(tb testing.TB, url string, opts ...ldap.DialOpt) *ldap.Conn {
	tb.Helper()
	c, err := ldap.DialURL(url, opts...)
	require.NoError(tb, err)
	c.SetTimeout(patience)
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// dialRaw opens a TCP connection on which no read or write hangs for ever.
func dialRaw(tb testing.TB, addr string) *net.TCPConn {
	tb.Helper()
	c, err := net.Dial("tcp", addr)
	require.NoError(tb, err)
	require.NoError(tb, c.SetDeadline(time.Now().Add(patience)))
	tb.Cleanup(func() { _ = c.Close() })
	tcp, ok := c.(*net.TCPConn)
	require.True(tb, ok)
	return tcp
}

// find searches below base for a filter, with attributes as they come.
func find(c *ldap.Conn, base, filter string, attrs ...string) (*ldap.SearchResult, error) {
	return c.Search(ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, filter, attrs, nil))
}

// rootDSE reads the root DSE.
func rootDSE(c *ldap.Conn) error {
	_, err := c.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", nil, nil))
	return err
}

// code is the LDAP result code of an error, 0 for nil and -1 for any other
// error.
func code(err error) int {
	var e *ldap.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return int(e.ResultCode)
	}
	return -1
}

// requireFIN reads c to its end, which must be an orderly one, and returns
// what came before.
func requireFIN(tb testing.TB, c net.Conn) []byte {
	tb.Helper()
	b, err := io.ReadAll(c)
	require.NoError(tb, err)
	return b
}

// requireRST reads c to its end, which must be a reset.
func requireRST(tb testing.TB, c net.Conn) {
	tb.Helper()
	_, err := io.ReadAll(c)
	require.ErrorIs(tb, err, syscall.ECONNRESET)
}

// requireSilence checks that nothing comes, neither bytes nor the end. It is
// the one wait here that costs its whole time when all is well.
func requireSilence(tb testing.TB, c net.Conn) {
	tb.Helper()
	require.NoError(tb, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	n, err := c.Read(make([]byte, 1))
	var timeout net.Error
	require.True(tb, errors.As(err, &timeout) && timeout.Timeout(), "read %d bytes and %v", n, err)
	require.NoError(tb, c.SetReadDeadline(time.Now().Add(patience)))
}

// cutAll closes what is open.
func (l *listener) cutAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.Close()
	}
}

// openConns is how many connections a listener serves now.
func openConns(l *listener) int { _, n, _ := l.counts(); return n }
