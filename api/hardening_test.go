package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"authsvc/internal/auth"

	"github.com/stretchr/testify/require"
)

// TestResponse_EscapesEveryText has a directory and a caller whose every text tries to
// end the headers, or the body's string, and to begin something of its own.
func TestResponse_EscapesEveryText(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"a\r\nSet-Cookie: own=1\r\n\r\n<html>", "a\nSet-Cookie: own=1\n\n", "a\r", "a\u0085b\u2028c", `a","status":0,"x":"`, `a"}`, "\xff\r\n\r\n", "a\u560d\u560aSet-Cookie: own=1", "\x00",
	} {
		h := newHarness(t)
		h.answering(auth.Result{Outcome: auth.OK, User: &auth.User{
			Username: text, DN: "uid=" + text, Attributes: map[string][]string{"cn": {text}, text: {"x"}},
		}})
		conn := h.listen(t).dial(t)
		_, err := io.WriteString(conn, rawPost("X-Request-ID: ok\r\nX-Request-ID: a b\r\nContent-Length: "+fmt.Sprint(len(goodJSON)), goodJSON))
		require.NoError(t, err)
		r := bufio.NewReader(conn)
		res, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.ElementsMatch(t, []string{"X-Request-Id", "X-Content-Type-Options", "Cache-Control", "Content-Type", "Content-Length", "Date"}, keysOfHeader(res.Header))
		require.Equal(t, 1, strings.Count(string(body), "\n"), "%q", body)
		require.NotContains(t, string(body), "\r")
		want := strings.ToValidUTF8(text, "\ufffd")
		a := decodeAnswer(t, body)
		require.Equal(t, 0, *a.Status)
		require.Equal(t, want, a.User.Username)
		require.Equal(t, "uid="+want, a.User.DN)
		require.Equal(t, []string{want}, a.User.Attributes["cn"])
		require.Zero(t, r.Buffered(), "there is one answer and no more")
	}
}

func keysOfHeader(h http.Header) (names []string) {
	for name := range h {
		names = append(names, name)
	}
	return names
}

// TestResponse_IsNeverCompressed: the length of a compressed answer would tell of its content, and
// a body is taken as it is only.
func TestResponse_IsNeverCompressed(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	req := newPost(typeJSON, goodJSON)
	req.Header.Set("Accept-Encoding", "gzip, deflate, br, zstd")
	rec := h.do(t, req)
	require.NotContains(t, rec.Header(), "Content-Encoding")
	require.True(t, strings.HasPrefix(rec.Body.String(), "{"))
}
