package deploy_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"authsvc/internal/haproxytest"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// replica stands in for authsvc behind the HAProxy of scaled.
type replica struct {
	addr   string
	logins atomic.Int64 // that it got
	server *http.Server
}

// startReplica runs a replica that is ready, and answers logins by serve, until the test ends.
func startReplica(t *testing.T, serve http.HandlerFunc) *replica {
	t.Helper()
	r := &replica{addr: ldaptest.FreeAddr(t)}
	l, err := net.Listen("tcp", r.addr)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /auth", func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		r.logins.Add(1)
		serve(w, req)
	})
	r.server = &http.Server{Handler: mux}
	ended := make(chan struct{})
	go func() {
		_ = r.server.Serve(l)
		close(ended)
	}()
	t.Cleanup(func() {
		_ = r.server.Close()
		<-ended
	})
	return r
}

// post sends a login through HAProxy and returns the answer's status.
func post(t *testing.T, b *haproxytest.Balancer) int {
	t.Helper()
	resp, err := newClient(t).Post(b.URL+"/auth", "application/json", strings.NewReader(`{}`))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// TestScaled_LoginThatWasSentIsNotSentAgain: the directory may have counted it.
func TestScaled_LoginThatWasSentIsNotSentAgain(t *testing.T) {
	t.Parallel()
	cut := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	fail := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		want  int
	}{"connection cut": {cut, http.StatusBadGateway}, "overloaded": {fail, http.StatusServiceUnavailable}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second := startReplica(t, c.serve), startReplica(t, c.serve)
			b := haproxytest.Start(t, haproxytest.Quick, first.addr, second.addr)
			for n := range 10 {
				require.Equal(t, c.want, post(t, b))
				require.EqualValues(t, n+1, first.logins.Load()+second.logins.Load())
			}
		})
	}
}

// TestScaled_RefusedConnectionIsTriedAtAnotherReplica: before HAProxy has noticed that the first
// has ended.
func TestScaled_RefusedConnectionIsTriedAtAnotherReplica(t *testing.T) {
	t.Parallel()
	answer := func(http.ResponseWriter, *http.Request) {}
	first, second := startReplica(t, answer), startReplica(t, answer)
	b := haproxytest.Start(t, haproxytest.Shipped, first.addr, second.addr)
	require.NoError(t, first.server.Close())
	for range 10 {
		assert.Equal(t, http.StatusOK, post(t, b))
	}
	require.EqualValues(t, 10, second.logins.Load())
	t.Logf("HAProxy: %+v", b.Failures(t))
}

// TestScaled_ReplicaLearnsTheClientsAddress: not what the client says.
func TestScaled_ReplicaLearnsTheClientsAddress(t *testing.T) {
	t.Parallel()
	forwarded := make(chan []string, 1)
	r := startReplica(t, func(_ http.ResponseWriter, req *http.Request) { forwarded <- req.Header["X-Forwarded-For"] })
	b := haproxytest.Start(t, haproxytest.Quick, r.addr)
	req, err := http.NewRequest(http.MethodPost, b.URL+"/auth", strings.NewReader(`{}`))
	require.NoError(t, err)
	req.Header["X-Forwarded-For"] = []string{"198.51.100.7", "198.51.100.8"}
	resp, err := newClient(t).Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, []string{"127.0.0.1"}, <-forwarded)
}
