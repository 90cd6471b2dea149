package ldapconn

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"
	"authsvc/ldappool/tlscause"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// rig is a connection over a pipe in a synctest bubble. The test is its peer.
type rig struct {
	*Conn
	t    *testing.T
	peer net.Conn
	ops  chan outcome
}

// outcome is what came of an operation.
type outcome struct {
	answer *SearchResult
	err    error
}

// newRig starts a connection over the end of a pipe, or over what around makes of it.
func newRig(t *testing.T, around func(net.Conn) (conn, raw net.Conn)) *rig {
	t.Helper()
	ours, theirs := net.Pipe()
	if around == nil {
		around = func(c net.Conn) (net.Conn, net.Conn) { return c, c }
	}
	conn, raw := around(ours)
	r := &rig{Conn: start(conn, raw, 0, &Options{}, tlscause.Seen{}), t: t, peer: theirs, ops: make(chan outcome, 1)}
	t.Cleanup(func() {
		r.Abort()
		_ = theirs.Close()
		<-r.readerDone
	})
	return r
}

// bind starts a bind, which the peer has not read yet.
func (r *rig) bind(ctx context.Context, timeout time.Duration) {
	go func() {
		r.bound(r.Bind(ctx, time.Now().Add(timeout), "cn=x", "secret"))
	}()
}

// bindExternal starts a bind by EXTERNAL, which the peer has not read yet.
func (r *rig) bindExternal(ctx context.Context, timeout time.Duration) {
	go func() {
		r.bound(r.BindExternal(ctx, time.Now().Add(timeout), ""))
	}()
}

func (r *rig) bound(answer *Result, err error) {
	o := outcome{err: err}
	if answer != nil {
		o.answer = &SearchResult{Result: *answer}
	}
	r.ops <- o
}

// search starts a search, which the peer has not read yet.
func (r *rig) search(ctx context.Context, timeout time.Duration) {
	go func() {
		answer, err := r.Search(ctx, time.Now().Add(timeout), anyone(), Filter{})
		r.ops <- outcome{answer, err}
	}()
}

// anyone is a search.
func anyone() *ldap.SearchRequest {
	return ldap.NewSearchRequest("dc=x", ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, 0, false, "(uid=x)", []string{"uid"}, nil)
}

// take reads a request as the peer and returns its message ID.
func (r *rig) take() int64 {
	r.t.Helper()
	b := make([]byte, 2)
	_, err := io.ReadFull(r.peer, b)
	require.NoError(r.t, err)
	rest := make([]byte, b[1])
	_, err = io.ReadFull(r.peer, rest)
	require.NoError(r.t, err)
	require.Equal(r.t, []byte{tagInteger, 1}, rest[:2], "the tests use no more than 127 IDs")
	return int64(rest[2])
}

// say sends b as the peer, and waits until the connection has dealt with it.
func (r *rig) say(b []byte) {
	_, _ = r.peer.Write(b) // fails where the connection ends in the middle
	synctest.Wait()
}

// over waits for the operation under way.
func (r *rig) over() (*SearchResult, error) {
	o := <-r.ops
	if (o.answer == nil) == (o.err == nil) {
		r.t.Errorf("an answer or an error, never both and never neither: %v, %v", o.answer, o.err)
	}
	return o.answer, o.err
}

// fault waits for the operation under way, which must fail.
func (r *rig) fault() *Fault {
	r.t.Helper()
	_, err := r.over()
	var f *Fault
	require.ErrorAs(r.t, err, &f)
	require.Equal(r.t, r.Err(), error(f.End))
	return f
}

// requireEnded checks that the connection has ended for that reason and error, with its socket.
func (r *rig) requireEnded(reason Reason, cause error) {
	r.t.Helper()
	select {
	case <-r.Done():
	default:
		require.FailNow(r.t, "the connection is open")
	}
	var end *EndError
	require.ErrorAs(r.t, r.Err(), &end)
	require.Equal(r.t, reason, end.Reason, end.Err)
	if cause != nil {
		require.ErrorIs(r.t, r.Err(), cause)
	}
	_, err := r.peer.Read(make([]byte, 1))
	require.Error(r.t, err, "the socket is open")
}

// requireOpen checks that the connection is good, by a bind on it.
func (r *rig) requireOpen() {
	r.t.Helper()
	require.NoError(r.t, r.Err())
	r.bind(r.t.Context(), time.Hour)
	r.say(ldaptest.BindResponse(r.take(), 49, ""))
	answer, err := r.over()
	require.NoError(r.t, err)
	require.EqualValues(r.t, 49, answer.Code)
	require.NoError(r.t, r.Err())
}

// stubConn is a net.Conn of which a test replaces what it needs.
type stubConn struct {
	net.Conn
	read, write func([]byte) (int, error)
}

func (c *stubConn) Read(b []byte) (int, error) {
	if c.read == nil {
		return c.Conn.Read(b)
	}
	return c.read(b)
}

func (c *stubConn) Write(b []byte) (int, error) {
	if c.write == nil {
		return c.Conn.Write(b)
	}
	return c.write(b)
}

// refusing is a socket that takes n bytes of each write and fails.
func refusing(n int) func(net.Conn) (conn, raw net.Conn) {
	return func(c net.Conn) (net.Conn, net.Conn) {
		s := &stubConn{Conn: c, write: func([]byte) (int, error) { return n, syscall.EPIPE }}
		return s, s
	}
}

// underTLS is a connection of two layers, the upper of which fails to write.
func underTLS(c net.Conn) (conn, raw net.Conn) {
	conn, _ = refusing(0)(c)
	return conn, c
}

// singly is b in pieces of one byte.
func singly(b []byte) [][]byte {
	var pieces [][]byte
	for i := range b {
		pieces = append(pieces, b[i:i+1])
	}
	return pieces
}

// octetsOf reads bytes written as hex, with spaces where they help.
func octetsOf(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	require.NoError(t, err)
	return b
}

// join joins messages.
func join(messages ...[]byte) []byte { return bytes.Join(messages, nil) }

var errTest = errors.New("test")
