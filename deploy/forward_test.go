package deploy_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eachProduct runs a test for every reverse proxy.
func eachProduct(t *testing.T, test func(t *testing.T, p product)) {
	t.Helper()
	each(t, products(t), test)
}

// eachProtocol is eachProduct, and again with HTTP/2.
func eachProtocol(t *testing.T, test func(t *testing.T, p product)) {
	t.Helper()
	each(t, withHTTP2(products(t)), test)
}

// eachProxy is eachProduct without the emulated ones, which do not read requests as the proxies do.
func eachProxy(t *testing.T, test func(t *testing.T, p product)) {
	t.Helper()
	each(t, slices.DeleteFunc(products(t), func(p product) bool { return p.emulated }), test)
}

func each(t *testing.T, all []product, test func(t *testing.T, p product)) {
	t.Helper()
	for _, p := range all {
		name := p.name
		if p.http2 {
			name += " HTTP2"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}

// Users of the directory.
const (
	admin = iota // in the group admins
	plain
	wrong
	throttled
	hanging // whom the scripted directory does not answer
	away    // for whom it is not available
)

// named is a user whose name or password is unusual.
type named struct{ username, password string }

// unusual are such users. A name has at most 256 bytes, a password 1,024, and neither a colon.
func unusual() []named {
	return []named{
		{"müller", "größe und €"},
		{"quote", `a"b'c\d`},
		{"colons", "a:b::c:"},
		{"percent", "%41 +%2B&group=admins#?"},
		{strings.Repeat("ä", 128), strings.Repeat("ß", 512)},
	}
}

// directoryLDIF has the group of administrators, and unusual users.
func directoryLDIF() string {
	var b strings.Builder
	fmt.Fprintf(&b, "dn: cn=admins,%s\nobjectClass: groupOfNames\ncn: admins\nmember: %s\n\n", ldaptest.GroupsDN, ldaptest.UserDN(admin))
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for i, u := range unusual() {
		fmt.Fprintf(&b, "dn: cn=unusual%d,%s\nobjectClass: inetOrgPerson\ncn: unusual%[1]d\nsn: x\nuid:: %[3]s\nuserPassword:: %[4]s\n\n",
			i, ldaptest.PeopleDN, encode(u.username), encode(u.password))
	}
	return b.String()
}

func TestForward_EveryOutcome(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 6, LDIF: directoryLDIF()})
	eachProtocol(t, func(t *testing.T, p product) {
		t.Helper()
		application := startApplication(t)
		f := startFront(t, p, startAuthsvc(t, slapd.URL()), application)

		a := f.do(t, request{path: "/"})
		assert.Equal(t, 401, a.status, "no credentials")
		assert.Equal(t, []string{`Basic realm="authsvc", charset="UTF-8"`}, a.header["Www-Authenticate"])
		assert.Nil(t, a.got)
		a = f.do(t, request{path: "/", header: http.Header{"Authorization": {"Bearer x"}}})
		assert.Equal(t, 401, a.status, "another scheme")
		a = f.do(t, request{path: "/", username: ldaptest.Username(wrong), password: "wrong"})
		assert.Equal(t, 401, a.status, "a wrong password")
		assert.NotEmpty(t, a.header["Www-Authenticate"])
		a = f.do(t, request{path: "/", header: http.Header{"Authorization": {"Basic !"}}})
		assert.Equal(t, 401, a.status, "malformed credentials")

		a = f.do(t, request{path: "/a%20b?q=1&group=none", username: ldaptest.Username(admin), password: ldaptest.Password(admin)})
		assert.Equal(t, 200, a.status)
		if assert.NotNil(t, a.got) {
			assert.Equal(t, "/a%20b?q=1&group=none", a.got.URI)
			assert.Equal(t, []string{ldaptest.Username(admin)}, a.got.Header["Remote-User"])
			assert.Equal(t, []string{"admins"}, a.got.Header["Remote-Groups"])
			assert.Empty(t, a.got.Header["Authorization"], "the password stays at the proxy")
			assert.Empty(t, a.got.Header["Connection"], "an upgrade")
		}
		assert.Equal(t, 500, f.do(t, request{path: "/fault", username: ldaptest.Username(admin), password: ldaptest.Password(admin)}).status,
			"the application's own fault")

		for i := range 3 {
			f.do(t, request{path: "/", username: ldaptest.Username(throttled), password: fmt.Sprintf("wrong%d", i)})
		}
		a = f.do(t, request{path: "/", username: ldaptest.Username(throttled), password: ldaptest.Password(throttled)})
		assert.Equal(t, 429, a.status)
		assert.NotEmpty(t, a.header.Get("Retry-After"))
		assert.Empty(t, a.header["Www-Authenticate"])
	})
}

func TestForward_FaultsAreNoAnswersAboutPasswords(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, p product) {
		t.Helper()
		directory := ldaptest.NewDirectory()
		server := ldaptest.NewServer(t, func(c *ldaptest.Conn, req ldaptest.Request) {
			if req.Op == ldaptest.OpBind && req.DN == ldaptest.UserDN(hanging) {
				return
			}
			directory.Handle(c, req)
		})
		authsvc := ldaptest.NewProxy(t, startAuthsvc(t, server.URL(), "AUTH_TIMEOUT=500ms"))
		f := startFront(t, p, authsvc.Addr(), startApplication(t))
		require.Equal(t, 200, f.do(t, request{path: "/", username: ldaptest.Username(plain), password: ldaptest.Password(plain)}).status)

		a := f.do(t, request{path: "/", username: ldaptest.Username(hanging), password: ldaptest.Password(hanging)})
		if p.name == envoyName {
			assert.Equal(t, 503, a.status)
		} else {
			assert.Equal(t, 504, a.status)
		}
		assert.Empty(t, a.header["Www-Authenticate"])

		server.StopListening()
		server.CloseAll()
		a = f.do(t, request{path: "/", username: ldaptest.Username(away), password: ldaptest.Password(away)})
		assert.Equal(t, 503, a.status)
		assert.Equal(t, p.name != envoyName, a.header.Get("Retry-After") != "")
		assert.Empty(t, a.header["Www-Authenticate"])

		authsvc.StopListening()
		authsvc.CloseAll()
		a = f.do(t, request{path: "/", username: ldaptest.Username(plain), password: ldaptest.Password(plain)})
		assert.Equal(t, p.away, a.status, "authsvc is away")
		assert.Nil(t, a.got)
	})
}

func TestForward_EveryStatusOfAuthsvc(t *testing.T) {
	t.Parallel()
	authsvc := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _, _ := r.BasicAuth()
		status, err := strconv.Atoi(name)
		if err != nil {
			panic(err)
		}
		if status == 429 || status >= 503 {
			w.Header().Set("Retry-After", "7")
		}
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(status)
	}))
	t.Cleanup(authsvc.Close)
	eachProtocol(t, func(t *testing.T, p product) {
		t.Helper()
		f := startFront(t, p, authsvc.Listener.Addr().String(), startApplication(t))
		for _, status := range []int{400, 403, 429, 500, 503, 504} {
			want, retryAfter := status, ""
			if status == 429 || status >= 503 {
				retryAfter = "7"
			}
			switch {
			case p.name == envoyName && status >= 500:
				want, retryAfter = 503, ""
			case p.name == "nginx" && status == 400:
				want = 500
			}
			a := f.do(t, request{path: "/", username: strconv.Itoa(status), password: "password"})
			assert.Equal(t, want, a.status, status)
			assert.Equal(t, retryAfter, a.header.Get("Retry-After"), status)
			assert.Empty(t, a.header["Www-Authenticate"], status)
			assert.Nil(t, a.got, status)
		}
	})
}

func TestForward_GroupOfALocation(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 6, LDIF: directoryLDIF()})
	authsvc := startAuthsvc(t, slapd.URL())
	eachProtocol(t, func(t *testing.T, p product) {
		t.Helper()
		f := startFront(t, p, authsvc, startApplication(t))
		a := f.do(t, request{path: "/admin/", username: ldaptest.Username(admin), password: ldaptest.Password(admin)})
		assert.Equal(t, 200, a.status)
		if assert.NotNil(t, a.got) {
			assert.Equal(t, []string{"admins"}, a.got.Header["Remote-Groups"])
		}
		assert.Equal(t, 401, f.do(t, request{path: "/admin/"}).status)
		paths := []string{"/admin/", "/admin/x?y", "/%61dmin/", "/admin%2Fx", "/x/../admin/", "/x/%2e%2e/admin/", "//admin/", "/./admin/"}
		if p.emulated {
			paths = paths[:3]
		}
		for _, path := range paths {
			a = f.do(t, request{path: path, username: ldaptest.Username(plain), password: ldaptest.Password(plain)})
			assert.Nil(t, a.got, path)
			if !strings.Contains(path, "..") && !strings.Contains(path, "%2") && !strings.Contains(path, "./") {
				assert.Equal(t, 403, a.status, path)
			}
			assert.Empty(t, a.header["Www-Authenticate"])
		}
		a = f.do(t, request{path: "/administrators", username: ldaptest.Username(plain), password: ldaptest.Password(plain)})
		assert.Equal(t, 200, a.status)
		a = f.do(t, request{path: "/ADMIN/", username: ldaptest.Username(plain), password: ldaptest.Password(plain)})
		if p.name == "caddy" || p.name == "haproxy" {
			assert.Equal(t, 403, a.status, "in capitals")
		} else if assert.NotNil(t, a.got) { // as docs/forward-auth.md says
			assert.Equal(t, "/ADMIN/", a.got.URI)
		}
		for _, path := range []string{"/_authsvc", "/_authsvc/admins", "/auth/basic"} {
			a = f.do(t, request{path: path})
			assert.GreaterOrEqual(t, a.status, 400, path)
		}
	})
}

// forged are headers of a client that says who it is, in every spelling that an application may
// take for the proxy's.
func forged() http.Header {
	return http.Header{
		"Remote-User": {"root"}, "remote-user": {"root"}, "Remote_User": {"root"}, "REMOTE_USER": {"root"}, "remote_user": {"root"}, "Remote.User": {"root"}, "Remote-Groups": {"root"}, "Remote_Groups": {"root"}, "Remote.Groups": {"root"},
		"Authsvc-Key": {"root"}, "Authsvc_Key": {"root"}, "Authsvc-Status": {"root"}, "Authsvc-Cache": {"root"},
		"Authsvc-Groups-Truncated": {"root"}, "Authsvc_Groups_Truncated": {"root"}, "Authsvc-Require-Group": {"root"}, "Authsvc_Require_Group": {"root"},
		"X-Forwarded-For": {"192.0.2.1"},
	}
}

func TestForward_ForgedHeaders(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 6, LDIF: directoryLDIF()})
	authsvc := startAuthsvc(t, slapd.URL())
	eachProtocol(t, func(t *testing.T, p product) {
		t.Helper()
		f := startFront(t, p, authsvc, startApplication(t))
		a := f.do(t, request{path: "/", username: ldaptest.Username(plain), password: ldaptest.Password(plain), header: forged()})
		require.Equal(t, 200, a.status)
		require.NotNil(t, a.got)
		identity := map[string]string{}
		for name, values := range a.got.Header {
			key := strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(name))
			if strings.HasPrefix(key, "remote-") || strings.HasPrefix(key, "authsvc-") {
				identity[name] = strings.Join(values, "|")
			}
			assert.NotContains(t, values, "root", name)
		}
		delete(identity, "Remote-Groups") // empty, or left out
		assert.Equal(t, map[string]string{"Remote-User": ldaptest.Username(plain)}, identity)
		assert.Empty(t, a.got.Header.Get("Remote-Groups"))
		t.Logf("%s: the application got %q", p.name, a.got.Header)
	})
}

func TestForward_UnusualCredentials(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 6, LDIF: directoryLDIF()})
	authsvc := startAuthsvc(t, slapd.URL())
	eachProtocol(t, func(t *testing.T, p product) {
		t.Helper()
		f := startFront(t, p, authsvc, startApplication(t))
		for _, u := range unusual() {
			a := f.do(t, request{path: "/", username: u.username, password: u.password})
			assert.Equal(t, 200, a.status, u.username)
			if assert.NotNil(t, a.got, u.username) {
				assert.Equal(t, u.username, a.got.Header.Get("Remote-User"))
			}
			assert.Equal(t, 401, f.do(t, request{path: "/", username: u.username, password: u.password[1:]}).status, u.username)
		}
	})
}

func TestForward_WhatAuthsvcIsAsked(t *testing.T) {
	t.Parallel()
	const size = 10 << 20
	eachProduct(t, func(t *testing.T, p product) {
		t.Helper()
		asked := new(recorder)
		authsvc := httptest.NewServer(asked)
		t.Cleanup(authsvc.Close)
		f := startFront(t, p, authsvc.Listener.Addr().String(), startApplication(t))
		asked.take() // whether Traefik is ready
		local := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 5)}
		transport := &http.Transport{DialContext: (&net.Dialer{LocalAddr: local}).DialContext}
		t.Cleanup(transport.CloseIdleConnections)
		f.client = &http.Client{Transport: transport}
		for name, body := range map[string]io.Reader{
			"length": bytes.NewReader(make([]byte, size)), "chunked": io.LimitReader(bytes.NewReader(make([]byte, size)), size),
		} {
			a := f.do(t, request{method: "POST", path: "/upload?q", username: "name", password: "password", body: body, header: forged()})
			require.Equal(t, 200, a.status, name)
			require.NotNil(t, a.got, name)
			assert.EqualValues(t, size, a.got.Body, name)
			assert.Equal(t, "POST", a.got.Method, name)
			forwardedFor := "127.0.0.5"
			if p.name == envoyName {
				forwardedFor = "192.0.2.1,127.0.0.5"
			}
			assert.Equal(t, forwardedFor, a.got.Header.Get("X-Forwarded-For"), name)
			gots := asked.take()
			require.Len(t, gots, 1, name)
			g := gots[0]
			assert.False(t, g.Announced, name)
			assert.Zero(t, g.Body, name)
			if p.name == envoyName {
				assert.Equal(t, "/auth/basic/upload?q", g.URI, name)
			} else {
				assert.Equal(t, "/auth/basic", strings.TrimSuffix(g.URI, "?"), name)
			}
			assert.Equal(t, []string{forwardedFor}, g.Header["X-Forwarded-For"], name)
			assert.Equal(t, []string{"Basic bmFtZTpwYXNzd29yZA=="}, g.Header["Authorization"], name)
			for header, values := range g.Header {
				assert.NotContains(t, values, "root", header)
			}
		}
	})
}

func TestForward_ConnectionsAreKept(t *testing.T) {
	t.Parallel()
	directory := ldaptest.NewServer(t, nil)
	authsvc := startAuthsvc(t, directory.URL())
	eachProduct(t, func(t *testing.T, p product) {
		t.Helper()
		counted := ldaptest.NewProxy(t, authsvc)
		f := startFront(t, p, counted.Addr(), startApplication(t))
		for i := range 1000 {
			r := request{path: "/", username: ldaptest.Username(plain), password: ldaptest.Password(plain)}
			want := 200
			if i%10 == 9 {
				r, want = request{path: "/"}, 401
			}
			require.Equal(t, want, f.do(t, r).status)
		}
		t.Logf("%s: %d connections to authsvc for 1,000 requests", p.name, counted.Accepted())
		assert.LessOrEqual(t, counted.Accepted(), 4)
	})
}

func TestForward_PageLoad(t *testing.T) {
	t.Parallel()
	eachProduct(t, func(t *testing.T, p product) {
		t.Helper()
		var binds atomic.Int32
		arrived := make(chan struct{})
		directory := ldaptest.NewDirectory()
		server := ldaptest.NewServer(t, func(c *ldaptest.Conn, req ldaptest.Request) {
			if req.Op == ldaptest.OpBind && req.DN == ldaptest.UserDN(plain) {
				binds.Add(1)
				select {
				case <-arrived:
				case <-c.Done():
				}
			}
			directory.Handle(c, req)
		})
		counted := ldaptest.NewProxy(t, startAuthsvc(t, server.URL()))
		f := startFront(t, p, counted.Addr(), startApplication(t))
		answers, errs := make([]answer, 30), make([]error, 30)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() {
				answers[i], errs[i] = f.try(request{path: fmt.Sprintf("/%d", i), username: ldaptest.Username(plain), password: ldaptest.Password(plain)})
			})
		}
		// None of them is answered yet, so each has a connection to authsvc of its own.
		ldaptest.Eventually(t, "all requests are at authsvc", func() bool { return counted.Accepted() >= len(answers) })
		close(arrived)
		all.Wait()
		for i, a := range answers {
			require.NoError(t, errs[i])
			assert.Equal(t, 200, a.status)
			if assert.NotNil(t, a.got) {
				assert.Equal(t, fmt.Sprintf("/%d", i), a.got.URI)
			}
		}
		assert.EqualValues(t, 1, binds.Load(), "binds at the directory")
	})
}

func TestForward_WebSocket(t *testing.T) {
	t.Parallel()
	directory := ldaptest.NewServer(t, nil)
	authsvc := startAuthsvc(t, directory.URL())
	eachProduct(t, func(t *testing.T, p product) {
		t.Helper()
		f := startFront(t, p, authsvc, startApplication(t))
		conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		require.NoError(t, err)
		defer conn.Close()
		req, err := http.NewRequest(http.MethodGet, f.url+"/socket", nil)
		require.NoError(t, err)
		req.SetBasicAuth(ldaptest.Username(plain), ldaptest.Password(plain))
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "websocket")
		req.Header.Set("Sec-WebSocket-Version", "13")
		req.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==") // of RFC 6455, section 1.3
		require.NoError(t, req.Write(conn))
		reader := bufio.NewReader(conn)
		resp, err := http.ReadResponse(reader, req)
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, 101, resp.StatusCode)
		_, err = io.WriteString(conn, "hello")
		require.NoError(t, err)
		echoed := make([]byte, len("hello"))
		_, err = io.ReadFull(reader, echoed)
		require.NoError(t, err)
		assert.Equal(t, "hello", string(echoed))
	})
}

func TestForward_HAProxyDeniesWhatAFailingScriptHasNotDecided(t *testing.T) {
	t.Parallel()
	directory := ldaptest.NewServer(t, nil)
	authsvc := startAuthsvc(t, directory.URL())
	haproxy := product{start: func(t *testing.T, a addresses) {
		t.Helper()
		startHAProxyWith(t, a, []string{"local answer =", "error('broken')\n\tlocal answer ="}, nil)
	}}
	f := startFront(t, haproxy, authsvc, startApplication(t))
	a := f.do(t, request{path: "/", username: ldaptest.Username(plain), password: ldaptest.Password(plain)})
	assert.Equal(t, 502, a.status)
	assert.Nil(t, a.got)
}

// guideLocations are the locations for nginx in the guide: indented blocks that end with an empty
// line.
var guideLocations = regexp.MustCompile(`(?m)^    location .*\n(?:    .*\n)+`)

func TestForward_LocationsOfTheGuide(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../docs/forward-auth.md")
	require.NoError(t, err)
	locations := guideLocations.FindAllString(string(guide), -1)
	require.Len(t, locations, 2)
	directory := ldaptest.NewServer(t, nil)
	authsvc := startAuthsvc(t, directory.URL())
	nginx := product{start: func(t *testing.T, a addresses) {
		t.Helper()
		startNginxWith(t, a, "    location / {", strings.Join(locations, "")+"    location / {")
	}}
	f := startFront(t, nginx, authsvc, startApplication(t))

	a := f.do(t, request{method: "OPTIONS", path: "/api/x"})
	assert.Equal(t, 204, a.status)
	assert.Equal(t, "Authorization, Content-Type", a.header.Get("Access-Control-Allow-Headers"))
	assert.Equal(t, 401, f.do(t, request{path: "/api/x"}).status)
	assert.Equal(t, 401, f.do(t, request{method: "OPTIONS", path: "/x"}).status)
	a = f.do(t, request{path: "/api/x", username: ldaptest.Username(plain), password: ldaptest.Password(plain), header: forged()})
	assert.Equal(t, 200, a.status)
	if assert.NotNil(t, a.got) {
		assert.Equal(t, []string{ldaptest.Username(plain)}, a.got.Header["Remote-User"])
	}
	a = f.do(t, request{path: "/logout"})
	assert.Equal(t, 204, a.status)
	assert.Equal(t, `"cookies"`, a.header.Get("Clear-Site-Data"))
}
