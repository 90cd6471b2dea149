package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// flood opens connections from another address than all other tests have, each of which begins in
// another way and then says nothing more.
func flood(t *testing.T, addr string, n int) {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	beginnings := []string{
		"", "POST /auth HTTP/1.1\r\nX: ", "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /auth HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
		strings.Repeat("GET /openapi.yaml HTTP/1.1\r\nHost: x\r\n\r\n", 50),
	}
	for i := range n {
		conn, err := dialer.DialContext(t.Context(), "tcp", addr)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = io.WriteString(conn, beginnings[i%len(beginnings)]) // it may be closed by now
	}
}

// metric reads one from the admin listener.
func metric(t *testing.T, p *process, name string) (value string) {
	t.Helper()
	resp, err := http.Get(p.admin + "/metrics")
	require.NoError(t, err)
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if v, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			value = v
		}
	}
	return value
}

func TestFlood_OfConnectionsLeavesRoomForLoginsAndProbes(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10})
	far := ldaptest.NewProxy(t, slapd.Addr())
	p := startProgram(t, far.URL(), "HTTP_MAX_CONNS=32")
	p.ready(t)
	addr := strings.TrimPrefix(p.url, "http://")
	kept := client(t) // which has a connection of before
	require.Equal(t, 0, login(kept, p.url, ldaptest.Username(1), ldaptest.Password(1), 0).status)
	far.SetFaults(ldaptest.Faults{Delay: 100 * time.Millisecond}) // each way: logins are under way for a while
	var answers [3][]answer
	var logins sync.WaitGroup
	for i, c := range []*http.Client{kept, client(t), client(t)} {
		logins.Go(func() {
			for range 5 {
				answers[i] = append(answers[i], login(c, p.url, ldaptest.Username(1), ldaptest.Password(1), 0))
			}
		})
	}
	for range 4 {
		flood(t, addr, 100)
		resp, err := http.Get(p.url + "/readyz")
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode)
	}
	logins.Wait()
	for _, a := range append(append(answers[0], answers[1]...), answers[2]...) {
		assert.Equal(t, 0, a.status, a.err)
	}
	open, err := strconv.Atoi(metric(t, p, "authsvc_http_connections"))
	require.NoError(t, err)
	assert.LessOrEqual(t, open, 32)
	assert.Equal(t, "32", metric(t, p, "authsvc_http_connections_max"))
	assert.NotEqual(t, "0", metric(t, p, "authsvc_http_connections_dropped_total"))
	assert.Contains(t, p.logged(), `"callers' connections at their limit, closing the longest idle ones","limit":32`)
	assert.Zero(t, p.end(t), "the connections that are left do not hold up the end")
}

func TestFlood_OfLoginsFromOneAddressLeavesRoomForOthers(t *testing.T) {
	t.Parallel()
	for _, detail := range []string{"distinct", "uniform"} {
		t.Run(detail, func(t *testing.T) {
			t.Parallel()
			p := startProgram(t, ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10}).URL(), "HTTP_MAX_CONNS=60", "AUTH_FAILURE_DETAIL="+detail)
			p.ready(t)
			ctx, stop := context.WithCancel(t.Context())
			from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 66)}}
			flooder := &http.Client{Transport: &http.Transport{DialContext: from.DialContext, MaxIdleConnsPerHost: 80}}
			var flood sync.WaitGroup
			for n := range 80 {
				flood.Go(func() {
					for ctx.Err() == nil {
						login(flooder, p.url, ldaptest.Username(2), "Fl00d-of-Guesses", n)
					}
				})
			}
			ldaptest.Eventually(t, "the listener to be full", func() bool {
				return metric(t, p, "authsvc_http_connections_dropped_total") != "0"
			})
			for range 15 {
				a := login(client(t), p.url, ldaptest.Username(1), ldaptest.Password(1), 0)
				assert.Equal(t, 0, a.status, a.err)
				probe := client(t)
				resp, err := probe.Get(p.url + "/readyz")
				if assert.NoError(t, err) {
					assert.Equal(t, http.StatusOK, resp.StatusCode)
					assert.NoError(t, resp.Body.Close())
				}
			}
			stop()
			flood.Wait()
			flooder.CloseIdleConnections()
			assert.Zero(t, p.end(t))
		})
	}
}

func TestFlood_OfConnectionsLeavesTheAdminListenerReachable(t *testing.T) {
	t.Parallel()
	p := startProgram(t, ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1}).URL())
	p.ready(t)
	flood(t, strings.TrimPrefix(p.admin, "http://"), 256+50) // SECURITY.md has the bound
	resp, err := http.Get(p.admin + "/healthz")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Zero(t, p.end(t))
}

// TestFlood_OfUnfinishedRequestsDelaysNoExit has connections of before, and begins a
// request on one again and again, none of which comes to its end.
func TestFlood_OfUnfinishedRequestsDelaysNoExit(t *testing.T) {
	t.Parallel()
	p := startProgram(t, ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1}).URL(), "HTTP_SHUTDOWN_TIMEOUT=20s")
	p.ready(t)
	var idle []net.Conn
	for range 20 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		idle = append(idle, conn)
	}
	p.inspect()
	began := time.Now()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	ldaptest.Eventually(t, "the drain began", func() bool { return strings.Contains(p.logged(), `"draining"`) })
	for _, conn := range idle {
		_, _ = io.WriteString(conn, "POST /auth HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	}
	<-p.done
	_ = p.cmd.Wait() // the exit code says more
	require.Zero(t, p.cmd.ProcessState.ExitCode())
	require.Less(t, time.Since(began), 10*time.Second)
}
