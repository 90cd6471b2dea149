package demo

import (
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// patience bounds each wait; it is generous because only a failure takes it.
const patience = 30 * time.Second

// start runs a directory until the test ends.
func start(t testing.TB, cfg Config) *Directory {
	t.Helper()
	d, err := Start(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

// connect opens an anonymous LDAP connection until the test ends.
func connect(t testing.TB, url string) *ldap.Conn {
	t.Helper()
	conn, err := ldap.DialURL(url)
	require.NoError(t, err)
	conn.SetTimeout(patience)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// connectAsService opens a connection that may search.
func connectAsService(t testing.TB, url string) *ldap.Conn {
	t.Helper()
	conn := connect(t, url)
	require.NoError(t, conn.Bind(ServiceDN, ServicePassword))
	return conn
}

// dialRaw opens a TCP connection whose reads fail after patience.
func dialRaw(t testing.TB, d *Directory) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.URL(), "ldap://"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	return conn.(*net.TCPConn)
}

// below is a search for everything that the filter matches, without attributes.
func below(base, filter string) *ldap.SearchRequest {
	return ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases,
		0, 0, false, filter, []string{"1.1"}, nil)
}

// codeOf is the result code of an LDAP error, 0 of nil.
func codeOf(err error) int {
	var failed *ldap.Error
	if errors.As(err, &failed) {
		return int(failed.ResultCode)
	}
	if err != nil {
		return -1
	}
	return 0
}

// shortNames are the values of the entries' first RDNs.
func shortNames(entries []*ldap.Entry) []string {
	names := []string{}
	for _, e := range entries {
		dn, err := ldap.ParseDN(e.DN)
		if err != nil {
			return []string{err.Error()}
		}
		names = append(names, dn.RDNs[0].Attributes[0].Value)
	}
	return names
}

// logBuffer collects log lines from any goroutine.
type logBuffer struct {
	mu  sync.Mutex
	all strings.Builder // guarded by mu
}

// Write implements io.Writer.
func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

// String returns what was logged so far.
func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}

// logger writes everything to the buffer.
func (b *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
