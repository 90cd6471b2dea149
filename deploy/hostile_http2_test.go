package deploy_test

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// sendHTTP2 sends one request with fields as they are, names before values, and returns the status,
// or "" if the proxy has reset the stream or closed the connection.
func sendHTTP2(t *testing.T, f *front, fields ...string) string {
	t.Helper()
	cfg := f.tls.Clone()
	cfg.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", strings.TrimPrefix(f.url, "https://"), cfg)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		require.NoError(t, encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	_, err = conn.Write([]byte(http2.ClientPreface))
	require.NoError(t, err)
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	require.NoError(t, framer.WriteSettings())
	require.NoError(t, framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: fields[1] != "CONNECT"}))
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return ""
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			return frame.PseudoValue("status")
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return ""
		}
	}
}

// TestForward_HostileHTTP2Requests sends what HTTP libraries do not. A user who may log in, and is
// in no group, tries to reach past the proxy or to be another user.
func TestForward_HostileHTTP2Requests(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 6, LDIF: directoryLDIF()})
	authsvc := startAuthsvc(t, slapd.URL())
	credentials := "Basic " + base64.StdEncoding.EncodeToString([]byte(ldaptest.Username(plain)+":"+ldaptest.Password(plain)))
	eachProxy(t, func(t *testing.T, p product) {
		t.Helper()
		p.http2 = true
		app := startLenient(t)
		f := startFront(t, p, authsvc, app.addr)
		get := func(path string, fields ...string) string {
			t.Helper()
			return sendHTTP2(t, f, append([]string{":method", "GET", ":scheme", "https", ":authority", "app", ":path", path, "authorization", credentials}, fields...)...)
		}
		require.Equal(t, "200", get("/"))
		require.Len(t, app.take(), 1)

		for _, path := range []string{"/admin/", "//admin/", "/x/../admin/", "/%61dmin/", "/admin;x", "/x#/../admin/", "admin/", "http://app/admin/", ""} {
			assert.NotEqual(t, "200", get(path), path)
			assert.Empty(t, app.take(), path)
		}
		for _, fields := range [][]string{
			{":authority", "app:80"},
			{":scheme", "https", ":authority", "app", ":path", "/"},
			{":protocol", "foo", ":scheme", "https", ":authority", "app", ":path", "/"},
			{":protocol", "websocket", ":scheme", "https", ":authority", "app", ":path", "/admin/"},
		} {
			fields = append(append([]string{":method", "CONNECT"}, fields...), "authorization", credentials)
			sendHTTP2(t, f, fields...)
			for _, head := range app.take() { // HAProxy makes a GET without an upgrade of the third
				assert.True(t, strings.HasPrefix(head, "GET / "), head)
				assert.NotContains(t, strings.ToLower(head), "upgrade:", head)
			}
		}
		for _, fields := range [][]string{
			{"connection", "remote-user"}, {"upgrade", "foo"}, {"transfer-encoding", "chunked"}, {"Remote-User", "root"}, {"remote-user", "root\r\nremote-user: root"},
			{"x", "a\nremote-user: root"}, {"remote_user", "root"}, {"remote-user ", "root"}, {":remote-user", "root"},
		} {
			get("/", fields...)
			for _, head := range app.take() {
				head = strings.ToLower(head)
				assert.Contains(t, head, "remote-user: "+ldaptest.Username(plain)+"\n", fields)
				assert.NotContains(t, head, "root", fields)
				assert.NotContains(t, head, "foo", fields)
			}
		}
	})
}
