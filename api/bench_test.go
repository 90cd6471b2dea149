package api_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"authsvc/api"
	"authsvc/internal/auth"

	"github.com/stretchr/testify/require"
)

// fixed answers every login with the same result, at once.
type fixed struct{ result auth.Result }

func (f *fixed) Authenticate(context.Context, auth.Credentials) auth.Result { return f.result }

// discarding is a ResponseWriter that keeps its header map between answers and nothing else.
type discarding struct{ header http.Header }

func (d *discarding) Header() http.Header         { return d.header }
func (d *discarding) Write(p []byte) (int, error) { return len(p), nil }
func (d *discarding) WriteHeader(int)             {}

// open admits every caller.
var open = api.Config{Callers: api.Callers{Anybody: true}}

// BenchmarkPostAuth measures what this package costs one login: no network, no directory.
func BenchmarkPostAuth(b *testing.B) {
	ok := okResult(auth.Credentials{Username: "user0"})
	for _, c := range []struct {
		name, contentType, body string
		result                  auth.Result
	}{
		{"JSON_ok", typeJSON, goodJSON, ok},
		{"form_ok", typeForm, goodForm, ok},
		{"JSON_invalid_password", typeJSON, goodJSON, auth.Result{Outcome: auth.InvalidPassword}},
	} {
		b.Run(c.name, func(b *testing.B) {
			handler := api.New(open, &fixed{c.result}, &fakeHealth{}).Handler()
			requireAnswer(b, handler, c.contentType, c.body, c.result.Outcome)
			req := newPost(c.contentType, c.body)
			body := strings.NewReader(c.body)
			req.Body = io.NopCloser(body)
			w := &discarding{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				body.Reset(c.body)
				clear(w.header)
				handler.ServeHTTP(w, req)
			}
		})
	}
}

// requireAnswer checks that what is measured is the answer that is meant.
func requireAnswer(b *testing.B, handler http.Handler, contentType, body string, want auth.Outcome) {
	b.Helper()
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, newPost(contentType, body))
	require.Equal(b, want.Status(), *decodeAnswer(b, rec.Body.Bytes()).Status)
}

// BenchmarkServedPostAuth measures a login over a kept connection, client and all.
func BenchmarkServedPostAuth(b *testing.B) {
	s := api.New(open, &fixed{okResult(auth.Credentials{Username: "user0"})}, &fakeHealth{})
	requireAnswer(b, s.Handler(), typeJSON, goodJSON, auth.OK)
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = s.HTTPServer()
	srv.Start()
	defer srv.Close()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			res, err := srv.Client().Post(srv.URL+"/auth", typeJSON, strings.NewReader(goodJSON))
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	})
}
