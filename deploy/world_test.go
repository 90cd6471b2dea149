package deploy_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"authsvc/config"
	"authsvc/internal/app"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// startAuthsvc runs the service at a directory until the test ends, and returns its address when
// it is ready.
func startAuthsvc(t *testing.T, directory string, environ ...string) string {
	t.Helper()
	main, _ := startService(t, directory, environ...)
	return main
}

// startService is startAuthsvc, and returns the address of the admin listener too.
func startService(t *testing.T, directory string, environ ...string) (main, admin string) {
	t.Helper()
	cfg, err := config.Load(append([]string{
		"LDAP_URL=" + directory, "LDAP_BASE_DN=" + ldaptest.PeopleDN, "LDAP_GROUP_BASE_DN=" + ldaptest.GroupsDN,
		"LDAP_BIND_DN=" + ldaptest.ServiceDN, "LDAP_BIND_PASSWORD=" + ldaptest.ServicePassword,
		"HTTP_ADDR=127.0.0.1:0", "ADMIN_ADDR=127.0.0.1:0", "HTTP_TRUSTED_PROXIES=127.0.0.1", "AUTH_THROTTLE_FAILURES=3",
	}, environ...))
	require.NoError(t, err)
	log := new(lockedBuffer)
	a, err := app.New(t.Context(), cfg, app.Options{Build: app.Build{Version: "test"}, Log: slog.New(slog.NewTextHandler(log, nil))})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
		if t.Failed() {
			t.Logf("authsvc logged:\n%s", log)
		}
	})
	client := newClient(t)
	ldaptest.Eventually(t, "authsvc is ready", func() bool {
		resp, err := client.Get("http://" + a.AdminAddr().String() + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err == nil && resp.StatusCode == http.StatusOK
	})
	return a.Addr().String(), a.AdminAddr().String()
}

// got is a request that the application or a stand-in for authsvc got.
type got struct {
	Method, Host, URI string
	Header            http.Header
	Body              int64 // bytes
	Announced         bool  // a body, by Content-Length or Transfer-Encoding
}

// read returns a request with its body read.
func read(r *http.Request) (got, error) {
	n, err := io.Copy(io.Discard, r.Body)
	return got{
		Method: r.Method, Host: r.Host, URI: r.RequestURI, Header: r.Header, Body: n,
		Announced: r.ContentLength != 0 || len(r.TransferEncoding) > 0,
	}, err
}

// startApplication runs an application that answers with what it got, until the test ends. At
// /fault it answers 500, and at /socket it becomes a WebSocket, as far as
// proxies look, that repeats what it is sent.
func startApplication(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/socket" && strings.EqualFold(r.Header.Get("Upgrade"), "websocket") && strings.EqualFold(r.Header.Get("Connection"), "upgrade") {
			repeat(w)
			return
		}
		g, err := read(r)
		if err != nil {
			return // the client has gone away
		}
		if r.URL.Path == "/fault" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_ = json.NewEncoder(w).Encode(g) // as above
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// repeat answers 101 and then each byte with the same.
func repeat(w http.ResponseWriter) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"); err == nil {
		_, _ = io.Copy(conn, buffered) // until the client ends it
	}
}

// recorder stands in for authsvc: it permits every request, and keeps them.
type recorder struct {
	mu   sync.Mutex
	gots []got // guarded by mu
}

// take returns the requests since the last call.
func (r *recorder) take() []got {
	r.mu.Lock()
	defer r.mu.Unlock()
	gots := r.gots
	r.gots = nil
	return gots
}

// ServeHTTP permits a request.
func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	g, err := read(req)
	if err != nil {
		return // the proxy has gone away
	}
	r.mu.Lock()
	r.gots = append(r.gots, g)
	r.mu.Unlock()
	w.Header().Set("Remote-User", "recorded")
	w.Header().Set("Remote-Groups", "")
	w.Header().Set("Content-Length", "0")
}

// front is a reverse proxy that serves.
type front struct {
	url    string
	client *http.Client
	tls    *tls.Config // what the client expects, with HTTP/2
}

// startFront runs a reverse proxy in front of the application until the test ends.
func startFront(t *testing.T, p product, authsvc, application string) *front {
	t.Helper()
	a := addresses{listen: ldaptest.FreeAddr(t), authsvc: authsvc, application: application}
	if p.http2 {
		a.ca = ldaptest.NewCA(t)
		a.cert = a.ca.Issue(t, ldaptest.CertConfig{})
	}
	p.start(t, a)
	f := newFront(a)
	t.Cleanup(f.client.CloseIdleConnections)
	return f
}

// newFront is a client of a proxy.
func newFront(a addresses) *front {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	f := &front{url: "http://" + a.listen, client: &http.Client{Transport: transport, CheckRedirect: noRedirect}}
	if a.ca != nil {
		f.url = "https://" + a.listen
		f.tls = a.ca.ClientTLS("localhost")
		transport.TLSClientConfig = f.tls
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetHTTP2(true) // and nothing else
	}
	return f
}

// request is what a client sends.
type request struct {
	method, path       string
	username, password string // none if both are empty
	header             http.Header
	body               io.Reader
}

// answer is what a client is answered.
type answer struct {
	status int
	header http.Header
	got    *got // by the application, unless the proxy answered itself
}

// do sends a request.
func (f *front) do(t *testing.T, r request) answer {
	t.Helper()
	a, err := f.try(r)
	require.NoError(t, err)
	return a
}

// try sends a request. Other goroutines than the test's may call it.
func (f *front) try(r request) (answer, error) {
	req, err := http.NewRequest(r.method, f.url+r.path, r.body)
	if err != nil {
		return answer{}, err
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	if r.username != "" || r.password != "" {
		req.SetBasicAuth(r.username, r.password)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	a := answer{status: resp.StatusCode, header: resp.Header}
	var g got
	if err == nil && json.Unmarshal(text, &g) == nil && g.Method != "" {
		a.got = &g
	}
	return a, err
}
