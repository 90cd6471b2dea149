package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"authsvc/internal/auth"

	"github.com/stretchr/testify/require"
)

const short = 50 * time.Millisecond

func TestTimeout_ValuesAreThoseOfTheContract(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for _, srv := range []*http.Server{h.HTTPServer(), h.AdminHandler(nil, nil).HTTPServer()} {
		require.Equal(t, 10*time.Second, srv.ReadHeaderTimeout)
		require.Equal(t, 15*time.Second, srv.ReadTimeout)
		require.Equal(t, 120*time.Second, srv.IdleTimeout)
		require.Equal(t, 16<<10, srv.MaxHeaderBytes)
		require.Greater(t, srv.WriteTimeout, srv.ReadTimeout+10*time.Second, "a slow request and a slow login can be answered")
	}
}

func TestTimeout_CutsASlowHeader(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.SetReadLimits(short, time.Minute, time.Minute)
	conn := h.listen(t).dial(t)
	_, err := io.WriteString(conn, "POST /auth HTTP/1.1\r\nHost: x\r\n")
	require.NoError(t, err)
	_, err = io.ReadAll(conn) // to the end, which only the server makes
	require.NoError(t, err)
	require.Empty(t, h.auth.all())
}

func TestTimeout_AnswersASlowBodyAndCutsIt(t *testing.T) {
	t.Parallel()
	for name, headers := range map[string]string{"with a length": "Content-Length: 1000", "chunked": "Transfer-Encoding: chunked"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.SetReadLimits(time.Minute, short, time.Minute)
			conn := h.listen(t).dial(t)
			_, err := io.WriteString(conn, rawPost(headers, "4\r\n{\"us\r\n"))
			require.NoError(t, err)
			r := bufio.NewReader(conn)
			require.Equal(t, http.StatusBadRequest, readStatus(t, r))
			_, err = io.ReadAll(r)
			require.NoError(t, err)
			require.Empty(t, h.auth.all())
			seen := h.observer.all()
			require.Len(t, seen, 1)
			require.Equal(t, "body: must arrive complete and in time", seen[0].result.Detail)
			require.Error(t, seen[0].result.Cause)
		})
	}
}

func TestTimeout_ClosesAnIdleConnection(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.SetReadLimits(time.Minute, time.Minute, short)
	conn := h.listen(t).dial(t)
	_, err := io.WriteString(conn, rawPost(fmt.Sprint("Content-Length: ", len(goodJSON)), goodJSON))
	require.NoError(t, err)
	r := bufio.NewReader(conn)
	require.Equal(t, http.StatusOK, readStatus(t, r))
	_, err = io.ReadAll(r)
	require.NoError(t, err)
}

// The read limit is about the request. It passes while the login still runs, and must neither cut
// the connection nor the next request on it.
func TestTimeout_LoginMayTakeLongerThanItsRequest(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.SetReadLimits(time.Minute, short, time.Minute)
	h.auth.answer = func(ctx context.Context, c auth.Credentials) auth.Result {
		timer := time.NewTimer(4 * short)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return auth.Result{Outcome: auth.InternalError}
		case <-timer.C:
			return okResult(c)
		}
	}
	conn := h.listen(t).dial(t)
	r := bufio.NewReader(conn)
	for range 2 {
		_, err := io.WriteString(conn, rawPost(fmt.Sprint("Content-Length: ", len(goodJSON)), goodJSON))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, readStatus(t, r))
	}
}
