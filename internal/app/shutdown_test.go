package app

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// closes asks for one login on a connection of its own, and reports whether the answer closes the
// connection.
func (r *running) closes(t *testing.T, url string) bool {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url+"/auth/basic", nil)
	require.NoError(t, err)
	req.SetBasicAuth(ldaptest.Username(1), ldaptest.Password(1))
	resp, err := r.client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	return resp.Close
}

func TestShutdownDelay_ServesOnWhileReadyzSaysNo(t *testing.T) {
	t.Parallel()
	const delay = 3 * time.Second
	r := start(t, ldaptest.NewServer(t, nil).URL(), "HTTP_FORWARD_ADDR=127.0.0.1:0", "HTTP_SHUTDOWN_DELAY="+delay.String())
	r.ready(t)
	began := time.Now()
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	ldaptest.Eventually(t, "/readyz answers 503", func() bool {
		status, body := r.get(t, r.url+"/readyz")
		return status == http.StatusServiceUnavailable && body == `{"status":"draining"}`+"\n"
	})
	for _, url := range []string{r.url, r.forward} {
		require.False(t, r.closes(t, url), "in the first half connections stay")
	}
	for _, url := range []string{r.url, r.forward} {
		ldaptest.Eventually(t, "answers close their connection", func() bool { return r.closes(t, url) })
		require.GreaterOrEqual(t, time.Since(began), delay/2)
		require.Equal(t, http.StatusOK, statusOf(r.get(t, r.admin+"/livez")), "the admin listener serves, too")
	}
	ldaptest.Eventually(t, "the listeners close", func() bool {
		c, err := net.Dial("tcp", strings.TrimPrefix(r.forward, "http://"))
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	require.NoError(t, <-stopped)
	require.GreaterOrEqual(t, time.Since(began), delay)
	require.Contains(t, r.log.String(), `"msg":"shutting down","delay":"3s"`)
}

func statusOf(status int, _ string) int { return status }

// TestShutdownDelay_PipelinedRequests shows what becomes of a request that came behind another one:
// it is answered, or after "Connection: close" not even begun, so that it can be repeated (RFC 9112
// section 9.6).
func TestShutdownDelay_PipelinedRequests(t *testing.T) {
	t.Parallel()
	r := start(t, ldaptest.NewServer(t, nil).URL(), "HTTP_SHUTDOWN_DELAY=2s")
	r.ready(t)
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	ldaptest.Eventually(t, "answers close their connection", func() bool { return r.closes(t, r.url) })
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	require.NoError(t, err)
	defer c.Close()
	both := new(bytes.Buffer)
	for n := 2; n <= 3; n++ {
		req, err := http.NewRequest(http.MethodGet, r.url+"/auth/basic", nil)
		require.NoError(t, err)
		req.SetBasicAuth(ldaptest.Username(n), ldaptest.Password(n))
		require.NoError(t, req.Write(both))
	}
	_, err = both.WriteTo(c)
	require.NoError(t, err)
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.True(t, resp.Close)
	_, err = in.ReadByte()
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, <-stopped)
	require.Contains(t, r.log.String(), `"username":"`+ldaptest.Username(2)+`"`)
	require.NotContains(t, r.log.String(), `"username":"`+ldaptest.Username(3)+`"`, "the second one was not begun")
}

func TestShutdownDelay_EndsEarlyIfAListenerFails(t *testing.T) {
	t.Parallel()
	a, err := New(t.Context(), settings(t, ldaptest.NewServer(t, nil).URL(), "HTTP_SHUTDOWN_DELAY=1h"), Options{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	ended := make(chan error, 1)
	ended <- net.ErrClosed
	require.ErrorIs(t, a.serveOn(ended), net.ErrClosed)
	a.abandon()
}

func TestSockets_AreServedWithoutADirectoryToo(t *testing.T) {
	t.Parallel()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := startWith(t, "ldap://"+ldaptest.ClosedAddr(t), Options{Sockets: Sockets{Main: socket}}, "LDAP_POOL_MAX_WAIT=1h", "HTTP_ADDR=192.0.2.1:1")
	require.Equal(t, "http://"+socket.Addr().String(), r.url)
	status, body := r.login(t, ldaptest.Username(1), ldaptest.Password(1)) // it waits in the socket first
	require.Equal(t, http.StatusServiceUnavailable, status, body)
}
