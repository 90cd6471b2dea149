package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"authsvc/api"
	"authsvc/internal/auth"

	"github.com/stretchr/testify/require"
)

func TestPanic_IsStatus14AndTheServiceGoesOn(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]func(auth.Credentials) any{
		"a string":          func(c auth.Credentials) any { return "bad password " + c.Password },
		"an error":          func(c auth.Credentials) any { return errors.New(c.Password) },
		"an error in echo":  func(c auth.Credentials) any { return fmt.Errorf("%w: %s", http.ErrAbortHandler, c.Password) },
		"a struct":          func(c auth.Credentials) any { return c },
		"something unequal": func(c auth.Credentials) any { return []string{c.Password} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.auth.answer = func(_ context.Context, c auth.Credentials) auth.Result { panic(value(c)) }
			rec := h.post(t, typeJSON, goodJSON)
			requireInternalError(t, rec)
			require.Contains(t, h.log.String(), "level=ERROR")
			require.Contains(t, h.log.String(), "panic_test.go", "the log has the stack")
			require.Contains(t, h.log.String(), rec.Header().Get("X-Request-ID"))
			require.NotContains(t, h.log.String(), "s3cr3t")
			seen := h.observer.all()
			require.Len(t, seen, 1)
			require.Equal(t, auth.InternalError, seen[0].result.Outcome)
			require.NotContains(t, seen[0].result.Cause.Error(), "s3cr3t")

			h.auth.answer = nil
			require.Equal(t, http.StatusOK, h.post(t, typeJSON, goodJSON).Code)
		})
	}
}

func requireInternalError(t *testing.T, rec *httptest.ResponseRecorder) {
	t.Helper()
	require.Equal(t, http.StatusInternalServerError, rec.Code)
	a := decodeAnswer(t, rec.Body.Bytes())
	require.Equal(t, auth.InternalError.Status(), *a.Status)
	require.Equal(t, "internal error", a.Message)
}

func TestPanic_RuntimeErrorIsLoggedWithItsText(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.auth.answer = func(_ context.Context, c auth.Credentials) auth.Result {
		var nothing map[string]int
		nothing[c.Username]++ //nolint:staticcheck // the panic is what is tested
		return auth.Result{}
	}
	requireInternalError(t, h.post(t, typeJSON, goodJSON))
	require.Contains(t, h.log.String(), "assignment to entry in nil map")
}

func TestPanic_OfTheObserverIsStatus14(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.observer.panics = "the observer is broken"
	requireInternalError(t, h.post(t, typeJSON, "{"))
	require.Len(t, h.observer.all(), 2)
	require.Equal(t, http.StatusOK, h.get(t, http.MethodGet, "/livez").Code)
}

func TestPanic_OfTheHealthCheckIsStatus14AndNotObserved(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	s := api.New(api.Config{Observer: h.observer}, h.auth, nil)
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	requireInternalError(t, rec)
	require.Empty(t, h.observer.all())
}

func TestPanic_AfterTheFirstByteClosesTheConnection(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.AddRoute("/half", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, "half of it")
		_ = http.NewResponseController(w).Flush()
		panic("too late")
	})
	srv := h.listen(t)
	res, err := srv.client.Get(srv.url + "/half")
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NoError(t, res.Body.Close())
	require.Equal(t, "half of it", string(body), "nothing is written behind it")
	require.Contains(t, h.log.String(), "panic in a handler")
}

func TestPanic_ErrAbortHandlerPassesThrough(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.AddRoute("/abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	srv := h.listen(t)
	_, err := srv.client.Get(srv.url + "/abort") //nolint:bodyclose // there is none
	require.ErrorIs(t, err, io.EOF)
	require.NotContains(t, h.log.String(), "level=ERROR")
}
