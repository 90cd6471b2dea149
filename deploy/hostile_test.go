package deploy_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lenient is an application that takes every request for a good one, and keeps its head.
type lenient struct {
	addr string

	mu    sync.Mutex
	heads []string // guarded by mu
}

func startLenient(t *testing.T) *lenient {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	a := &lenient{addr: l.Addr().String()}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { a.serve(conn) })
		}
	})
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		serving.Wait()
	})
	return a
}

func (a *lenient) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	r := textproto.NewReader(bufio.NewReader(conn))
	var head strings.Builder
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		if line == "" {
			break
		}
		head.WriteString(line + "\n")
	}
	a.mu.Lock()
	a.heads = append(a.heads, head.String())
	a.mu.Unlock()
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

// take returns the heads since it was called last.
func (a *lenient) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	heads := a.heads
	a.heads = nil
	return heads
}

// TestForward_HostileRequests sends what HTTP libraries do not. A user who may log in, and is in no
// group, tries to be another user.
func TestForward_HostileRequests(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 6, LDIF: directoryLDIF()})
	authsvc := startAuthsvc(t, slapd.URL())
	credentials := base64.StdEncoding.EncodeToString([]byte(ldaptest.Username(plain) + ":" + ldaptest.Password(plain)))
	eachProxy(t, func(t *testing.T, p product) {
		t.Helper()
		app := startLenient(t)
		f := startFront(t, p, authsvc, app.addr)
		send := func(line string, headers ...string) (status int) {
			t.Helper()
			conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
			_, err = fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: app\r\nAuthorization: Basic %s\r\n%s\r\n", line, credentials, strings.Join(append(headers, ""), "\r\n"))
			require.NoError(t, err)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				return 0 // the proxy has closed the connection
			}
			resp.Body.Close()
			return resp.StatusCode
		}
		for _, target := range []string{
			"/admin", "/admin?x", "/admin/%zz", "/admin/%", "/%zz/../admin/x", "/admin/..%2fpublic", "/admin/%2e%2e/", "/admin/x/..%2f..%2fpub",
			"/x#/../admin/", "/x/%2E%2E/admin/", "//admin", "//admin/", "///admin/x", "/x//../admin/", "/admin/;x",
			// Java servlets end a part of a path at a semicolon, Windows takes a backslash for a
			// slash, C ends at NUL.
			"/admin;x", "/admin;x/", "/admin;/x", "/admin%3Bx/", "/;/admin/", "/x/..;/admin/", "/admin\\x", "/admin%5cx", "/admin%00",
		} {
			status := send("GET " + target)
			if p.name == "traefik" && target == "/admin/%2e%2e/" { // Traefik sends the cleaned path on
				assert.Equal(t, "GET / HTTP/1.1", strings.SplitN(strings.Join(app.take(), ""), "\n", 2)[0])
				continue
			}
			assert.NotEqual(t, 200, status, target)
			assert.Empty(t, app.take(), target)
		}
		for _, target := range []string{"app:80", "/", "http://app/"} {
			assert.NotEqual(t, 200, send("CONNECT "+target), target)
			assert.Empty(t, app.take(), "CONNECT", target)
		}

		for _, headers := range [][]string{
			{"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"},
			{"Connection: upgrade", "Upgrade: foo"}, {"Connection: upgrade", "Upgrade: websocket, h2c"}, {"Connection: upgrade", "Upgrade: h2c", "Upgrade: websocket"},
		} {
			send("GET /", append(headers, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13")...)
			for _, head := range app.take() {
				assert.NotContains(t, strings.ToLower(head), "h2c", headers)
				assert.NotContains(t, strings.ToLower(head), "foo", headers)
			}
		}

		assert.Equal(t, 200, send("GET /", "Connection: close, Remote-User, Remote-Groups"))
		heads := app.take()
		if assert.Len(t, heads, 1) {
			assert.Contains(t, strings.ToLower(heads[0]), "remote-user: "+ldaptest.Username(plain))
		}
	})
}
