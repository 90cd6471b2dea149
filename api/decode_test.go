package api_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"authsvc/api"
	"authsvc/internal/auth"

	"github.com/stretchr/testify/require"
)

// bodyCase is a body that is refused, and with what.
type bodyCase struct{ name, body, message string }

const (
	notObject     = "body: must be one JSON object"
	trailing      = "body: must end after one JSON object"
	unknown       = "unknown field: only username and password are allowed"
	notString     = ": must be a string"
	badString     = ": must be a JSON string of valid Unicode"
	missing       = ": must be given"
	twice         = ": must be given once"
	badEscape     = ": must have valid percent escapes"
	looksLikeJSON = "body: looks like JSON, but Content-Type announces a form: send Content-Type: application/json"
	semicolon     = "body: fields must be separated by &, and a semicolon must be written as %3B"
)

var refusedJSON = []bodyCase{
	{"an empty body", ``, notObject},
	{"white space alone", " \n", notObject},
	{"a byte order mark", "\ufeff" + goodJSON, "body: must not begin with a byte order mark"},
	{"a byte order mark after white space", " \ufeff" + goodJSON, notObject},
	{"UTF-16", "{\x00\"\x00}\x00", notObject},
	{"null", `null`, notObject},
	{"a string", `"s3cr3t"`, notObject},
	{"an array", `[` + goodJSON + `]`, notObject},
	{"a body that is cut", `{"username":"user0","password":"s3cr3t"`, notObject},
	{"a body that is cut in a value", `{"username":"user0","password":"s3cr`, "password" + badString},
	{"a body that is cut before a value", `{"username":`, notObject},
	{"a missing colon", `{"username" "user0"}`, notObject},
	{"a missing comma", `{"username":"user0" "password":"s3cr3t"}`, notObject},
	{"a trailing comma", `{"username":"user0","password":"s3cr3t",}`, notObject},
	{"a leading comma", `{,"username":"user0","password":"s3cr3t"}`, notObject},
	{"a comment", `{"username":"user0",/**/"password":"s3cr3t"}`, notObject},
	{"single quotes", `{'username':'user0','password':'s3cr3t'}`, notObject},
	{"a name without quotes", `{username:"user0"}`, notObject},
	{"a name that is a number", `{1:"user0"}`, notObject},
	{"a vertical tab as white space", "{\v\"username\":\"user0\"}", notObject},
	{"a second object", goodJSON + goodJSON, trailing},
	{"a second value", goodJSON + ` null`, trailing},
	{"rubbish behind", goodJSON + `x`, trailing},
	{"a NUL behind", goodJSON + "\x00", trailing},
	{"an empty object", `{}`, "username" + missing},
	{"no password", `{"username":"user0"}`, "password" + missing},
	{"no username", `{"password":"s3cr3t"}`, "username" + missing},
	{"an unknown field", `{"username":"user0","password":"s3cr3t","secret-name":1}`, unknown},
	{"an unknown field first", `{"secret-name":{"a":[]},"username":"user0","password":"s3cr3t"}`, unknown},
	{"an empty name", `{"":"user0","username":"user0","password":"s3cr3t"}`, unknown},
	{"a name in capitals", `{"Username":"user0","password":"s3cr3t"}`, unknown},
	{"a name folded by Unicode", `{"uſername":"user0","password":"s3cr3t"}`, unknown},
	{"a name with a space", `{"username ":"user0","password":"s3cr3t"}`, unknown},
	{"a name with a NUL", `{"username\u0000":"user0","password":"s3cr3t"}`, unknown},
	{"the same name twice", `{"username":"user0","username":"user0","password":"s3cr3t"}`, "username" + twice},
	{"the same name twice, once escaped", `{"password":"a","p\u0061ssword":"b","username":"user0"}`, "password" + twice},
	{"a null username", `{"username":null,"password":"s3cr3t"}`, "username" + notString},
	{"a null password", `{"username":"user0","password":null}`, "password" + notString},
	{"a number", `{"username":17,"password":"s3cr3t"}`, "username" + notString},
	{"a boolean", `{"username":"user0","password":true}`, "password" + notString},
	{"an array of strings", `{"username":["user0"],"password":"s3cr3t"}`, "username" + notString},
	{"an object as a value", `{"username":"user0","password":{"password":"s3cr3t"}}`, "password" + notString},
	{"a high surrogate alone", `{"username":"user0","password":"s3cr3t\ud83d"}`, "password" + badString},
	{"a low surrogate alone", `{"username":"\udc00","password":"s3cr3t"}`, "username" + badString},
	{"surrogates the wrong way round", `{"username":"\ude00\ud83d","password":"s3cr3t"}`, "username" + badString},
	{"a surrogate in UTF-8", "{\"username\":\"\xed\xa0\x80\",\"password\":\"s3cr3t\"}", "username" + badString},
	{"invalid UTF-8", "{\"username\":\"user\xff\",\"password\":\"s3cr3t\"}", "username" + badString},
	{"overlong UTF-8", "{\"username\":\"\xc0\xaf\",\"password\":\"s3cr3t\"}", "username" + badString},
	{"invalid UTF-8 in a name", "{\"username\xff\":\"user0\",\"password\":\"s3cr3t\"}", notObject},
	{"a raw newline in a value", "{\"username\":\"us\ner0\",\"password\":\"s3cr3t\"}", "username" + badString},
	{"a raw NUL in a value", "{\"username\":\"us\x00er0\",\"password\":\"s3cr3t\"}", "username" + badString},
	{"an unknown escape", `{"username":"us\xer0","password":"s3cr3t"}`, "username" + badString},
	{"a form", goodForm, notObject},
	{"ten thousand brackets", strings.Repeat("[", 10000), notObject},
	{"a deep value", `{"username":` + strings.Repeat(`[`, 10000), "username" + notString},
}

var refusedForms = []bodyCase{
	{"an empty body", ``, "username" + missing},
	{"no password", `username=user0`, "password" + missing},
	{"no username", `password=s3cr3t`, "username" + missing},
	{"an unknown field", goodForm + `&secret-name=1`, unknown},
	{"a name in capitals", `Username=user0&password=s3cr3t`, unknown},
	{"a name with a space", `+username=user0&password=s3cr3t`, unknown},
	{"a name with an index", `username[]=user0&password=s3cr3t`, unknown},
	{"an empty pair", `username=user0&&password=s3cr3t`, unknown},
	{"an ampersand at the end", goodForm + `&`, unknown},
	{"an ampersand at the beginning", `&` + goodForm, unknown},
	{"a value without a name", `=x&` + goodForm, unknown},
	{"the same name twice", goodForm + `&username=user0`, "username" + twice},
	{"the same name twice, once escaped", goodForm + `&p%61ssword=other`, "password" + twice},
	{"a semicolon as separator", `username=user0;password=s3cr3t`, semicolon},
	{"a semicolon in a value", `username=user0&password=s3;cr3t`, semicolon},
	{"a bad escape in a value", `username=user0&password=s3%zzcr3t`, "password" + badEscape},
	{"an escape that is cut", `username=user0%4&password=s3cr3t`, "username" + badEscape},
	{"a bad escape in a name", `user%name=user0&password=s3cr3t`, "body: must have valid percent escapes"},
	{"escaped invalid UTF-8", `username=user%ff&password=s3cr3t`, "username: must be valid UTF-8"},
	{"raw invalid UTF-8", "username=user0&password=s3\xffcr3t", "password: must be valid UTF-8"},
	{"an escaped surrogate", `username=%ed%a0%80&password=s3cr3t`, "username: must be valid UTF-8"},
	{"an object", goodJSON, looksLikeJSON},
	{"an object behind white space", " \r\n\t" + goodJSON, looksLikeJSON},
	{"an object behind a byte order mark", "\ufeff" + goodJSON, looksLikeJSON},
	{"an array", "[" + goodJSON + "]", looksLikeJSON},
	{"an object with a semicolon", `{"username":"user0;","password":"100%"}`, looksLikeJSON},
	{"the beginning of an object", `{`, looksLikeJSON},
}

func TestBody_RejectsWhatTwoParsersCouldReadDifferently(t *testing.T) {
	t.Parallel()
	for contentType, cases := range map[string][]bodyCase{typeJSON: refusedJSON, typeForm: refusedForms} {
		for _, c := range cases {
			t.Run(contentType+" "+c.name, func(t *testing.T) {
				t.Parallel()
				h := newHarness(t)
				rec := h.post(t, contentType, c.body)
				h.requireRefused(t, rec, http.StatusBadRequest, c.message)
				for _, sent := range []string{"user0", "s3cr3t", "secret-name"} {
					require.NotContains(t, rec.Body.String(), sent)
					require.NotContains(t, h.log.String(), sent)
				}
			})
		}
	}
}

func TestBody_AcceptsValidJSONAndForms(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 512)
	for _, c := range []struct{ name, contentType, body, username, password string }{
		{"JSON", typeJSON, goodJSON, "user0", "s3cr3t"},
		{"JSON with the fields turned round", typeJSON, `{"password":"s3cr3t","username":"user0"}`, "user0", "s3cr3t"},
		{"JSON with white space", typeJSON, " {\r\n\t\"username\" : \"user0\" , \"password\":\"s3cr3t\" } \n", "user0", "s3cr3t"},
		{"JSON with escapes", typeJSON, `{"user\u006eame":"\"\\\/\b\f\n\r\tA","password":"\ud83d\ude00\u0000"}`,
			"\"\\/\b\f\n\r\tA", "😀\x00"},
		{"JSON with empty values, which are for auth to judge", typeJSON, `{"username":"","password":""}`, "", ""},
		{"JSON beyond ASCII", typeJSON, `{"username":"jürgen","password":"` + long + `"}`, "jürgen", long},
		{"a BOM inside a value", typeJSON, "{\"username\":\"\ufeff\",\"password\":\"p\"}", "\ufeff", "p"},
		{"JSON with a charset", "application/json; charset=UTF-8", goodJSON, "user0", "s3cr3t"},
		{"JSON with a quoted charset", `Application/JSON;charset="utf-8"`, goodJSON, "user0", "s3cr3t"},
		{"JSON with another parameter", `application/json; odata=verbose`, goodJSON, "user0", "s3cr3t"},
		{"a form", typeForm, goodForm, "user0", "s3cr3t"},
		{"a form with the fields turned round", typeForm, `password=s3cr3t&username=user0`, "user0", "s3cr3t"},
		{"a form with escapes", typeForm, `%75sername=j%C3%BCrgen&password=+a%2Bb%26c%3Dd%3Be%00`, "jürgen", " a+b&c=d;e\x00"},
		{"a form with equals signs", typeForm, `username=user0&password=a=b=`, "user0", "a=b="},
		{"a form beyond ASCII without escapes", typeForm, "username=jürgen&password=p", "jürgen", "p"},
		{"a form with empty values", typeForm, `username&password=`, "", ""},
		{"a form with a charset", typeForm + ";charset=utf-8", goodForm, "user0", "s3cr3t"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			rec := h.post(t, c.contentType, c.body)
			require.Equal(t, http.StatusOK, rec.Code, rec.Body)
			asked := h.auth.all()
			require.Len(t, asked, 1)
			require.Equal(t, auth.Credentials{Username: c.username, Password: c.password,
				RequestID: rec.Header().Get("X-Request-ID"), Client: "192.0.2.1"}, asked[0])
		})
	}
}

func TestBody_BufferIsClearedBetweenRequests(t *testing.T) {
	t.Parallel()
	require.Empty(t, api.LeftAfterWipe(goodJSON))
	require.Empty(t, api.LeftAfterWipe(strings.Repeat("x", 20000)))
	h := newHarness(t)
	for range 50 {
		require.Equal(t, 200, h.post(t, typeJSON, `{"username":"a-long-user-name","password":"a-long-password"}`).Code)
		require.Equal(t, 400, h.post(t, typeJSON, `{"username":"a"`).Code)
		require.Equal(t, 200, h.post(t, typeJSON, `{"username":"b","password":"c"}`).Code)
		asked := h.auth.all()
		require.Equal(t, "b", asked[len(asked)-1].Username)
		require.Equal(t, "c", asked[len(asked)-1].Password)
	}
}

func TestBody_RejectsOtherContentTypes(t *testing.T) {
	t.Parallel()
	const message = "Content-Type: must be application/json or application/x-www-form-urlencoded, in UTF-8"
	for name, header := range map[string]http.Header{
		"none":                         {},
		"an empty one":                 {"Content-Type": {""}},
		"two":                          {"Content-Type": {typeJSON, typeJSON}},
		"two in one":                   {"Content-Type": {typeJSON + ", " + typeForm}},
		"text":                         {"Content-Type": {"text/plain"}},
		"multipart":                    {"Content-Type": {"multipart/form-data; boundary=x"}},
		"a JSON dialect":               {"Content-Type": {"application/problem+json"}},
		"a prefix":                     {"Content-Type": {"application/jsonp"}},
		"JSON in another charset":      {"Content-Type": {"application/json; charset=utf-16"}},
		"an empty charset":             {"Content-Type": {"application/json; charset="}},
		"a form in another charset":    {"Content-Type": {typeForm + "; charset=iso-8859-1"}},
		"a parameter that is no value": {"Content-Type": {"application/json; charset"}},
		"two charsets":                 {"Content-Type": {"application/json; charset=utf-8; charset=latin1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			req := newPost("", goodJSON)
			req.Header = header
			h.requireRefused(t, h.do(t, req), http.StatusUnsupportedMediaType, message)
		})
	}
}

func TestBody_RejectsAnyContentEncoding(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"gzip", "identity", ""} {
		h := newHarness(t)
		req := newPost(typeJSON, goodJSON)
		req.Header.Set("Content-Encoding", encoding)
		h.requireRefused(t, h.do(t, req), http.StatusUnsupportedMediaType, "Content-Encoding: must be absent")
	}
}

// endless is a body without an end that counts what was read of it.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += len(p)
	return len(p), nil
}

func (*endless) Close() error { return nil }

func TestBody_ReadingStopsAtTheLimit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		contentLength int64
		read          int
	}{
		"with a Content-Length": {16385, 0},
		"chunked":               {-1, 16385},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			body := &endless{}
			req := newPost(typeJSON, "")
			req.Body, req.ContentLength = body, c.contentLength
			h.requireRefused(t, h.do(t, req), http.StatusRequestEntityTooLarge, "body: must be at most 16384 bytes")
			require.Equal(t, c.read, body.read)
		})
	}
}

func TestBody_OfTheMaximumLengthIsRead(t *testing.T) {
	t.Parallel()
	for _, contentLength := range []int64{16384, -1} {
		h := newHarness(t)
		req := newPost(typeJSON, goodJSON+strings.Repeat(" ", 16384-len(goodJSON)))
		req.ContentLength = contentLength
		require.Equal(t, http.StatusOK, h.do(t, req).Code)
		require.Len(t, h.auth.all(), 1)
	}
}

func TestBody_ReadErrorIsRejectedAndItsCauseLogged(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	broken := errors.New("connection reset")
	req := newPost(typeJSON, "")
	req.Body = io.NopCloser(io.MultiReader(bytes.NewReader([]byte(goodJSON)), &failing{broken}))
	req.ContentLength = -1
	h.requireRefused(t, h.do(t, req), http.StatusBadRequest, "body: must arrive complete and in time")
	require.ErrorIs(t, h.observer.all()[0].result.Cause, broken)
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

func TestRequestID_IsAdoptedIfItIsSafe(t *testing.T) {
	t.Parallel()
	sane := strings.Repeat("aZ09._-x", 16)
	for name, c := range map[string]struct {
		given []string
		taken bool
	}{
		"none":              {nil, false},
		"128 of the best":   {[]string{sane}, true},
		"one byte":          {[]string{"-"}, true},
		"one byte too many": {[]string{sane + "x"}, false},
		"empty":             {[]string{""}, false},
		"a space":           {[]string{"a b"}, false},
		"a line break":      {[]string{"a\nb"}, false},
		"a quote":           {[]string{`a"b`}, false},
		"beyond ASCII":      {[]string{"é"}, false},
		"two":               {[]string{"a", "b"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			for _, path := range []string{"/auth", "/livez", "/nowhere"} {
				req := httptest.NewRequest(http.MethodPost, path, strings.NewReader("{"))
				req.Header["X-Request-Id"] = c.given
				rec := h.do(t, req)
				got := rec.Header().Get("X-Request-ID")
				require.Regexp(t, `^[A-Za-z0-9._-]{1,128}$`, got)
				require.Equal(t, got, decodeAnswer(t, rec.Body.Bytes()).RequestID)
				if c.taken {
					require.Equal(t, c.given[0], got)
				} else {
					require.Len(t, got, 26)
				}
			}
		})
	}
}
