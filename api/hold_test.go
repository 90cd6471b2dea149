package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/connlimit"

	"github.com/stretchr/testify/require"
)

// gatedListener accepts connections whose writes wait for pass, which is given what is closed with
// the connection.
type gatedListener struct {
	net.Listener
	pass func(closed <-chan struct{})
}

type gatedConn struct {
	net.Conn
	pass   func(closed <-chan struct{})
	once   sync.Once
	closed chan struct{}
}

func (l *gatedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &gatedConn{Conn: conn, pass: l.pass, closed: make(chan struct{})}, nil
}

func (c *gatedConn) Write(p []byte) (int, error) {
	c.pass(c.closed)
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	default:
		return c.Conn.Write(p)
	}
}

func (c *gatedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// loginsOnOneConnection serves where one connection may be open, and begins a login on it and
// another one that waits for room. It returns both connections; the first login ends when finish is
// called.
func loginsOnOneConnection(t *testing.T, pass func(closed <-chan struct{})) (first, second net.Conn, finish func()) {
	t.Helper()
	h := newHarness(t)
	began, ended := make(chan struct{}, 2), make(chan struct{})
	h.auth.answer = func(_ context.Context, c auth.Credentials) auth.Result {
		began <- struct{}{}
		<-ended
		return okResult(c)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	limited := connlimit.New(&gatedListener{inner, pass}, connlimit.Config{MaxConns: 1})
	srv := h.HTTPServer()
	srv.ConnState = limited.ConnState
	served := make(chan error, 1)
	go func() { served <- srv.Serve(limited) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-served
	})
	for _, conn := range []*net.Conn{&first, &second} {
		*conn, err = net.Dial("tcp", inner.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = (*conn).Close() })
		require.NoError(t, (*conn).SetDeadline(time.Now().Add(20*time.Second)))
		_, err = io.WriteString(*conn, rawPost(fmt.Sprint("Content-Length: ", len(goodJSON)), goodJSON))
		require.NoError(t, err)
		if conn == &first {
			<-began
		}
	}
	return first, second, func() { close(ended) }
}

// TestHold_LastsUntilTheAnswerIsWritten: the connection that waits for room takes none whose login
// has yet to be answered.
func TestHold_LastsUntilTheAnswerIsWritten(t *testing.T) {
	t.Parallel()
	first, second, finish := loginsOnOneConnection(t, func(closed <-chan struct{}) {
		select {
		case <-closed:
		case <-time.After(100 * time.Millisecond): // it is not closed
		}
	})
	finish()
	require.Equal(t, http.StatusOK, readStatus(t, bufio.NewReader(first)))
	require.Equal(t, http.StatusOK, readStatus(t, bufio.NewReader(second)))
}

// TestHold_EndsIfTheAnswerIsNotRead: a peer that reads nothing does not keep others out.
func TestHold_EndsIfTheAnswerIsNotRead(t *testing.T) {
	t.Parallel()
	var unread sync.Once
	first, second, finish := loginsOnOneConnection(t, func(closed <-chan struct{}) {
		unread.Do(func() { <-closed })
	})
	finish()
	require.Equal(t, http.StatusOK, readStatus(t, bufio.NewReader(second)))
	_, err := first.Read(make([]byte, 1))
	require.Error(t, err, "it made room")
}
