package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHealthcheck_ReachesAnyListenAddress(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		":8080":            "127.0.0.1:8080",
		"0.0.0.0:8080":     "127.0.0.1:8080",
		"[::]:8080":        "[::1]:8080",
		"127.0.0.1:8080":   "127.0.0.1:8080",
		"127.0.0.2:8080":   "127.0.0.2:8080",
		"[::1]:8080":       "[::1]:8080",
		"192.0.2.1:80":     "192.0.2.1:80",
		"localhost:8080":   "localhost:8080",
		"auth.example:443": "auth.example:443",
	} {
		addr, err := localAddr(listen)
		require.NoError(t, err)
		assert.Equal(t, want, addr, listen)
	}
	_, err := localAddr("8080")
	assert.Error(t, err)
}

// checked runs healthcheck against a service that answers so, and gives the exit code and what was
// said.
func checked(ctx context.Context, t *testing.T, handler http.HandlerFunc) (code int, stderr string) {
	t.Helper()
	service := httptest.NewServer(handler)
	defer service.Close()
	var out, errs bytes.Buffer
	p := &program{stdout: &out, stderr: &errs, environ: []string{"HTTP_ADDR=" + service.Listener.Addr().String()}}
	code = p.run(ctx, []string{"healthcheck"})
	assert.Empty(t, out.String())
	return code, errs.String()
}

func TestHealthcheck_ReportsTheAnswerOfTheService(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]int{200: 0, 503: 1, 404: 1, 500: 1, 302: 1, 204: 1} {
		var asked []string
		got, said := checked(t.Context(), t, func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.Method+" "+r.URL.String())
			w.WriteHeader(code)
		})
		assert.Equal(t, want, got, "HTTP %d", code)
		want := []string{"GET /healthz"}
		if code == http.StatusOK {
			want = append(want, "GET /readyz")
		}
		assert.Equal(t, want, asked)
		switch code {
		case 200:
			assert.Empty(t, said)
		case 503:
			assert.Equal(t, "authsvc: no directory server is usable\n", said)
		default: // another program's answer, or this one's to HTTP where it speaks HTTPS
			assert.Contains(t, said, strconv.Itoa(code))
			assert.Contains(t, said, "HTTP_TLS_CERT_FILE")
			assert.NotContains(t, said, "directory")
		}
	}
}

func TestHealthcheck_SeesThatTheServiceShutsDown(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]int{`{"status":"draining"}`: 1, `{"status":"unavailable"}`: 0, `nonsense`: 0} {
		got, said := checked(t.Context(), t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/readyz" {
				w.WriteHeader(http.StatusServiceUnavailable)
				_, _ = io.WriteString(w, body) // the client notices if it fails
			}
		})
		assert.Equal(t, want, got, body)
		assert.Equal(t, want == 1, said == "authsvc: the service is shutting down\n", said)
	}
}

func TestHealthcheck_TimesOutIfTheServiceHangs(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	code, said := checked(ctx, t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	assert.Equal(t, 1, code)
	assert.Contains(t, said, "authsvc: the service does not answer: ")
}

func TestHealthcheck_BoundsTheAnswerItReads(t *testing.T) {
	t.Parallel()
	var sent atomic.Int64
	code, _ := checked(t.Context(), t, func(w http.ResponseWriter, _ *http.Request) {
		for {
			n, err := w.Write(make([]byte, 1<<16))
			if err != nil || sent.Add(int64(n)) > 1<<28 {
				return
			}
		}
	})
	assert.Zero(t, code)
	assert.Less(t, sent.Load(), int64(1<<27), "the sockets' buffers hold less")
}
