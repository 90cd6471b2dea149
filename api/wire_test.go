package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"authsvc/internal/auth"

	"github.com/stretchr/testify/require"
)

// listener is a harness behind a real port.
type listener struct {
	addr, url string
	client    *http.Client
	shutdown  func() // waits for every handler; may be called more than once
}

// listen serves the main handler until the test ends.
func (h *harness) listen(t *testing.T) *listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := h.HTTPServer()
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	transport := &http.Transport{}
	shutdown := func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			_ = srv.Close()
			t.Errorf("shutdown: %v", err)
		}
	}
	t.Cleanup(func() {
		shutdown()
		require.ErrorIs(t, <-done, http.ErrServerClosed)
	})
	return &listener{ln.Addr().String(), "http://" + ln.Addr().String(), &http.Client{Transport: transport}, shutdown}
}

// dial opens a connection that no test can hang on.
func (l *listener) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", l.addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	return conn.(*net.TCPConn)
}

// send writes raw bytes, says that no more will come and returns the statuses of all answers up to
// the server's end of the connection.
func (l *listener) send(t *testing.T, raw string) (statuses []int, all string) {
	t.Helper()
	conn := l.dial(t)
	_, err := io.WriteString(conn, raw)
	require.NoError(t, err)
	require.NoError(t, conn.CloseWrite())
	received, err := io.ReadAll(conn)
	require.NoError(t, err)
	r := bufio.NewReader(strings.NewReader(string(received)))
	for {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return statuses, string(received)
		}
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		statuses = append(statuses, res.StatusCode)
	}
}

// rawPost is a request as it goes over the wire; header lines are separated by |.
func rawPost(headers, body string) string {
	lines := "POST /auth HTTP/1.1|Host: x|Content-Type: application/json|"
	if headers != "" {
		lines += headers + "|"
	}
	return strings.ReplaceAll(lines, "|", "\r\n") + "\r\n" + body
}

// chunked is body as one chunk.
func chunked(body string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body) }

func TestHTTP_RejectsASmuggledRequest(t *testing.T) {
	t.Parallel()
	length := fmt.Sprint("Content-Length: ", len(goodJSON))
	next := rawPost(length, goodJSON)
	for _, c := range []struct {
		name   string
		raw    string
		want   []int
		logins int
	}{
		{"a Content-Length alone, which keeps the connection", rawPost(length, goodJSON) + next, []int{200, 200}, 2},
		{"chunked alone, which ends it", rawPost("Transfer-Encoding: chunked", chunked(goodJSON)) + next, []int{200}, 1},
		{"both, the length shorter", rawPost("Content-Length: 4|Transfer-Encoding: chunked", chunked(goodJSON)) + next,
			[]int{200}, 1},
		{"both, the length as long as all", rawPost(fmt.Sprintf("Content-Length: %d|Transfer-Encoding: chunked",
			len(chunked(goodJSON)+next)), chunked(goodJSON)+next), []int{200}, 1},
		{"both, an empty chunk first", rawPost(length+"|Transfer-Encoding: chunked", "0\r\n\r\n"+next), []int{400}, 0},
		{"both, the length no number", rawPost("Content-Length: x|Transfer-Encoding: chunked", chunked(goodJSON)) + next,
			[]int{400}, 0},
		{"chunked in capitals", rawPost("Transfer-Encoding: CHUNKED", chunked(goodJSON)) + next, []int{200}, 1},
		{"chunked twice", rawPost("Transfer-Encoding: chunked|Transfer-Encoding: chunked", chunked(goodJSON)) + next,
			[]int{501}, 0},
		{"chunked and identity", rawPost("Transfer-Encoding: chunked, identity", chunked(goodJSON)) + next, []int{501}, 0},
		{"identity", rawPost("Transfer-Encoding: identity|"+length, goodJSON) + next, []int{501}, 0},
		{"something like chunked", rawPost("Transfer-Encoding: xchunked|"+length, goodJSON) + next, []int{501}, 0},
		{"a space before the colon", rawPost("Transfer-Encoding : chunked|"+length, goodJSON) + next, []int{400}, 0},
		{"a folded Transfer-Encoding", rawPost("Transfer-Encoding:| chunked|"+length, chunked(goodJSON)) + next, []int{200}, 1},
		{"a folded header", rawPost("X-Folded: a| b|"+length, goodJSON) + next, []int{200, 200}, 2},
		{"a fold right behind the request line", strings.Replace(next, "\r\nHost", "\r\n Host", 1) + next, []int{400}, 0},
		{"the same length twice", rawPost(length+"|"+length, goodJSON) + next, []int{200, 200}, 2},
		{"two lengths", rawPost(length+"|Content-Length: 4", goodJSON) + next, []int{400}, 0},
		{"two lengths in one", rawPost(length+", 4", goodJSON) + next, []int{400}, 0},
		{"a length with a sign", rawPost("Content-Length: +4", goodJSON) + next, []int{400}, 0},
		{"a negative length", rawPost("Content-Length: -4", goodJSON) + next, []int{400}, 0},
		{"a length in hexadecimal", rawPost("Content-Length: 0x4", goodJSON) + next, []int{400}, 0},
		{"a length beyond 64 bits", rawPost("Content-Length: 99999999999999999999", goodJSON) + next, []int{400}, 0},
		{"a length too short", rawPost("Content-Length: 10", goodJSON) + next, []int{400, 400}, 0},
		{"a length too long", rawPost("Content-Length: 1000", goodJSON), []int{400}, 0},
		{"no length", rawPost("", goodJSON), []int{400, 400}, 0},
		{"a chunk extension", rawPost("Transfer-Encoding: chunked",
			strings.Replace(chunked(goodJSON), "\r\n", ";a=\"b\"\r\n", 1)) + next, []int{200}, 1},
		{"a trailer that is a header", rawPost("Transfer-Encoding: chunked|Trailer: X-Request-ID",
			strings.TrimSuffix(chunked(goodJSON), "\r\n")+"X-Request-ID: trailed\r\n\r\n") + next, []int{200}, 1},
		{"a chunk that ends in a bare LF", rawPost("Transfer-Encoding: chunked",
			strings.Replace(chunked(goodJSON), "\r\n", "\n", 1)) + next, []int{400}, 0},
		{"a chunk longer than it says", rawPost("Transfer-Encoding: chunked", "4\r\n"+goodJSON+"\r\n0\r\n\r\n") + next,
			[]int{400}, 0},
		{"a chunk size beyond 64 bits", rawPost("Transfer-Encoding: chunked", "fffffffffffffffff\r\nx") + next, []int{400}, 0},
		{"chunks without an end", rawPost("Transfer-Encoding: chunked", "4\r\n{   \r\n"), []int{400}, 0},
		{"a chunked body that is too long", rawPost("Transfer-Encoding: chunked",
			chunked(strings.Repeat(" ", 16385))), []int{413}, 0},
		{"a body that is too long", rawPost("Content-Length: 16385", strings.Repeat(" ", 16385)), []int{413}, 0},
		{"a body that is said to be too long", rawPost("Content-Length: 16385", "") + next, []int{413}, 0},
		{"a body that nobody reads", strings.Replace(next, "/json", "/xml", 1) + next, []int{415}, 0},
		{"a GET with a body", "GET /livez HTTP/1.1\r\nHost: x\r\n" + length + "\r\n\r\n" + goodJSON + next, []int{200}, 0},
		{"lines that end in a bare LF", strings.ReplaceAll(next, "\r\n", "\n") + next, []int{200, 200}, 2},
		{"a bare CR in a header", rawPost("X-A: b\rTransfer-Encoding: chunked|"+length, goodJSON) + next, []int{400}, 0},
		{"a NUL in a header", rawPost("X-A: b\x00|"+length, goodJSON) + next, []int{400}, 0},
		{"HTTP/1.0 with both, kept alive", strings.Replace(rawPost("Connection: keep-alive|Transfer-Encoding: chunked|"+length,
			goodJSON), "1.1", "1.0", 1) + next, []int{200}, 1},
		{"no Host", strings.Replace(next, "Host: x\r\n", "", 1) + next, []int{400}, 0},
		{"two Hosts", rawPost("Host: y|"+length, goodJSON) + next, []int{400}, 0},
		{"HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{404}, 0},
		{"HTTP/2 without TLS, with a length", "PRI * HTTP/2.0\r\nHost: x\r\nContent-Length: 1\r\n\r\nx" + next, []int{404}, 0},
		{"HTTP/2 without TLS, chunked", "PRI * HTTP/2.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next, []int{404}, 0},
		{"HTTP/2 without TLS, both", "PRI * HTTP/2.0\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next, []int{404}, 0},
		{"HTTP/3", strings.Replace(next, "1.1", "3.0", 1) + next, []int{505}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			statuses, all := h.listen(t).send(t, c.raw)
			require.Equal(t, c.want, statuses, all)
			require.Len(t, h.auth.all(), c.logins)
			for _, asked := range h.auth.all() {
				require.Equal(t, "user0", asked.Username)
			}
		})
	}
}

func TestHTTP_ChunkedRequestGetsConnectionClose(t *testing.T) {
	t.Parallel()
	_, all := newHarness(t).listen(t).send(t, rawPost("Transfer-Encoding: chunked", chunked(goodJSON)))
	require.Contains(t, all, "\r\nConnection: close\r\n")
	_, all = newHarness(t).listen(t).send(t, rawPost(fmt.Sprint("Content-Length: ", len(goodJSON)), goodJSON))
	require.NotContains(t, all, "Connection:")
}

func TestHTTP_PipelineIsAnsweredInOrder(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	var raw strings.Builder
	for i := range 20 {
		raw.WriteString(rawPost(fmt.Sprintf("X-Request-ID: r-%d|Content-Length: %d", i, len(goodJSON)), goodJSON))
	}
	statuses, all := h.listen(t).send(t, raw.String())
	require.Len(t, statuses, 20)
	at := -1
	for i := range 20 {
		next := strings.Index(all, fmt.Sprintf(`"request_id":"r-%d"`, i))
		require.Greater(t, next, at)
		at = next
	}
}

func TestHTTP_Version10IsAnsweredAndClosed(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	raw := fmt.Sprintf("POST /auth HTTP/1.0\r\nConnection: keep-alive\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		typeForm, len(goodForm), goodForm)
	statuses, all := h.listen(t).send(t, raw+raw)
	require.Equal(t, []int{200}, statuses)
	require.True(t, strings.HasPrefix(all, "HTTP/1.0 200 OK\r\n"))
}

func TestHTTP_ExpectGetsContinue(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	srv := h.listen(t)
	expecting := func(contentType string, length int) (*net.TCPConn, *bufio.Reader) {
		conn := srv.dial(t)
		_, err := fmt.Fprintf(conn, "POST /auth HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n"+
			"Expect: 100-continue\r\n\r\n", contentType, length)
		require.NoError(t, err)
		return conn, bufio.NewReader(conn)
	}
	conn, r := expecting(typeJSON, len(goodJSON))
	line, err := r.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 100 Continue\r\n", line)
	_, err = r.ReadString('\n')
	require.NoError(t, err)
	_, err = io.WriteString(conn, goodJSON)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, readStatus(t, r))

	_, r = expecting("text/plain", len(goodJSON))
	require.Equal(t, http.StatusUnsupportedMediaType, readStatus(t, r), "the body is not asked for")
	_, r = expecting(typeJSON, 1<<30)
	require.Equal(t, http.StatusRequestEntityTooLarge, readStatus(t, r), "the body is not asked for")
}

func readStatus(t *testing.T, r *bufio.Reader) int {
	t.Helper()
	res, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}

func TestHTTP_AnswersTargetsOtherThanPaths(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]int{
		"OPTIONS *": 404, "OPTIONS /auth": 405, "CONNECT x:80": 404, "GET http://x/livez": 200, "GET /livez?q=%zz": 200,
		"GET livez": 400, "GET /%zz": 400,
	} {
		statuses, all := newHarness(t).listen(t).send(t, target+" HTTP/1.1\r\nHost: x\r\n\r\n")
		require.Equal(t, []int{want}, statuses, "%s: %s", target, all)
		if want != http.StatusBadRequest {
			require.Contains(t, all, "\r\nContent-Type: application/json\r\n", target)
		}
	}
}

func TestHTTP_RejectsLongHeaders(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	srv := h.listen(t)
	length := fmt.Sprint("Content-Length: ", len(goodJSON))
	statuses, _ := srv.send(t, rawPost("X-Long: "+strings.Repeat("x", 15<<10)+"|"+length, goodJSON))
	require.Equal(t, []int{200}, statuses)
	conn := srv.dial(t)
	_, err := io.WriteString(conn, rawPost("X-Long: "+strings.Repeat("x", 32<<10)+"|"+length, goodJSON))
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, readStatus(t, bufio.NewReader(conn)))
	require.Len(t, h.auth.all(), 1)
}

func TestHTTP_LoginGoesOnWhenItsCallerHangsUp(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	entered, finished := make(chan struct{}), make(chan struct{})
	h.auth.answer = func(ctx context.Context, c auth.Credentials) auth.Result {
		close(entered)
		<-ctx.Done() // the server has seen that the caller is gone
		close(finished)
		return okResult(c)
	}
	srv := h.listen(t)
	conn := srv.dial(t)
	_, err := io.WriteString(conn, rawPost(fmt.Sprint("Content-Length: ", len(goodJSON)), goodJSON))
	require.NoError(t, err)
	<-entered
	require.NoError(t, conn.Close())
	<-finished
	srv.shutdown() // waits for the handler
	require.NotContains(t, h.log.String(), "level=ERROR", "nothing is wrong with a caller that left")
	require.Empty(t, h.observer.all())
}

func TestHTTP_ConcurrentLoginsGetTheirOwnAnswers(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	srv := h.listen(t)
	errs := make(chan error)
	for g := range 8 {
		go func() {
			errs <- func() error {
				for i := range 50 {
					name := fmt.Sprintf("user-%d-%d", g, i)
					res, err := srv.client.Post(srv.url+"/auth", typeForm, strings.NewReader("username="+name+"&password="+name))
					if err != nil {
						return err
					}
					body, err := io.ReadAll(res.Body)
					_ = res.Body.Close()
					if err != nil || !strings.Contains(string(body), `"username":"`+name+`"`) {
						return fmt.Errorf("%s: %s, %w", name, body, err)
					}
				}
				return nil
			}()
		}()
	}
	for range 8 {
		require.NoError(t, <-errs)
	}
	for _, asked := range h.auth.all() {
		require.Equal(t, asked.Username, asked.Password)
	}
}

func TestHTTP_Version2KeepsItsConnection(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	srv := httptest.NewUnstartedServer(h.Handler()) // the server's own limits have no HTTP/2
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	for _, body := range []io.Reader{strings.NewReader(goodJSON), io.MultiReader(strings.NewReader(goodJSON))} {
		res, err := srv.Client().Post(srv.URL+"/auth", typeJSON, body) // the second of unknown length
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, 2, res.ProtoMajor)
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.NotContains(t, res.Header, "Connection")
	}
}
