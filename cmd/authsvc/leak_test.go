package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// misplaced are requests that have a secret where it does not belong, or where it does in a request
// that is no good.
func misplaced(secret string) map[string]func(*http.Request) {
	body := func(text string) func(*http.Request) {
		return func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		}
	}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	return map[string]func(*http.Request){
		"in a body that does not end":       body(`{"username":"user1","password":"` + secret),
		"in a body with more behind it":     body(`{"username":"user1","password":"` + secret + `"}{`),
		"twice in a body":                   body(`{"username":"user1","password":"` + secret + `","password":"` + secret + `"}`),
		"as a field's name":                 body(`{"username":"user1","` + secret + `":1}`),
		"as another type":                   body(`{"username":"user1","password":["` + secret + `"]}`),
		"beside a username that is no good": body(`{"username":" user1","password":"` + secret + `"}`),
		"in a password that is too long":    body(`{"username":"user1","password":"` + strings.Repeat(secret, 100) + `"}`),
		"in a password with a NUL":          body(`{"username":"user1","password":"` + secret + `\u0000"}`),
		"alone":                             body(secret),
		"in a form that is said to be JSON": body("username=user1&password=" + url.QueryEscape(secret)),
		"in a type":                         header("Content-Type", secret),
		"in an encoding":                    header("Content-Encoding", secret),
		"in a request's ID":                 header("X-Request-ID", "id "+secret),
		"in a forwarded address":            header("X-Forwarded-For", secret),
		"in a cookie":                       header("Cookie", "session="+secret),
		"in Basic":                          header("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("user1:"+secret))),
		"in an unknown scheme":              header("Authorization", secret),
		"in the query":                      func(r *http.Request) { r.URL.RawQuery = "password=" + url.QueryEscape(secret) },
		"in a path that is not there":       func(r *http.Request) { r.URL.Path = "/auth/" + secret },
	}
}

// TestSecrets_AreInNothingThatTheServiceWrites asks in every way that comes to a line in the log,
// at debug, and reads all that the service can be asked for. The search is of everything that
// services wrote in this run, up to here; at the end of the run it is done again.
func TestSecrets_AreInNothingThatTheServiceWrites(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "text"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			leaks(t, format)
		})
	}
	t.Cleanup(func() { // after the two
		read, secrets, found := everything.Search()
		t.Logf("looked for %d secrets in %d bytes", secrets, read)
		assert.Greater(t, read, 100_000)
		assert.Greater(t, secrets, 10)
		assert.Empty(t, found)
	})
}

func leaks(t *testing.T, format string) {
	t.Helper()
	server := ldaptest.NewServer(t, nil)
	f := &frontage{t: t, files: t.TempDir()}
	key := "shop-key-" + format
	f.keys(key)
	f.write("password", ldaptest.ServicePassword+"\n")
	f.p = startProgram(t, server.URL(), "LDAP_BIND_PASSWORD=", "LDAP_BIND_PASSWORD_FILE="+f.path("password"), "AUTH_API_KEYS_FILE="+f.path("keys"),
		"LDAP_POOL_MAX_WAIT=200ms", "AUTH_TIMEOUT=2s", "LDAP_ATTRIBUTES=cn,mail,userPassword", "LOG_FORMAT="+format)
	f.p.ready(t)
	c := client(t)
	for i := range 20 {
		_, err := f.login(c, fmt.Sprintf("wrong-key-%d", i))
		require.NoError(t, err)
		f.ask(c, key, fmt.Sprintf(`{"username":"user1","password":"a-wrong/pass+word-%d"}`, i), nil, fmt.Sprintf("a-wrong/pass+word-%d", i))
		f.ask(c, key, fmt.Sprintf(`{"username":"nobody%d","password":"nobody's-\u00e9%d"}`, i, i), nil, fmt.Sprintf("nobody's-é%d", i))
	}
	for what, change := range misplaced("m1splaced/secret") {
		t.Log(what)
		f.ask(c, key, `{"username":"user1","password":"m1splaced/secret"}`, change, "m1splaced/secret")
	}
	for _, path := range []string{"/debug/pprof/profile?seconds=1", "/debug/pprof/trace?seconds=1", "/nowhere"} {
		f.p.inspectAt(&http.Client{Timeout: 10 * time.Second}, path)
	}
	// The service identity's password is wrong, then the directory says what is no LDAP, then it is
	// gone.
	f.write("password", "stale-service-secret")
	everything.Secret("stale-service-secret")
	f.said(reloadedLine, 1)
	server.SetHandler(func(c *ldaptest.Conn, _ ldaptest.Request) { c.WriteRaw([]byte("no LDAP at all")) })
	f.require(11, c, key)
	server.StopListening()
	server.CloseAll()
	f.require(11, c, key)
	assert.Zero(t, f.p.end(t))
}

// ask sends what is like a login, with the key that fits, and notes the answer and what it had of
// secrets.
func (f *frontage) ask(c *http.Client, key, body string, change func(*http.Request), secret string) {
	f.t.Helper()
	everything.Secret(secret)
	req, err := http.NewRequest(http.MethodPost, f.p.url+"/auth", strings.NewReader(body))
	require.NoError(f.t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+key)
	if change != nil {
		change(req)
	}
	resp, err := c.Do(req)
	require.NoError(f.t, err)
	defer resp.Body.Close()
	everything.Wrote("answers", answered(resp))
}
