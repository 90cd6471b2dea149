package api_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"authsvc/api"
	"authsvc/internal/auth"
	"authsvc/internal/identity"
	"authsvc/internal/probe"

	"github.com/stretchr/testify/require"
)

// fakeVerifier gives one answer, and keeps what it was asked.
type fakeVerifier struct {
	answer auth.Result
	source auth.Source

	mu    sync.Mutex
	asked []auth.Credentials // guarded by mu
}

func (f *fakeVerifier) Verify(_ context.Context, c auth.Credentials) (auth.Result, auth.Source) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, c)
	return f.answer, f.source
}

func (f *fakeVerifier) all() []auth.Credentials {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

func accepted() auth.Result {
	return auth.Result{Outcome: auth.OK, PasswordSeen: true, User: &auth.User{
		Username: "alice", DN: "uid=alice,dc=example,dc=org", Groups: []string{"admins", "staff"},
		Attributes: map[string][]string{"mail": {"alice@example.org", "a@example.org"}},
	}}
}

// forwarding is a harness that serves reverse proxies.
func forwarding(t testing.TB, configure ...func(*api.Config)) (*harness, *fakeVerifier, func() []string) {
	t.Helper()
	v := &fakeVerifier{answer: accepted(), source: auth.FromCache}
	var mu sync.Mutex
	var answered []string
	h := newHarness(t, append([]func(*api.Config){func(cfg *api.Config) {
		headers, err := identity.Parse("Remote-User={username},Remote-Groups={groups},Remote-Email={mail}", []string{"mail"})
		require.NoError(t, err)
		cfg.Forward = api.Forward{Verifier: v, Realm: "authsvc", Headers: headers, Answered: func(r api.ForwardResult, s auth.Source) {
			mu.Lock()
			defer mu.Unlock()
			answered = append(answered, string(r)+" "+string(s))
		}}
	}}, configure...)...)
	return h, v, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return answered
	}
}

func basic(credentials string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(credentials))
}

// ask serves one request of a reverse proxy on the main listener, whose answer has no body.
func (h *harness) ask(t testing.TB, method, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	rec := askOf(t, h.Handler(), method, target, header...)
	op, _ := h.doc.operation(http.MethodGet, "/auth/basic")
	documented, ok := op["responses"].(object)[strconv.Itoa(rec.Code)]
	require.True(t, ok, "%d is not documented", rec.Code)
	for name, described := range h.doc.resolve(documented)["headers"].(object) {
		require.Empty(t, h.doc.problems(h.doc.resolve(described)["schema"], rec.Header().Get(name), name))
	}
	return rec
}

func askOf(t testing.TB, handler http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequest(method, target, nil)
	for pair := range slices.Chunk(header, 2) {
		req.Header.Add(pair[0], pair[1])
	}
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, req)
	require.Empty(t, rec.Body.String())
	require.Equal(t, "0", rec.Header().Get("Content-Length"))
	require.Equal(t, "no-store", rec.Header().Get("Cache-Control"))
	require.Equal(t, "Authorization", rec.Header().Get("Vary"))
	require.NotEmpty(t, rec.Header().Get("X-Request-ID"))
	require.NotEmpty(t, rec.Header().Get("Authsvc-Cache"))
	require.Empty(t, rec.Header().Get("Content-Type"))
	return rec
}

const challenge = `Basic realm="authsvc", charset="UTF-8"`

func TestForward_EveryOutcomeHasItsAnswer(t *testing.T) {
	t.Parallel()
	seen := func(o auth.Outcome) auth.Result { return auth.Result{Outcome: o, PasswordSeen: true} }
	unseen := func(o auth.Outcome) auth.Result { return auth.Result{Outcome: o, RetryAfter: 1500 * time.Millisecond} }
	for _, c := range []struct {
		result    auth.Result
		status    int
		challenge bool
		detail    string // Authsvc-Status
		retry     string
		counted   string
	}{
		{accepted(), 200, false, "", "", "allowed hit"},
		{unseen(auth.InvalidUser), 401, true, "", "", "denied hit"},
		{unseen(auth.InvalidPassword), 401, true, "", "", "denied hit"},
		{unseen(auth.AccountLocked), 401, true, "", "", "denied hit"},
		{unseen(auth.AccountDisabled), 401, true, "", "", "denied hit"},
		{unseen(auth.AccountExpired), 401, true, "", "", "denied hit"},
		{unseen(auth.PasswordExpired), 401, true, "", "", "denied hit"},
		{unseen(auth.MustChangePassword), 401, true, "", "", "denied hit"},
		{seen(auth.AccountLocked), 403, false, "3", "", "denied hit"},
		{seen(auth.AccountDisabled), 403, false, "4", "", "denied hit"},
		{seen(auth.AccountExpired), 403, false, "5", "", "denied hit"},
		{seen(auth.PasswordExpired), 403, false, "6", "", "denied hit"},
		{seen(auth.MustChangePassword), 403, false, "7", "", "denied hit"},
		{seen(auth.NotPermitted), 403, false, "8", "", "denied hit"},
		{unseen(auth.TooManyAttempts), 429, false, "", "2", "throttled hit"},
		{unseen(auth.DirectoryUnavailable), 503, false, "", "2", "fault hit"},
		{unseen(auth.Overloaded), 503, false, "", "2", "fault hit"},
		{unseen(auth.DirectoryTimeout), 504, false, "", "2", "fault hit"},
		{unseen(auth.InternalError), 500, false, "", "", "fault hit"},
		{auth.Result{}, 500, false, "", "", "fault hit"},
	} {
		h, v, answered := forwarding(t)
		v.answer = c.result
		rec := h.ask(t, http.MethodGet, "/auth/basic", "Authorization", basic("alice:secret"))
		name := fmt.Sprint(c.result.Outcome, " ", c.result.PasswordSeen)
		require.Equal(t, c.status, rec.Code, name)
		require.Equal(t, c.challenge, rec.Header().Get("WWW-Authenticate") == challenge, name)
		require.Equal(t, c.challenge, rec.Header().Get("WWW-Authenticate") != "", name)
		require.Equal(t, c.detail, rec.Header().Get("Authsvc-Status"), name)
		require.Equal(t, c.retry, rec.Header().Get("Retry-After"), name)
		require.Equal(t, []string{c.counted}, answered(), name)
		require.Equal(t, c.status == 200, len(rec.Header()["Remote-User"]) > 0, name)
	}
}

func TestForward_ReadsCredentialsAsClientsSendThem(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("p", 1024)
	for _, c := range []struct {
		header, username, password string
	}{
		{basic("alice:secret"), "alice", "secret"},
		{"bAsIc " + base64.StdEncoding.EncodeToString([]byte("alice:secret")), "alice", "secret"},
		{"Basic   " + base64.RawStdEncoding.EncodeToString([]byte("alice:secret1")), "alice", "secret1"},
		{basic("alice:se:cr:et"), "alice", "se:cr:et"},
		{basic("jürgen:pässwörd"), "jürgen", "pässwörd"},
		{basic("j\xfcrgen:p\xe4ss\x80"), "jürgen", "päss€"},
		{basic(`alice:"quoted" \ and spaces `), "alice", `"quoted" \ and spaces `},
		{basic("alice:" + long), "alice", long},
	} {
		h, v, _ := forwarding(t)
		require.Equal(t, 200, h.ask(t, http.MethodGet, "/auth/basic", "Authorization", c.header).Code, c.header)
		require.Len(t, v.all(), 1)
		got := v.all()[0]
		require.Equal(t, []string{c.username, c.password}, []string{got.Username, got.Password})
		require.Equal(t, "192.0.2.1", got.Client)
	}
}

// The name is kept longer than the password: by the cache of credentials, and by the log.
func TestForward_TheNameDoesNotKeepThePasswordInMemory(t *testing.T) {
	t.Parallel()
	username, password, err := api.BasicCredentials(http.Header{"Authorization": {basic("alice:secret")}})
	require.NoError(t, err)
	address := func(s string) uintptr {
		return uintptr(unsafe.Pointer(unsafe.StringData(s))) //nolint:gosec // compared, never dereferenced
	}
	behind := address(username) + uintptr(len(username)) + uintptr(len(":"))
	require.NotEqual(t, address(password), behind, "they are parts of one string")
}

func TestForward_MalformedCredentialsAreAnsweredLikeWrongOnes(t *testing.T) {
	t.Parallel()
	for _, headers := range [][]string{
		{"Basic"}, {"Basic "}, {"Basic !!!!"}, {basic("alice")}, {basic(":secret")}, {basic("alice:")}, {basic("")},
		{basic("al\x00ice:secret")}, {basic("alice:sec\x00ret")}, {basic("alice:a\nb")}, {basic("al\x7fice:secret")}, {basic("alice:\xff\x81")},
		{basic(strings.Repeat("a", 257) + ":secret")}, {basic("alice:" + strings.Repeat("p", 1025))}, {basic(" alice:secret")},
		{basic("alice:secret"), basic("alice:secret")},
	} {
		h, v, answered := forwarding(t)
		var all []string
		for _, header := range headers {
			all = append(all, "Authorization", header)
		}
		rec := h.ask(t, http.MethodGet, "/auth/basic", all...)
		require.Equal(t, 401, rec.Code, headers)
		require.Equal(t, challenge, rec.Header().Get("WWW-Authenticate"))
		require.Equal(t, "none", rec.Header().Get("Authsvc-Cache"))
		require.Empty(t, v.all(), headers)
		require.Equal(t, []string{"denied none"}, answered())
		seen := h.observer.all()
		require.Len(t, seen, 1, headers)
		require.Equal(t, auth.BadRequest, seen[0].result.Outcome)
		require.NotContains(t, seen[0].result.Detail, "secret")
	}
}

func TestForward_ARequestWithoutCredentialsIsNoLogin(t *testing.T) {
	t.Parallel()
	for _, header := range [][]string{nil, {"Authorization", "Bearer abc"}, {"Authorization", "Negotiate abc"}, {"Authorization", ""}} {
		h, v, answered := forwarding(t)
		rec := h.ask(t, http.MethodGet, "/auth/basic", header...)
		require.Equal(t, 401, rec.Code)
		require.Equal(t, challenge, rec.Header().Get("WWW-Authenticate"))
		require.Empty(t, v.all())
		require.Empty(t, h.observer.all(), "it is not audited")
		require.Equal(t, []string{"challenge none"}, answered())
	}
}

func TestForward_ReadsTheGroupsThatARequestRequires(t *testing.T) {
	t.Parallel()
	type all = []auth.Requirement
	dn := "cn=staff,ou=groups,dc=example,dc=org"
	for _, c := range []struct {
		target string
		header []string
		want   []auth.Requirement
	}{
		{"/auth/basic", nil, nil},
		{"/auth/basic?group=staff", nil, all{{"staff"}}},
		{"/auth/basic?group=staff;admins", nil, all{{"staff", "admins"}}},
		{"/auth/basic?group=staff%3Badmins", nil, all{{"staff", "admins"}}},
		{"/auth/basic?group=staff&group=admins", nil, all{{"staff"}, {"admins"}}},
		{"/auth/basic?group=" + dn, nil, all{{dn}}},
		{"/auth/basic?group=two+words;a%2Fb%3Fc", nil, all{{"two words", "a/b?c"}}},
		{`/auth/basic?group=a\;b;c`, nil, all{{`a\;b`, "c"}}},
		{"/auth/basic?group=staff", []string{"admins;root"}, all{{"staff"}, {"admins", "root"}}},
		{"/auth/basic", []string{"staff", "admins"}, all{{"staff"}, {"admins"}}},
		{"/auth/basic/app?group=ignored&x=y", []string{"staff"}, all{{"staff"}}},
		{"/auth/basic/", nil, nil},
	} {
		h, v, _ := forwarding(t)
		header := []string{"Authorization", basic("alice:secret")}
		for _, value := range c.header {
			header = append(header, "Authsvc-Require-Group", value)
		}
		require.Equal(t, 200, h.ask(t, http.MethodGet, c.target, header...).Code, c.target)
		require.Equal(t, c.want, v.all()[0].Forward.Required, c.target)
	}
}

func TestForward_AQueryThatIsNotUnderstoodPermitsNobody(t *testing.T) {
	t.Parallel()
	for _, target := range []string{
		"/auth/basic?groups=staff", "/auth/basic?group=staff&x", "/auth/basic?group=", "/auth/basic?group=a;;b", "/auth/basic?group=;",
		"/auth/basic?group=a/b", "/auth/basic?group=a?b", "/auth/basic?group=%zz", "/auth/basic?&", "/auth/basic?Group=staff",
		"/auth/basic?group=" + strings.Repeat("a;", 16) + "a", "/auth/basic?" + strings.Repeat("group=a&", 16) + "group=a",
	} {
		h, v, answered := forwarding(t)
		rec := h.ask(t, http.MethodGet, target, "Authorization", basic("alice:secret"))
		require.Equal(t, 400, rec.Code, target)
		require.Empty(t, v.all(), target)
		require.Equal(t, []string{"denied none"}, answered())
	}
}

func TestForward_ServesEveryMethodAndPath(t *testing.T) {
	t.Parallel()
	h, v, _ := forwarding(t)
	n := 0
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "TRACE", "BREW"} {
		for _, target := range []string{"/auth/basic", "/auth/basic/", "/auth/basic/a/b?c=d", "/auth/basic//auth", "/auth/basic/%2e%2e/livez", "/auth/basic/../../livez"} {
			require.Equal(t, 200, h.ask(t, method, target, "Authorization", basic("alice:secret")).Code, method+target)
			n++
		}
		for _, target := range []string{"/", "/auth/basic", "/auth", "/livez", "/openapi.yaml", "/a?group=x&y=/", "/auth/basic?x"} {
			require.Equal(t, 200, askOf(t, h.ForwardHandler(), method, target, "Authorization", basic("alice:secret")).Code, method+target)
			n++
			require.Empty(t, v.all()[n-1].Forward.Required)
		}
	}
	require.Len(t, v.all(), n)
	require.Equal(t, 404, h.get(t, http.MethodGet, "/auth/basics").Code)
}

func TestForward_RequestsOfBrowsersAreServedWhateverTheySay(t *testing.T) {
	t.Parallel()
	h, _, _ := forwarding(t)
	rec := h.ask(t, http.MethodPost, "http://app.example.com/auth/basic/form", "Authorization", basic("alice:secret"),
		"Origin", "https://other.example.net", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Accept-Language", "de")
	require.Equal(t, 200, rec.Code)
}

func TestForward_CallersShowTheirKeyInAHeaderOfItsOwn(t *testing.T) {
	t.Parallel()
	h, v, answered := forwarding(t, keyed("proxy"))
	user := []string{"Authorization", basic("alice:secret")}
	for _, header := range [][]string{user, append([]string{"Authsvc-Key", "wrong"}, user...), append([]string{"Authsvc-Key", "proxy-key", "Authsvc-Key", "proxy-key"}, user...), {"Authorization", "Bearer proxy-key"}} {
		rec := h.ask(t, http.MethodGet, "/auth/basic", header...)
		require.Equal(t, 403, rec.Code)
		require.Empty(t, rec.Header().Get("WWW-Authenticate"), "it would make browsers ask for ever")
		require.Equal(t, "close", rec.Header().Get("Connection"))
	}
	require.Empty(t, v.all())
	require.Equal(t, []string{"denied none", "denied none", "denied none", "denied none"}, answered())
	require.Equal(t, 200, h.ask(t, http.MethodGet, "/auth/basic", append([]string{"Authsvc-Key", "proxy-key"}, user...)...).Code)
	require.Equal(t, auth.Caller{Name: "proxy", By: auth.ByKey}, v.all()[0].Caller)
}

func TestForward_OnlyATrustedProxySaysWhatARequestIsFor(t *testing.T) {
	t.Parallel()
	trusting := func(cfg *api.Config) { cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")} }
	for _, c := range []struct {
		configure  []func(*api.Config)
		target     string
		header     []string
		host, path string
	}{
		{nil, "/auth/basic", []string{"X-Forwarded-Host", "app.example.org", "X-Forwarded-Uri", "/a"}, "", ""},
		{[]func(*api.Config){trusting}, "/auth/basic", []string{"X-Forwarded-Host", "app.example.org", "X-Forwarded-Uri", "/a?token=secret"}, "app.example.org", "/a"},
		{[]func(*api.Config){trusting}, "/auth/basic", []string{"X-Original-URI", "/b?c"}, "example.com", "/b"},
		{[]func(*api.Config){trusting}, "http://app.example.org/auth/basic/c/d?e=f", nil, "app.example.org", "/c/d"},
		{[]func(*api.Config){trusting}, "/auth/basic/" + strings.Repeat("x", 300), nil, "example.com", "/" + strings.Repeat("x", 255)},
	} {
		h, v, _ := forwarding(t, c.configure...)
		require.Equal(t, 200, h.ask(t, http.MethodGet, c.target, append(c.header, "Authorization", basic("alice:secret"))...).Code)
		f := v.all()[0].Forward
		require.Equal(t, []string{c.host, c.path}, []string{f.Host, f.Path}, c.target)
	}
}

func TestForward_IdentityHeadersAreAlwaysAllThere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		user auth.User
		want map[string]string
	}{
		{"all", *accepted().User, map[string]string{"Remote-User": "alice", "Remote-Groups": "admins,staff", "Remote-Email": "alice@example.org,a@example.org"}},
		{"nothing but a name", auth.User{Username: "bob"}, map[string]string{"Remote-User": "bob", "Remote-Groups": "", "Remote-Email": ""}},
		{"letters beyond ASCII", auth.User{Username: "jürgen"}, map[string]string{"Remote-User": "jürgen", "Remote-Groups": "", "Remote-Email": ""}},
		{"control characters", auth.User{Username: "a\r\nSet-Cookie: b\x00\u0085c"}, map[string]string{"Remote-User": "aSet-Cookie: bc", "Remote-Groups": "", "Remote-Email": ""}},
		{"groups that look like others", auth.User{Username: "a", Groups: []string{"staff", "x,admins", "y\nz"}}, map[string]string{"Remote-User": "a", "Remote-Groups": "staff", "Remote-Email": ""}},
		{"many groups", auth.User{Username: "a", Groups: strings.Split(strings.Repeat("group ", 600), " ")}, map[string]string{"Remote-User": "a", "Remote-Groups": "", "Remote-Email": "", "Authsvc-Groups-Truncated": "true"}},
		{"a long attribute", auth.User{Username: "a", Attributes: map[string][]string{"mail": {strings.Repeat("m", 4000)}}}, map[string]string{"Remote-User": "a", "Remote-Groups": "", "Remote-Email": ""}},
	} {
		h, v, _ := forwarding(t)
		v.answer.User, v.source = &c.user, auth.FromDirectory
		rec := h.ask(t, http.MethodGet, "/auth/basic", "Authorization", basic("alice:secret"))
		require.Equal(t, 200, rec.Code)
		for name, value := range c.want {
			require.Equal(t, []string{value}, rec.Header()[name], c.name)
		}
		require.Equal(t, c.want["Authsvc-Groups-Truncated"], rec.Header().Get("Authsvc-Groups-Truncated"), c.name)
	}
}

func TestForward_NeverReadsABody(t *testing.T) {
	t.Parallel()
	h, v, _ := forwarding(t)
	l := h.listen(t)
	user := "Authorization: " + basic("alice:secret") + "\r\n"
	for _, announced := range []string{"Content-Length: 10485760\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: 10485760\r\nExpect: 100-continue\r\n"} {
		conn := l.dial(t)
		_, err := io.WriteString(conn, "POST /auth/basic/upload HTTP/1.1\r\nHost: x\r\n"+user+announced+"\r\n")
		require.NoError(t, err)
		answer, err := io.ReadAll(conn) // without a byte of the body
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(answer), "HTTP/1.1 200 OK\r\n"), string(answer))
		require.Contains(t, string(answer), "\r\nConnection: close\r\n")
		require.True(t, strings.HasSuffix(string(answer), "\r\n\r\n"))
	}
	statuses, all := l.send(t, strings.Repeat("GET /auth/basic HTTP/1.1\r\nHost: x\r\n"+user+"\r\n", 3))
	require.Equal(t, []int{200, 200, 200}, statuses, all)
	require.NotContains(t, all, "Connection: close")
	require.Len(t, v.all(), 6)
}

// TestForward_KeepsHowTheProbesOfTheDoctorArrive, and nothing of anybody else. The answer is that
// of any name.
func TestForward_KeepsHowTheProbesOfTheDoctorArrive(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		trusted string
		want    probe.Arrival
	}{
		"trusted":     {"192.0.2.0/24", probe.Arrival{Peer: "192.0.2.1", Trusted: true, ForwardedFor: []string{"198.51.100.1", "198.51.100.2"}, Client: "198.51.100.2"}},
		"not trusted": {"203.0.113.0/24", probe.Arrival{Peer: "192.0.2.1", ForwardedFor: []string{"198.51.100.1", "198.51.100.2"}, Client: "192.0.2.1"}},
	} {
		probes := new(probe.Memory)
		h, v, _ := forwarding(t, func(cfg *api.Config) {
			cfg.Forward.Probes, cfg.TrustedProxies = probes, []netip.Prefix{netip.MustParsePrefix(c.trusted)}
		})
		v.answer = auth.Result{Outcome: auth.InvalidUser}
		user := probe.NewName()
		ask := func(username string) *httptest.ResponseRecorder {
			return h.ask(t, http.MethodGet, "/auth/basic", "Authorization", basic(username+":secret"), "X-Forwarded-For", "198.51.100.1", "X-Forwarded-For", "198.51.100.2")
		}
		rec, other := ask(user), ask("alice")
		require.Equal(t, 401, rec.Code, name)
		rec.Header().Del("X-Request-ID")
		other.Header().Del("X-Request-ID")
		require.Equal(t, other.Header(), rec.Header(), name)
		got, ok := probes.Find(user)
		require.True(t, ok, name)
		require.Equal(t, c.want, got, name)
		_, ok = probes.Find("alice")
		require.False(t, ok, name)
	}
}

func TestForward_APanicIsAFaultWithoutABody(t *testing.T) {
	t.Parallel()
	h, _, _ := forwarding(t, func(cfg *api.Config) { cfg.Forward.Verifier = nil })
	rec := httptest.NewRecorder()
	h.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/auth/basic", nil))
	require.Equal(t, 404, rec.Code, "reverse proxies are not served")

	h, _, answered := forwarding(t, func(cfg *api.Config) { cfg.Forward.Verifier = panicking{} })
	require.Equal(t, 500, h.ask(t, http.MethodGet, "/auth/basic", "Authorization", basic("alice:secret")).Code)
	require.Equal(t, []string{"fault none"}, answered())
}

type panicking struct{}

func (panicking) Verify(context.Context, auth.Credentials) (auth.Result, auth.Source) { panic("no") }

func BenchmarkForwardHit(b *testing.B) {
	h, _, _ := forwarding(b)
	h.Server = nil
	v := constantVerifier{accepted()}
	headers, err := identity.Parse("Remote-User={username},Remote-Groups={groups}", nil)
	require.NoError(b, err)
	s := api.New(api.Config{Callers: api.Callers{Anybody: true}, Forward: api.Forward{Verifier: v, Realm: "authsvc", Headers: headers}}, h.auth, h.health)
	handler := s.Handler()
	req := httptest.NewRequest(http.MethodGet, "/auth/basic", nil)
	req.Header.Set("Authorization", basic("alice:secret"))
	b.ReportAllocs()
	for b.Loop() {
		handler.ServeHTTP(httptest.NewRecorder(), req)
	}
}

type constantVerifier struct{ r auth.Result }

func (v constantVerifier) Verify(context.Context, auth.Credentials) (auth.Result, auth.Source) {
	return v.r, auth.FromCache
}
