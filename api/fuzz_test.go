package api_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"

	"authsvc/internal/auth"

	"github.com/stretchr/testify/require"
)

// refusalMessages are all that may be said about a body. That a refusal is one of them is what
// keeps the caller's bytes out of it.
func refusalMessages() []string {
	all := []string{
		notObject, trailing, unknown, semicolon, "body: must have valid percent escapes",
		looksLikeJSON, "body: must not begin with a byte order mark", "body: must be at most 16384 bytes",
	}
	for _, field := range []string{"username", "password"} {
		for _, rule := range []string{notString, badString, missing, twice, badEscape, ": must be valid UTF-8"} {
			all = append(all, field+rule)
		}
	}
	return all
}

// fuzzBody posts bodies and reads those that were accepted a second time, by other means.
func fuzzBody(f *testing.F, contentType string, seeds []bodyCase,
	reread func(t *testing.T, body []byte) (username, password string),
) {
	f.Helper()
	for _, c := range seeds {
		f.Add([]byte(c.body))
	}
	messages := refusalMessages()
	h := newHarness(f)
	var asked []auth.Credentials // one worker runs one body at a time
	h.auth.answer = func(_ context.Context, c auth.Credentials) auth.Result {
		asked = append(asked, c)
		return auth.Result{Outcome: auth.OK}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		asked = nil
		rec := httptest.NewRecorder()
		h.Handler().ServeHTTP(rec, newPost(contentType, string(body)))
		a := decodeAnswer(t, rec.Body.Bytes())
		if rec.Code != 200 {
			require.Contains(t, []int{400, 413}, rec.Code)
			require.Equal(t, auth.BadRequest.Status(), *a.Status)
			require.Empty(t, asked)
			require.True(t, slices.Contains(messages, a.Message), a.Message)
			return
		}
		require.Len(t, asked, 1)
		username, password := reread(t, body)
		require.Equal(t, username, asked[0].Username)
		require.Equal(t, password, asked[0].Password)
	})
}

func FuzzJSONBody(f *testing.F) {
	seeds := append([]bodyCase{{body: goodJSON}, {body: `{"password":"\ud83d\ude00","user\u006eame":"\u0000"}`}}, refusedJSON...)
	fuzzBody(f, typeJSON, seeds, func(t *testing.T, body []byte) (string, string) {
		t.Helper()
		var fields map[string]any
		require.NoError(t, json.Unmarshal(body, &fields))
		require.Len(t, fields, 2)
		return fields["username"].(string), fields["password"].(string)
	})
}

func FuzzFormBody(f *testing.F) {
	seeds := append([]bodyCase{{body: goodForm}, {body: `password=+%2B&username=%00=`}}, refusedForms...)
	fuzzBody(f, typeForm, seeds, func(t *testing.T, body []byte) (string, string) {
		t.Helper()
		values, err := url.ParseQuery(string(body))
		require.NoError(t, err)
		require.Len(t, values, 2)
		require.Len(t, values["username"], 1)
		require.Len(t, values["password"], 1)
		return values.Get("username"), values.Get("password")
	})
}
