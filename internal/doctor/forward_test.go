package doctor_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"authsvc/internal/doctor"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	forwardUser     = "alice"
	forwardPassword = "right-forward-secret"
)

// proxy is a proxy with forward authentication, whose answers a test chooses.
type proxy struct {
	url string

	mu    sync.Mutex
	right int // requests with the user's password; guarded by mu
	all   int // guarded by mu
}

// login is whom a request is by: nobody, somebody or the user.
type login int

const (
	nobody login = iota
	somebody
	theUser
)

func loginOf(r *http.Request) login {
	name, password, ok := r.BasicAuth()
	switch {
	case !ok:
		return nobody
	case name == forwardUser && password == forwardPassword:
		return theUser
	}
	return somebody
}

// startProxy serves with answer until the test ends.
func startProxy(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, l login)) *proxy {
	t.Helper()
	p := &proxy{}
	s := httptest.NewServer(p.handler(answer))
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

func (p *proxy) handler(answer func(w http.ResponseWriter, r *http.Request, l login)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l := loginOf(r)
		p.mu.Lock()
		p.all++
		if l == theUser {
			p.right++
		}
		p.mu.Unlock()
		answer(w, r, l)
	})
}

func (p *proxy) counts() (right, all int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.right, p.all
}

// guarded answers as a proxy should, and with application to the user.
func guarded(application http.HandlerFunc) func(http.ResponseWriter, *http.Request, login) {
	return func(w http.ResponseWriter, r *http.Request, l login) {
		if l == theUser {
			application(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="authsvc", charset="UTF-8"`)
		w.WriteHeader(401)
	}
}

// echoed answers with the request's headers.
func echoed(w http.ResponseWriter, r *http.Request) { _ = r.Header.Write(w) }

// lines answers with two headers, one of them with a given value.
func lines(w io.Writer, r *http.Request, user string) {
	_, _ = io.WriteString(w, "X-Check: "+r.Header.Get("X-Check")+"\nRemote-User: "+user+"\n")
}

// examineForward checks a proxy with the user's password, and returns the steps and the output.
func examineForward(t *testing.T, at string, configure ...func(*doctor.ForwardOptions)) ([]doctor.Step, string) {
	t.Helper()
	everything.Secret(forwardPassword)
	u, err := url.Parse(at + "/")
	require.NoError(t, err)
	var steps []doctor.Step
	var b bytes.Buffer
	text, report := doctor.Text{W: &b}, doctor.Report{}
	o := doctor.ForwardOptions{
		URL: u.JoinPath("page"), Echo: u.JoinPath("echo"), Denied: u.JoinPath("denied"), User: forwardUser, Password: forwardPassword,
		Headers: []string{"Remote-User", "Remote-Groups"}, Timeout: 10 * time.Second,
		Tell: func(s doctor.Step) {
			steps = append(steps, s)
			report.Add(s)
			text.Write(s)
		},
	}
	for _, change := range configure {
		change(&o)
	}
	require.NoError(t, doctor.ExamineForward(t.Context(), o))
	text.Summary(&report)
	require.NoError(t, report.WriteJSON(&b))
	everything.Wrote(t.Name(), b.Bytes())
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(b.String())
		}
	})
	for _, secret := range []string{forwardPassword, base64.StdEncoding.EncodeToString([]byte(forwardUser + ":" + forwardPassword))} {
		assert.NotContains(t, b.String(), secret)
	}
	for _, r := range b.String() {
		assert.False(t, r < ' ' && r != '\n', "a control character of the proxy's")
	}
	return steps, b.String()
}

// stepNamed returns the only step of a name.
func stepNamed(t *testing.T, steps []doctor.Step, name string) doctor.Step {
	t.Helper()
	var found []doctor.Step
	for _, s := range steps {
		if s.Name == name {
			found = append(found, s)
		}
	}
	require.Len(t, found, 1, name)
	return found[0]
}

func TestForward_SendsThePasswordOnlyWhereRequestsWithoutItAreRejected(t *testing.T) {
	t.Parallel()
	challenge := guarded(echoed)
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request, l login)
		right  int
		step   string
	}{
		"the location is open": {func(w http.ResponseWriter, r *http.Request, _ login) { echoed(w, r) }, 0, "no credentials"},
		"a redirect":           {func(w http.ResponseWriter, r *http.Request, _ login) { http.Redirect(w, r, "/login", http.StatusFound) }, 0, "no credentials"},
		"an error":             {func(w http.ResponseWriter, _ *http.Request, _ login) { w.WriteHeader(502) }, 0, "no credentials"},
		"credentials are optional": {func(w http.ResponseWriter, r *http.Request, l login) {
			if l != nobody {
				challenge(w, r, l)
			}
		}, 0, "no credentials"},
		"anybody gets in": {func(w http.ResponseWriter, r *http.Request, l login) {
			if l == nobody {
				challenge(w, r, l)
			}
		}, 0, "wrong credentials"},
		"the password is wrong": {func(w http.ResponseWriter, r *http.Request, _ login) { challenge(w, r, somebody) }, 1, "right credentials"},
		"the user may not pass": {func(w http.ResponseWriter, r *http.Request, l login) {
			if l != theUser {
				challenge(w, r, l)
				return
			}
			w.Header().Set("Authsvc-Status", "3")
			w.WriteHeader(403)
		}, 1, "right credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startProxy(t, c.answer)
			steps, _ := examineForward(t, p.url)
			right, _ := p.counts()
			assert.Equal(t, c.right, right, "requests with the password")
			assert.Equal(t, doctor.Failed, stepNamed(t, steps, c.step).Mark)
		})
	}

	p := startProxy(t, func(w http.ResponseWriter, r *http.Request, l login) {
		if r.URL.Path != "/page" && l != theUser { // the others are open
			return
		}
		challenge(w, r, l)
	})
	steps, text := examineForward(t, p.url)
	right, _ := p.counts()
	assert.Equal(t, 2, right, "the page itself, plain and with forged headers")
	assert.Equal(t, doctor.Failed, stepNamed(t, steps, "required group").Mark)
	assert.Contains(t, text, "/echo no credentials: the location is open")
}

func TestForward_HostileAnswersAreShownEscapedAndBounded(t *testing.T) {
	t.Parallel()
	const escape = "\x1b]0;owned\x07"
	for name, c := range map[string]struct {
		application http.HandlerFunc
		step        string
		mark        doctor.Mark
		finding     string
	}{
		"the password in everything": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Authsvc-Status", forwardPassword)
			w.Header().Set("Retry-After", forwardPassword)
			if r.URL.Path == "/denied" {
				w.WriteHeader(403)
				return
			}
			lines(w, r, forwardPassword)
		}, "required group", doctor.OK, "[withheld]"},
		"control characters": {func(w http.ResponseWriter, r *http.Request) {
			lines(w, r, escape)
		}, "identity headers", doctor.OK, "the application learns"},
		"an endless answer": {func(w http.ResponseWriter, r *http.Request) {
			line := []byte(strings.Repeat("x", 1<<16) + "\n")
			for { // until the client hangs up
				if _, err := w.Write(line); err != nil || r.URL.Path != "/echo" {
					return
				}
			}
		}, "identity headers", doctor.Failed, "does not have the header X-Check"},
		"a kept answer": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "X-Check: old\nRemote-User: bob\n")
		},
			"identity headers", doctor.Failed, "the answer was kept"},
		"names that cannot be read": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "<p>"+r.Header.Get("X-Check")+"</p>") //nolint:gosec // no browser reads it
		},
			"identity headers", doctor.Failed, "the names of the headers in the answer cannot be read"},
		"no identity":                          {func(w http.ResponseWriter, r *http.Request) { echoed(w, r) }, "identity headers", doctor.Failed, "does not learn who alice is"},
		"the password reaches the application": {func(w http.ResponseWriter, r *http.Request) { echoed(w, r) }, "password", doctor.Warn, "gets the password of every user"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steps, _ := examineForward(t, startProxy(t, guarded(c.application)).url)
			s := stepNamed(t, steps, c.step)
			assert.Equal(t, c.mark, s.Mark)
			assert.Contains(t, s.Finding, c.finding)
		})
	}
	for name, text := range map[string]string{
		"no HTTP":           forwardPassword + escape + "\n",
		"an endless header": "HTTP/1.1 401 x\r\nX: " + strings.Repeat("x", 1<<18) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steps, _ := examineForward(t, "http://"+serveRaw(t, text))
			assert.Contains(t, stepNamed(t, steps, "connection").Finding, "does not answer as HTTP does")
		})
	}
	t.Run("another challenge", func(t *testing.T) {
		t.Parallel()
		steps, _ := examineForward(t, startProxy(t, func(w http.ResponseWriter, _ *http.Request, _ login) {
			w.Header()["Www-Authenticate"] = []string{"Negotiate \u202e", `Basic realm="x"`}
			w.WriteHeader(401)
		}).url)
		assert.Contains(t, stepNamed(t, steps, "no credentials").Finding, `(Negotiate `)
	})
}

// serveRaw answers each connection with a text, and returns its address.
func serveRaw(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, text)
			c.Close()
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return l.Addr().String()
}

func TestForward_FollowsNoRedirect(t *testing.T) {
	t.Parallel()
	elsewhere := startProxy(t, func(http.ResponseWriter, *http.Request, login) {})
	p := startProxy(t, guarded(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.url+"/", http.StatusFound) }))
	steps, _ := examineForward(t, p.url)
	assert.Contains(t, stepNamed(t, steps, "right credentials").Finding, "a redirect to "+elsewhere.url)
	_, all := elsewhere.counts()
	assert.Zero(t, all, "a redirect was followed")
}

func TestForward_StopsWaiting(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	p := startProxy(t, func(http.ResponseWriter, *http.Request, login) { <-release })
	t.Cleanup(func() { close(release) })
	steps, _ := examineForward(t, p.url, func(o *doctor.ForwardOptions) { o.Timeout = 50 * time.Millisecond })
	require.Len(t, steps, 2)
	assert.Contains(t, steps[1].Finding, "no complete answer from "+p.url+"/page in time")
}

func TestForward_VerifiesTheProxy(t *testing.T) {
	t.Parallel()
	ca, stranger := ldaptest.NewCA(t), ldaptest.NewCA(t)
	p := &proxy{}
	s := httptest.NewUnstartedServer(p.handler(guarded(echoed)))
	s.TLS = ca.ServerTLS(t, "localhost")
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	at := "https://localhost:" + s.URL[strings.LastIndexByte(s.URL, ':')+1:]
	steps, _ := examineForward(t, at, func(o *doctor.ForwardOptions) { o.Roots = stranger.Pool() })
	assert.Equal(t, doctor.Failed, stepNamed(t, steps, "connection").Mark)
	assert.Contains(t, stepNamed(t, steps, "connection").Finding, "-ca-file")
	_, all := p.counts()
	assert.Zero(t, all)
	steps, _ = examineForward(t, at, func(o *doctor.ForwardOptions) { o.Roots = ca.Pool() })
	assert.Contains(t, stepNamed(t, steps, "connection").Finding, "answers with TLS, certificate of")
}

func TestForward_SaysWhatItDoesNotSee(t *testing.T) {
	t.Parallel()
	p := startProxy(t, guarded(echoed))
	steps, text := examineForward(t, p.url, func(o *doctor.ForwardOptions) { o.Echo, o.Denied, o.User, o.Password = nil, nil, "", "" })
	for name, what := range map[string]string{
		"configuration": "LDAP_URL is not set", "client address": "HTTP_TRUSTED_PROXIES and ADMIN_ADDR", "right credentials": "-user NAME -password-stdin",
		"identity headers": "-echo URL", "required group": "-denied URL", "not checked": "429",
	} {
		s := stepNamed(t, steps, name)
		assert.Equal(t, doctor.Skipped, s.Mark, name)
		assert.Contains(t, s.Finding, what)
	}
	assert.Contains(t, text, "no check failed")
	right, all := p.counts()
	assert.Zero(t, right)
	assert.Equal(t, 3, all, "no more requests than needed")
}

func TestForward_ClientAddressWithoutTheAdminListener(t *testing.T) {
	t.Parallel()
	p := startProxy(t, guarded(echoed))
	closed := ldaptest.FreeAddr(t)
	foreign := startProxy(t, func(w http.ResponseWriter, _ *http.Request, _ login) {
		_, _ = io.WriteString(w, `{"peer":"\u001b[31m"}`)
	})
	stranger := startProxy(t, func(w http.ResponseWriter, _ *http.Request, _ login) { w.WriteHeader(404) })
	for name, c := range map[string]struct {
		admin   string
		finding string
	}{
		"off": {"", "ADMIN_ADDR is off"}, "closed": {closed, "connection refused"}, "another service": {strings.TrimPrefix(foreign.url, "http://"), "not as authsvc does"},
		"another instance": {strings.TrimPrefix(stranger.url, "http://"), "another instance"},
	} {
		service := doctor.ForwardService{Realm: "authsvc", Admin: c.admin, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
		steps, _ := examineForward(t, p.url, func(o *doctor.ForwardOptions) { o.Service = &service })
		s := stepNamed(t, steps, "client address")
		assert.Equal(t, doctor.Skipped, s.Mark, name)
		assert.Contains(t, s.Finding, c.finding, name)

		service.TrustedProxies = nil
		steps, _ = examineForward(t, p.url, func(o *doctor.ForwardOptions) { o.Service = &service })
		s = stepNamed(t, steps, "client address")
		assert.Equal(t, doctor.Failed, s.Mark, name)
		assert.Contains(t, s.Finding, "HTTP_TRUSTED_PROXIES is not set, so authsvc takes all users for one client", name)
	}
}
