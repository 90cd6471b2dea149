package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"authsvc/api"
	"authsvc/internal/auth"

	"github.com/stretchr/testify/require"
)

// contractRows is the table of the contract's chapter HTTP, by hand: it must not be made of what it
// checks.
var contractRows = []struct {
	status  int
	code    string
	http    int
	always  int // HTTP status with Always200
	message string
	retry   bool // has Retry-After
}{
	{0, "ok", 200, 200, "auth ok", false},
	{1, "invalid_user", 401, 200, "invalid user", false},
	{2, "invalid_password", 401, 200, "invalid password", false},
	{3, "account_locked", 403, 200, "account locked", false},
	{4, "account_disabled", 403, 200, "account disabled", false},
	{5, "account_expired", 403, 200, "account expired", false},
	{6, "password_expired", 403, 200, "password expired", false},
	{7, "must_change_password", 403, 200, "password must be changed", false},
	{8, "not_permitted", 403, 200, "not permitted", false},
	{9, "too_many_attempts", 429, 429, "too many attempts", true},
	{10, "bad_request", 400, 400, "username: must be 1 to 256 bytes", false},
	{11, "directory_unavailable", 503, 503, "directory unavailable", true},
	{12, "overloaded", 503, 503, "overloaded", true},
	{13, "directory_timeout", 504, 504, "directory timeout", true},
	{14, "internal_error", 500, 500, "internal error", false},
	{15, "caller_refused", 401, 401, "caller refused", false},
}

func TestContract_Status(t *testing.T) {
	t.Parallel()
	require.Len(t, contractRows, len(auth.Outcomes()))
	for _, always200 := range []bool{false, true} {
		for _, row := range contractRows {
			t.Run(fmt.Sprintf("%02d_%s_always200_%t", row.status, row.code, always200), func(t *testing.T) {
				t.Parallel()
				h := newHarness(t, func(c *api.Config) { c.Always200 = always200 })
				r := okResult(auth.Credentials{Username: "USER0"})
				r.Outcome = auth.Outcomes()[row.status]
				r.Detail = "username: must be 1 to 256 bytes"
				r.RetryAfter = 1500 * time.Millisecond
				r.Cause = errors.New("ldap: secret cause")
				h.answering(r)
				rec := httptest.NewRecorder()
				h.Handler().ServeHTTP(rec, newPost(typeJSON, goodJSON))
				if !always200 {
					h.doc.checkResponse(t, newPost(typeJSON, goodJSON), rec)
				}
				want := row.http
				if always200 {
					want = row.always
				}
				require.Equal(t, want, rec.Code)
				a := decodeAnswer(t, rec.Body.Bytes())
				require.Equal(t, row.status, *a.Status)
				require.Equal(t, row.code, a.Code)
				require.Equal(t, row.message, a.Message)
				require.Equal(t, rec.Header().Get("X-Request-ID"), a.RequestID)
				require.Equal(t, row.status == 0, a.User != nil, "user comes with status 0 only")
				requireHeaders(t, rec.Header(), row.status, want, row.retry)
				require.NotContains(t, rec.Body.String(), "secret cause")
				require.Empty(t, h.observer.all(), "the Authenticator tells of its logins itself")
			})
		}
	}
}

// TestContract_Warnings: they come with status 0 and nothing else.
func TestContract_Warnings(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for _, c := range []struct {
		outcome  auth.Outcome
		warnings []auth.Warning
		want     string
	}{
		{auth.OK, nil, ""},
		{auth.OK, []auth.Warning{{Code: auth.PasswordExpiring, Count: 86400}}, `[{"code":"password_expiring","seconds":86400}]`},
		{auth.OK, []auth.Warning{{Code: auth.PasswordExpiring}}, `[{"code":"password_expiring","seconds":0}]`},
		{auth.OK, []auth.Warning{{Code: auth.GraceLogins, Count: 2}}, `[{"code":"grace_logins","remaining":2}]`},
		{auth.OK, []auth.Warning{{Code: auth.PasswordExpiring, Count: 1}, {Code: auth.GraceLogins}},
			`[{"code":"password_expiring","seconds":1},{"code":"grace_logins","remaining":0}]`},
		{auth.MustChangePassword, []auth.Warning{{Code: auth.PasswordExpiring, Count: 86400}}, ""},
	} {
		r := okResult(auth.Credentials{Username: "user0"})
		r.Outcome, r.Warnings = c.outcome, c.warnings
		h.answering(r)
		var body struct {
			Warnings json.RawMessage `json:"warnings"`
		}
		require.NoError(t, json.Unmarshal(h.post(t, typeJSON, goodJSON).Body.Bytes(), &body))
		require.Equal(t, c.want, string(body.Warnings))
	}
}

func requireHeaders(t *testing.T, header http.Header, status, httpStatus int, retry bool) {
	t.Helper()
	if retry {
		require.Equal(t, "2", header.Get("Retry-After"), "rounded up")
	} else {
		require.NotContains(t, header, "Retry-After")
	}
	switch {
	case httpStatus == http.StatusUnauthorized && status == 15:
		require.Equal(t, `Bearer realm="authsvc"`, header.Get("WWW-Authenticate"))
	case httpStatus == http.StatusUnauthorized:
		require.Equal(t, `X-Authsvc realm="directory"`, header.Get("WWW-Authenticate"))
	default:
		require.NotContains(t, header, "Www-Authenticate")
	}
	require.Equal(t, "no-store", header.Get("Cache-Control"))
	require.Equal(t, "nosniff", header.Get("X-Content-Type-Options"))
	require.Equal(t, "application/json", header.Get("Content-Type"))
}

func TestContract_Status10HasItsOwnHTTPStatuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method, contentType, body string
		status                    int
		message                   string
	}{
		"400 for a malformed body": {"POST", typeJSON, "{", 400, "body: must be one JSON object"},
		"405 for another method":   {"PUT", typeJSON, goodJSON, 405, "method not allowed"},
		"413 for a long body":      {"POST", typeJSON, strings.Repeat(" ", 16385), 413, "body: must be at most 16384 bytes"},
		"415 for another type": {"POST", "text/plain", goodJSON, 415,
			"Content-Type: must be application/json or application/x-www-form-urlencoded, in UTF-8"},
	} {
		for _, always200 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s always200 %t", name, always200), func(t *testing.T) {
				t.Parallel()
				h := newHarness(t, func(cfg *api.Config) { cfg.Always200 = always200 })
				req := newPost(c.contentType, c.body)
				req.Method = c.method
				h.requireRefused(t, h.do(t, req), c.status, c.message)
			})
		}
	}
}

func TestContract_RetryAfterIsAtLeastOneWholeSecond(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for given, want := range map[time.Duration]string{
		0: "1", -time.Second: "1", time.Nanosecond: "1", time.Second: "1", time.Second + 1: "2", 5 * time.Minute: "300",
	} {
		h.answering(auth.Result{Outcome: auth.TooManyAttempts, RetryAfter: given})
		require.Equal(t, want, h.post(t, typeJSON, goodJSON).Header().Get("Retry-After"), "%s", given)
	}
}

func TestContract_AnOutcomeThatDoesNotExistIsAnInternalError(t *testing.T) {
	t.Parallel()
	require.Equal(t, http.StatusInternalServerError, api.HTTPStatus(0, false))
	require.Equal(t, http.StatusInternalServerError, api.HTTPStatus(auth.Outcome(255), true))
}

func TestContract_TheBodyIsInOrderAndLeavesOutWhatIsAbsent(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for name, c := range map[string]struct {
		result auth.Result
		want   string
	}{
		"a user with attributes": {
			auth.Result{Outcome: auth.OK, User: &auth.User{Username: "user0", DN: `cn="a\b"`, Attributes: map[string][]string{
				"sn": {}, "mail": {"a@b", "\x00\n<é>\u2028"}}}},
			`{"status":0,"code":"ok","message":"auth ok","request_id":"r-1","user":{"username":"user0",` +
				`"dn":"cn=\"a\\b\"","attributes":{"mail":["a@b","\u0000\n<é>` + "\u2028" + `"],"sn":[]}}}` + "\n",
		},
		"a user with groups": {
			auth.Result{Outcome: auth.OK, User: &auth.User{Username: "user0", DN: "uid=user0", Groups: []string{`Größe ,()*\`, "staff"}}},
			`{"status":0,"code":"ok","message":"auth ok","request_id":"r-1","user":{"username":"user0","dn":"uid=user0",` +
				`"groups":["Größe ,()*\\","staff"]}}` + "\n",
		},
		"a user in no group": {
			auth.Result{Outcome: auth.OK, User: &auth.User{Username: "user0", DN: "uid=user0", Groups: []string{}}},
			`{"status":0,"code":"ok","message":"auth ok","request_id":"r-1","user":{"username":"user0","dn":"uid=user0","groups":[]}}` + "\n",
		},
		"a user without attributes": {
			auth.Result{Outcome: auth.OK, User: &auth.User{Username: "user0", DN: "uid=user0", Attributes: map[string][]string{}}},
			`{"status":0,"code":"ok","message":"auth ok","request_id":"r-1","user":{"username":"user0","dn":"uid=user0"}}` + "\n",
		},
		"bytes that are not UTF-8": {
			auth.Result{Outcome: auth.OK, User: &auth.User{Username: "a\xffb", DN: "d"}},
			`{"status":0,"code":"ok","message":"auth ok","request_id":"r-1","user":{"username":"a` + "\ufffd" + `b","dn":"d"}}` + "\n",
		},
		"no user": {
			auth.Result{Outcome: auth.InvalidPassword},
			`{"status":2,"code":"invalid_password","message":"invalid password","request_id":"r-1"}` + "\n",
		},
		"bad input without a detail": {
			auth.Result{Outcome: auth.BadRequest},
			`{"status":10,"code":"bad_request","message":"bad request","request_id":"r-1"}` + "\n",
		},
	} {
		h.answering(c.result)
		req := newPost(typeJSON, goodJSON)
		req.Header.Set("X-Request-ID", "r-1")
		require.Equal(t, c.want, h.do(t, req).Body.String(), name)
	}
}

// TestContract_ClientsMayUseTheTypes, with the standard library's decoder.
func TestContract_ClientsMayUseTheTypes(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	days := int64(86400)
	r := okResult(auth.Credentials{Username: "user0"})
	r.User.Groups, r.Warnings = []string{"staff"}, []auth.Warning{{Code: auth.PasswordExpiring, Count: days}}
	h.answering(r)
	rec := h.post(t, typeJSON, goodJSON)
	want := api.Answer{
		Status: 0, Code: "ok", Message: "auth ok", RequestID: rec.Header().Get("X-Request-ID"),
		User: &api.User{
			Username: "user0", DN: "uid=user0,ou=people,dc=example,dc=org", Groups: []string{"staff"},
			Attributes: map[string][]string{"mail": {"user0@example.org"}, "cn": {"A \"quoted\" name", "é"}},
		},
		Warnings: []api.Warning{{Code: "password_expiring", Seconds: &days}},
	}
	var got api.Answer
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &got))
	require.Equal(t, want, got)
}

func TestContract_EveryPathAndMethod(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	get := []string{"/livez", "/readyz", "/healthz", "/openapi.yaml"}
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND",
		"REPORT", "FOO", "get", "echo_route_not_found"}
	for _, path := range append(get, "/auth") {
		allow := "GET, HEAD"
		if path == "/auth" {
			allow = "POST"
		}
		for _, method := range methods {
			rec := h.get(t, method, path)
			if strings.Contains(", "+allow+",", ", "+method+",") {
				require.NotEqual(t, http.StatusMethodNotAllowed, rec.Code, "%s %s", method, path)
				continue
			}
			require.Equal(t, http.StatusMethodNotAllowed, rec.Code, "%s %s", method, path)
			require.Equal(t, allow, rec.Header().Get("Allow"), "%s %s", method, path)
		}
	}
	for _, path := range []string{
		"/", "//", "//auth", "/auth/", "/AUTH", "/Auth", "/%61uth", "/auth%2f", "/auth%00", "/./auth", "/x/../auth",
		"/auth/basics", "/aut", "/authx", "/livez/", "/metrics", "/debug/pprof/", "/api/status", "/:path", "/*",
	} {
		rec := h.get(t, http.MethodPost, path)
		require.Equal(t, http.StatusNotFound, rec.Code, path)
		require.Equal(t, "not found", decodeAnswer(t, rec.Body.Bytes()).Message)
	}
	require.Empty(t, h.auth.all())
}

func TestContract_TheQueryIsNeverRead(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	req := newPost(typeForm, "username=user0")
	req.URL.RawQuery = "password=s3cr3t"
	h.requireRefused(t, h.do(t, req), 400, "password: must be given")

	req = newPost(typeForm, goodForm)
	req.URL.RawQuery = "username=other&password=%zz;x"
	require.Equal(t, http.StatusOK, h.do(t, req).Code)
	require.Equal(t, "user0", h.auth.all()[0].Username)
}

func TestObserver_SeesOnlyRequestsToAuth(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.get(t, http.MethodGet, "/nowhere")
	h.get(t, http.MethodPost, "/livez")
	require.Empty(t, h.observer.all())
	h.get(t, http.MethodGet, "/auth")
	require.Len(t, h.observer.all(), 1)
}

func TestObserver_AndLoggerAreOptional(t *testing.T) {
	t.Parallel()
	h := newHarness(t, func(c *api.Config) { *c = api.Config{} })
	require.Equal(t, http.StatusBadRequest, h.post(t, typeJSON, "{").Code)
	h.auth.answer = nil
	require.Equal(t, http.StatusOK, h.post(t, typeJSON, goodJSON).Code)
}

// gone is a caller that left before its answer.
type gone struct{ discarding }

func (*gone) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestResponse_WriteErrorIsIgnored(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.Handler().ServeHTTP(&gone{discarding{http.Header{}}}, newPost(typeJSON, goodJSON))
	h.Handler().ServeHTTP(&gone{discarding{http.Header{}}}, newPost(typeJSON, "{"))
	require.Len(t, h.auth.all(), 1)
	require.Len(t, h.observer.all(), 1, "the refusal, and nothing about the writing")
	require.Empty(t, h.log.String())
}
