package loginclient_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"
	"authsvc/internal/loginclient"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const password = "typed-secret"

// ask asks what is at a URL about one login.
func ask(t *testing.T, url string) (loginclient.Answer, error) {
	t.Helper()
	return askWith(t, loginclient.Config{URL: url})
}

func askWith(t *testing.T, cfg loginclient.Config) (loginclient.Answer, error) {
	t.Helper()
	c, err := loginclient.New(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	answer, err := c.Ask(ctx, loginclient.Login{Username: "alice", Password: password})
	if err != nil {
		assert.NotContains(t, err.Error(), password)
	}
	return answer, err
}

// serve serves a handler and returns its URL.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// raw answers each connection with bytes. It has read the header of the request before.
func raw(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(c)) // it may be no request
			answer(c)
			c.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	return "http://" + l.Addr().String()
}

func TestAsk_SendsWhatTheServiceReads(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body string
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, body = r, string(b)
		_, _ = io.WriteString(w, "{\"status\":0,\"code\":\"ok\",\n \"request_id\":\"R1\",\"user\":{\"username\":\"Alice\"},\"warnings\":[{\"code\":\"grace_logins\",\"remaining\":2}]}\n")
	})
	c, err := loginclient.New(loginclient.Config{URL: url + "/sso/", Key: "the-key"})
	require.NoError(t, err)
	answer, err := c.Ask(t.Context(), loginclient.Login{Username: `a"é`, Password: "p\\\n\u2028", Client: netip.MustParseAddr("2001:db8::1")})
	require.NoError(t, err)
	assert.Equal(t, "POST /sso/auth", got.Method+" "+got.URL.Path)
	assert.Equal(t, "Bearer the-key", got.Header.Get("Authorization"))
	assert.Equal(t, "2001:db8::1", got.Header.Get("X-Forwarded-For"))
	assert.JSONEq(t, `{"username":"a\"é","password":"p\\\n\u2028"}`, body)
	assert.Equal(t, loginclient.Answer{
		Status: 0, Message: "auth ok", RequestID: "R1", Username: "Alice", Warnings: []loginclient.Warning{{Code: "grace_logins", Remaining: 2}},
		JSON: `{"status":0,"code":"ok","request_id":"R1","user":{"username":"Alice"},"warnings":[{"code":"grace_logins","remaining":2}]}`,
	}, answer)
}

func TestAsk_KnowsEveryStatus(t *testing.T) {
	t.Parallel()
	for _, o := range auth.Outcomes() {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			fmt.Fprintf(w, `{"status":%d,"code":%q,"message":"any","request_id":"R1"}`, o.Status(), o.Code())
		})
		answer, err := ask(t, url)
		require.NoError(t, err, o)
		assert.Equal(t, o.Status(), answer.Status)
		assert.Equal(t, 7, answer.RetryAfter)
		if o == auth.BadRequest {
			assert.Equal(t, "any", answer.Message)
		} else {
			assert.Equal(t, o.Message(), answer.Message)
		}
	}
}

// TestAsk_AcceptsNothingButAuthsvcsAnswer: a status 0 that is not authsvc's lets nobody in, and no
// error repeats what a server sent.
func TestAsk_AcceptsNothingButAuthsvcsAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code int
		body string
		is   error
	}{
		{200, ``, loginclient.ErrSetup},
		{200, `{}`, loginclient.ErrSetup},
		{200, `0`, loginclient.ErrSetup},
		{200, `null`, loginclient.ErrSetup},
		{200, `{"status":0}`, loginclient.ErrSetup},
		{200, `{"status":0,"code":"OK"}`, loginclient.ErrSetup},
		{200, `{"status":null,"code":"ok"}`, loginclient.ErrSetup},
		{200, `{"status":"0","code":"ok"}`, loginclient.ErrSetup},
		{200, `{"status":false,"code":"ok"}`, loginclient.ErrSetup},
		{200, `{"status":-1,"code":"ok"}`, loginclient.ErrSetup},
		{200, `{"status":0.0,"code":"ok"}`, loginclient.ErrSetup},
		{200, `{"Status":0,"code":"ok"}`, loginclient.ErrSetup},
		{200, `{"status":2,"status":0,"code":"ok"}`, loginclient.ErrSetup},
		{200, `{"status":0,"code":"ok"} {}`, loginclient.ErrSetup},
		{200, `[{"status":0,"code":"ok"}]`, loginclient.ErrSetup},
		{200, `{"status":0,"code":"ok"`, loginclient.ErrSetup},
		{200, `<html>` + password, loginclient.ErrSetup},
		{201, `{"status":0,"code":"ok"}`, loginclient.ErrSetup},
		{401, `{"status":0,"code":"ok"}`, loginclient.ErrSetup},
		{404, `not found ` + password, loginclient.ErrSetup},
		{429, `slow down`, loginclient.ErrUnavailable},
		{502, `bad gateway ` + password, loginclient.ErrUnavailable},
		{503, `{"status":0,"code":"ok"}`, loginclient.ErrUnavailable},
	} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.code)
			_, _ = io.WriteString(w, c.body)
		})
		answer, err := ask(t, url)
		require.ErrorIs(t, err, c.is, "%d %s", c.code, c.body)
		assert.Zero(t, answer)
	}
	for name, text := range map[string]string{
		"no HTTP":           password + "\n",
		"no HTTP, long":     strings.Repeat(password, 1<<16),
		"a wrong header":    "HTTP/1.1 200 OK\r\n" + password + "\r\n\r\n",
		"an endless header": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<18) + "\r\n\r\n",
	} {
		_, err := ask(t, raw(t, func(c net.Conn) { _, _ = io.WriteString(c, text) }))
		require.ErrorIs(t, err, loginclient.ErrSetup, name)
	}
}

func TestAsk_DoesNotRepeatThePasswordFromAnAnswer(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"status":10,"code":"bad_request","message":"password: %[1]s","request_id":"%[1]s"}`, password)
	})
	answer, err := ask(t, url)
	require.NoError(t, err)
	assert.Equal(t, "bad request", answer.Message)
	assert.Empty(t, answer.RequestID)
}

func TestAsk_FollowsNoRedirect(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	elsewhere := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = io.WriteString(w, `{"status":0,"code":"ok"}`)
	})
	for _, code := range []int{301, 302, 303, 307, 308} {
		_, err := ask(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere+"/auth", code)
		}))
		require.ErrorIs(t, err, loginclient.ErrSetup)
		require.ErrorContains(t, err, "redirects are not followed")
	}
	assert.Zero(t, asked.Load(), "the password went to another host")
}

// TestAsk_IgnoresTheEnvironmentsProxies needs an address that is not loopback's, which Go never
// asks a proxy for.
func TestAsk_IgnoresTheEnvironmentsProxies(t *testing.T) {
	var asked atomic.Int32
	proxy := serve(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	t.Setenv("HTTP_PROXY", proxy)
	_, err := ask(t, "http://authsvc.invalid:8080")
	require.ErrorIs(t, err, loginclient.ErrUnavailable)
	assert.Zero(t, asked.Load(), "a proxy of the environment saw the password")
}

func TestAsk_BoundsTheAnswer(t *testing.T) {
	t.Parallel()
	stopped := make(chan struct{})
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		defer close(stopped)
		spaces := []byte(strings.Repeat(" ", 1<<16))
		for { // until the client hangs up
			if _, err := w.Write(spaces); err != nil {
				return
			}
		}
	})
	_, err := ask(t, url)
	require.ErrorIs(t, err, loginclient.ErrSetup)
	require.ErrorContains(t, err, "longer than")
	<-stopped
}

func TestAsk_StopsWaiting(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"for an answer":      "",
		"for the end of one": "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"status\":0,",
	} {
		release := make(chan struct{})
		url := raw(t, func(c net.Conn) {
			_, _ = io.WriteString(c, text)
			<-release
		})
		c, err := loginclient.New(loginclient.Config{URL: url})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err = c.Ask(ctx, loginclient.Login{Username: "alice", Password: password})
		cancel()
		close(release)
		require.ErrorIs(t, err, loginclient.ErrUnavailable, name)
		require.ErrorContains(t, err, "in time", name)
	}
}

func TestAsk_SaysToTryAgainWhereNothingAnswers(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l.Close()
	_, err = ask(t, "http://"+l.Addr().String())
	require.ErrorIs(t, err, loginclient.ErrUnavailable)
	for name, text := range map[string]string{"at once": "", "in the answer": "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"status\":0,"} {
		var asked atomic.Int32
		_, err = ask(t, raw(t, func(c net.Conn) {
			asked.Add(1)
			_, _ = io.WriteString(c, text)
		}))
		require.ErrorIs(t, err, loginclient.ErrUnavailable, name)
		require.EqualValues(t, 1, asked.Load(), "a password is tried once: the directory may have counted it")
	}
}

func TestAsk_VerifiesTheService(t *testing.T) {
	t.Parallel()
	ca, stranger := ldaptest.NewCA(t), ldaptest.NewCA(t)
	var asked atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = io.WriteString(w, `{"status":0,"code":"ok"}`)
	}))
	server.TLS = ca.ServerTLS(t, "localhost")
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	url := "https://localhost:" + port
	for name, cfg := range map[string]loginclient.Config{
		"an unknown authority": {URL: url},
		"another authority":    {URL: url, Roots: stranger.Pool()},
		"another name":         {URL: "https://127.0.0.1:" + port, Roots: ca.Pool()},
		"no TLS":               {URL: "http://localhost:" + port},
	} {
		_, err := askWith(t, cfg)
		require.ErrorIs(t, err, loginclient.ErrSetup, name)
	}
	assert.Zero(t, asked.Load(), "the password went to a server that was not verified")
	_, err = askWith(t, loginclient.Config{URL: url, Roots: ca.Pool()})
	require.NoError(t, err)
	_, err = ask(t, strings.Replace(serve(t, func(http.ResponseWriter, *http.Request) {}), "http:", "https:", 1))
	require.ErrorIs(t, err, loginclient.ErrSetup)
	require.ErrorContains(t, err, "does not speak TLS")
}

func TestNew_NamesTheRuleAndNotTheURL(t *testing.T) {
	t.Parallel()
	for url, rule := range map[string]string{
		"":                           "must be http://HOST:PORT",
		"localhost:8080":             "must be http://HOST:PORT",
		"ftp://localhost":            "must be http://HOST:PORT",
		"http://":                    "must be http://HOST:PORT",
		"http://:8080":               "must be http://HOST:PORT",
		"http://[::1":                "must be http://HOST:PORT",
		"http://alice:typed@host":    "must not hold a name or a password",
		"http://host/?typed":         "must not hold a query",
		"http://host/#typed":         "must not hold a query",
		"http://host:typed-secret/":  "must be http://HOST:PORT",
		"http://typed-secret\n:8080": "must be http://HOST:PORT",
	} {
		_, err := loginclient.New(loginclient.Config{URL: url})
		require.ErrorContains(t, err, rule, url)
		assert.NotContains(t, err.Error(), "typed")
	}
	for _, url := range []string{"http://localhost", "https://[::1]:8443/", "HTTPS://host/prefix"} {
		_, err := loginclient.New(loginclient.Config{URL: url})
		require.NoError(t, err, url)
	}
}
