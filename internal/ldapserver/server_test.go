package ldapserver

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func TestServer_CloseEndsHandlersAndWaitsForThem(t *testing.T) {
	t.Parallel()
	handling := make(chan struct{})
	s := New(Config{Handler: func(c *Conn, _ Request) {
		c.Go(c.Stall)
		close(handling)
		c.Stall()
	}})
	ours, theirs := net.Pipe()
	var serving sync.WaitGroup
	serving.Go(func() { s.ServeConn(theirs) })
	_, err := ours.Write([]byte{0x30, 0x05, 0x02, 0x01, 0x01, 0x42, 0x00})
	require.NoError(t, err)
	<-handling
	require.Len(t, s.Conns(), 1)
	s.Close()
	serving.Wait()
	assert.Empty(t, s.Conns())
	_, err = ours.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)

	ours, theirs = net.Pipe()
	s.ServeConn(theirs)
	_, err = ours.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "a closed server serves nobody")
	s.Close()
}

// flakyListener fails once, and is then closed.
type flakyListener struct {
	net.Listener

	errs []error
}

func (l *flakyListener) Accept() (net.Conn, error) {
	err := l.errs[0]
	l.errs = l.errs[1:]
	return nil, err
}

func TestServer_GoesOnAfterAFailedAccept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var failed []error
		full := errors.New("too many open files")
		New(Config{}).Serve(&flakyListener{errs: []error{full, full, net.ErrClosed}}, func(err error) { failed = append(failed, err) })
		assert.Equal(t, []error{full, full}, failed)
	})
}

func TestConn_NotesTrafficOfEitherDirection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		c := newConn(theirs)
		began := time.Now()
		assert.Equal(t, began, c.LastTraffic())
		time.Sleep(time.Second) // bubble
		go func() { _, _ = ours.Write([]byte{0x30}) }()
		_, err := c.reader.ReadByte()
		require.NoError(t, err)
		assert.Equal(t, began.Add(time.Second), c.LastTraffic())
		time.Sleep(time.Second) // bubble
		go func() { _, _ = ours.Read(make([]byte, 1)) }()
		c.WriteRaw([]byte{0x30})
		assert.Equal(t, began.Add(2*time.Second), c.LastTraffic())
		time.Sleep(time.Second) // bubble
		require.NoError(t, ours.Close())
		_, err = c.reader.ReadByte()
		require.ErrorIs(t, err, io.EOF)
		assert.Equal(t, began.Add(2*time.Second), c.LastTraffic(), "an end is no traffic")
	})
}

func TestConn_IsItsLastSuccessfulBinds(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() { _, _ = io.Copy(io.Discard, ours) }()
	c := newConn(theirs)
	defer c.Close()
	bind := Request{MessageID: 1, Op: OpBind, DN: "uid=a"}
	c.ReplyBind(bind, ldap.LDAPResultSuccess, "")
	assert.Equal(t, "uid=a", c.Identity())
	c.Reply(Request{MessageID: 2, Op: OpExtended}, Result{Code: ldap.LDAPResultProtocolError})
	assert.Equal(t, "uid=a", c.Identity())
	c.ReplyBind(bind, ldap.LDAPResultInvalidCredentials, "")
	assert.Empty(t, c.Identity())
	c.ReplyBind(bind, ldap.LDAPResultSuccess, "")
	c.Reply(bind, Result{Code: ldap.LDAPResultOther})
	assert.Empty(t, c.Identity())
}
