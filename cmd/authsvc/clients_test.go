package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// exampleClient is a client that docs/callers.md shows.
type exampleClient struct {
	language string // of its code block
	file     string // in examples/clients
	// build makes it ready to run from a copy of its source and returns the command.
	build func(t *testing.T, source string) []string
}

var exampleClients = []exampleClient{
	{"python", "login.py", func(t *testing.T, source string) []string {
		t.Helper()
		// A version manager's python3 is a script, slower than what it starts.
		python, err := exec.Command(tool(t, "python3"), "-c", "import sys; print(sys.executable, end='')").Output()
		require.NoError(t, err)
		return []string{string(python), source}
	}},
	{"sh", "login.sh", func(t *testing.T, source string) []string {
		t.Helper()
		tool(t, "curl")
		return []string{tool(t, "sh"), source}
	}},
	{"go", "login.go", func(t *testing.T, source string) []string {
		t.Helper()
		binary := filepath.Join(filepath.Dir(source), "login-go")
		mustRun(t, tool(t, "go"), "build", "-o", binary, source)
		return []string{binary}
	}},
	{"java", "Login.java", func(t *testing.T, source string) []string {
		t.Helper()
		mustRun(t, tool(t, "javac"), "-d", filepath.Dir(source), source)
		return []string{tool(t, "java"), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", filepath.Dir(source), "Login"}
	}},
}

// tool returns the path of a program that a client needs. A missing program fails the test, because
// a skipped test shows nothing.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	require.NoError(t, err, "run scripts/install-test-deps as root")
	return path
}

// mustRun runs a program that must succeed.
func mustRun(t *testing.T, command ...string) {
	t.Helper()
	said, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	require.NoError(t, err, "%v: %s", command, said)
}

// source is the text of the client's file.
func (c *exampleClient) source(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "examples", "clients", c.file))
	require.NoError(t, err)
	return string(text)
}

// builtClient is a client that can be run.
type builtClient struct {
	*exampleClient
	command []string
}

// built builds a client from a text of its source.
func (c *exampleClient) built(t *testing.T, source string) *builtClient {
	t.Helper()
	path := filepath.Join(t.TempDir(), c.file)
	require.NoError(t, os.WriteFile(path, []byte(source), 0o600))
	return &builtClient{c, c.build(t, path)}
}

// clientRun is what one run of a client came to.
type clientRun struct {
	code    int
	message string // for the user
	stderr  string // for the application's log
}

// login runs the client once.
func (c *builtClient) login(t *testing.T, url, username, password string, environ ...string) clientRun {
	t.Helper()
	var stdout, stderr strings.Builder
	run := exec.Command(c.command[0], append(c.command[1:len(c.command):len(c.command)], username)...)
	run.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "LC_ALL=C.UTF-8", "AUTHSVC_URL=" + url, "AUTHSVC_KEY=" + shopKey}, environ...)
	run.Stdin, run.Stdout, run.Stderr = strings.NewReader(password+"\n"), &stdout, &stderr
	if err := run.Run(); err != nil {
		require.ErrorAs(t, err, new(*exec.ExitError))
	}
	if password != "" {
		assert.NotContains(t, stdout.String()+stderr.String(), password, "a client's output has the password")
	}
	return clientRun{run.ProcessState.ExitCode(), strings.TrimSuffix(stdout.String(), "\n"), stderr.String()}
}

const shopKey = "shop-key-one"

// What the clients tell their users.
const (
	clientWelcome  = "Welcome."
	clientWrong    = "Wrong username or password."
	clientThrottle = "Too many attempts. Try again in "
	clientLater    = "Login is not possible at the moment. Try again in "
	clientFault    = "Login is out of order."
)

// builtClients are all clients.
type builtClients []*builtClient

// buildClients builds the clients of examples/clients, each from its text as it is or changed.
func buildClients(t *testing.T, change func(source string) string) (all builtClients) {
	t.Helper()
	for i := range exampleClients {
		c := &exampleClients[i]
		all = append(all, c.built(t, change(c.source(t))))
	}
	return all
}

// requireRun demands an exit code and how the message begins.
func requireRun(t *testing.T, what string, code int, message string, got clientRun) {
	t.Helper()
	require.Equal(t, code, got.code, "%s: %+v", what, got)
	require.True(t, strings.HasPrefix(got.message, message), "%s: %+v", what, got)
}

func TestCallersGuide_ShowsTheClientsThatAreTested(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile(filepath.Join("..", "..", "docs", "callers.md"))
	require.NoError(t, err)
	shown := map[string]string{}
	for _, block := range regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$").FindAllStringSubmatch(string(guide), -1) {
		shown[block[1]] += block[2]
	}
	for _, c := range exampleClients {
		assert.Equal(t, c.source(t), shown[c.language], "docs/callers.md and examples/clients/%s differ", c.file)
	}
	files, err := os.ReadDir(filepath.Join("..", "..", "examples", "clients"))
	require.NoError(t, err)
	assert.Len(t, files, len(exampleClients), "a file of examples/clients is not tested")
}

// TestClients_ExamplesHandleEveryAnswer compiles the clients once and runs them against the service
// and against what could stand in its place.
func TestClients_ExamplesHandleEveryAnswer(t *testing.T) {
	t.Parallel()
	clients := buildClients(t, func(source string) string { return source })
	for name, test := range map[string]func(*testing.T, builtClients){
		"are right at the real service":      clientsAtTheRealService,
		"branch on the status":               clientsAtEveryStatus,
		"let nobody in for a foreign answer": clientsAtForeignAnswers,
		"trim and refuse before they ask":    clientsOfOddInput,
		"stop waiting":                       impatientClients,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, clients)
		})
	}
}

// clientsAtTheRealService runs each client against a service with HTTPS, keys and a slapd: while
// both run, while the slapd is away, and while the service is away.
func clientsAtTheRealService(t *testing.T, clients builtClients) {
	t.Helper()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10})
	f := startFrontageTo(t, slapd, "AUTH_THROTTLE_FAILURES=2")
	url := strings.Replace(f.p.url, "127.0.0.1", "localhost", 1)
	trust := filepath.Join(t.TempDir(), "trust.p12")
	mustRun(t, tool(t, "keytool"), "-importcert", "-noprompt", "-file", f.ca.File(), "-keystore", trust, "-storepass", "changeit")
	trusting := []string{"SSL_CERT_FILE=" + f.ca.File(), "CURL_CA_BUNDLE=" + f.ca.File(), "JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore=" + trust + " -Djavax.net.ssl.trustStorePassword=changeit"}
	const wrong = "wr0ng-w0rd"
	everything.Secret(wrong, ldaptest.Password(8))

	t.Run("all is well", func(t *testing.T) {
		for n, c := range clients {
			t.Run(c.language, func(t *testing.T) {
				t.Parallel()
				user, password := ldaptest.Username(n), ldaptest.Password(n)
				everything.Secret(password)
				login := func(username, password string, environ ...string) clientRun {
					return c.login(t, url, username, password, append(trusting, environ...)...)
				}
				requireRun(t, "right password", 0, clientWelcome, login(user, password))
				requireRun(t, "unknown user", 1, clientWrong, login("nobody-"+c.language, wrong))
				requireRun(t, "wrong key", 3, clientFault, login(user, password, "AUTHSVC_KEY=wrong-key-zero"))
				requireRun(t, "authority not trusted", 2, clientLater, c.login(t, url, user, password))
				requireRun(t, "wrong password", 1, clientWrong, login(user, wrong))
				requireRun(t, "wrong password", 1, clientWrong, login(user, wrong))
				throttled := login(user, password)
				requireRun(t, "throttled", 2, clientThrottle, throttled)
				require.Regexp(t, `in \d+ seconds\.$`, throttled.message)
				require.NotContains(t, throttled.message, "in 30 seconds", "the service's Retry-After was not read")
			})
		}
	})
	slapd.Stop()
	t.Run("the directory is away", func(t *testing.T) {
		for _, c := range clients {
			t.Run(c.language, func(t *testing.T) {
				t.Parallel()
				got := c.login(t, url, ldaptest.Username(8), ldaptest.Password(8), trusting...)
				requireRun(t, "directory away", 2, clientLater+"1 seconds.", got)
			})
		}
	})
	require.Zero(t, f.p.end(t))
	t.Run("the service is away", func(t *testing.T) {
		for _, c := range clients {
			t.Run(c.language, func(t *testing.T) {
				t.Parallel()
				got := c.login(t, url, ldaptest.Username(8), ldaptest.Password(8), trusting...)
				requireRun(t, "service away", 2, clientLater+"30 seconds.", got)
				require.NotEmpty(t, got.stderr, "the application's log says nothing")
			})
		}
	})
}

// stagedService answers as a service could, by the user's name.
type stagedService struct {
	url     string
	answers map[string]http.HandlerFunc

	mu       sync.Mutex
	received map[string]string // password by username, as they arrived; guarded by mu
}

// startStaged starts one.
func startStaged(t *testing.T, answers map[string]http.HandlerFunc) *stagedService {
	t.Helper()
	s := &stagedService{answers: answers, received: map[string]string{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// ServeHTTP answers a login, and anything else with 404.
func (s *stagedService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/auth" || r.Header.Get("Authorization") != "Bearer "+shopKey {
		http.NotFound(w, r)
		return
	}
	var asked struct{ Username, Password string }
	switch r.Header.Get("Content-Type") {
	case "application/json":
		_ = json.NewDecoder(r.Body).Decode(&asked)
	case "application/x-www-form-urlencoded":
		asked.Username, asked.Password = r.PostFormValue("username"), r.PostFormValue("password")
	}
	s.mu.Lock()
	s.received[asked.Username] = asked.Password
	s.mu.Unlock()
	if answer := s.answers[asked.Username]; answer != nil {
		answer(w, r)
		return
	}
	_, _ = io.WriteString(w, `{"status":0,"code":"ok","message":"auth ok","request_id":"client-42"}`)
}

// with answers with an HTTP status and a text.
func with(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// answerOf is the service's answer of one status, under the given HTTP status.
func answerOf(status, http int) http.HandlerFunc {
	return with(http, fmt.Sprintf(`{"status":%d,"code":"a_code","message":"what is wrong","request_id":"client-42"}`+"\n", status))
}

// clientsAtEveryStatus shows each client every status, one of them as with AUTH_ALWAYS_200.
func clientsAtEveryStatus(t *testing.T, clients builtClients) {
	t.Helper()
	rows := map[string]struct {
		answer  http.HandlerFunc
		code    int
		message string
	}{
		"status-0":      {answerOf(0, 200), 0, clientWelcome},
		"status-1":      {answerOf(1, 401), 1, clientWrong},
		"status-2":      {answerOf(2, 401), 1, clientWrong},
		"status-3":      {answerOf(3, 403), 1, "Your account is locked."},
		"status-4":      {answerOf(4, 403), 1, "Your account is disabled."},
		"status-5":      {answerOf(5, 403), 1, "Your account has expired."},
		"status-6":      {answerOf(6, 403), 1, "Your password must be changed before you can log in."},
		"status-7":      {answerOf(7, 403), 1, "Your password must be changed before you can log in."},
		"status-8":      {answerOf(8, 403), 1, "You may not use this service."},
		"status-8-200":  {answerOf(8, 200), 1, "You may not use this service."},
		"status-9":      {after("17", answerOf(9, 429)), 2, clientThrottle + "17 seconds."},
		"status-10":     {answerOf(10, 400), 3, clientFault},
		"status-11":     {after("5", answerOf(11, 503)), 2, clientLater + "5 seconds."},
		"status-12":     {after("6", answerOf(12, 503)), 2, clientLater + "6 seconds."},
		"status-13":     {after("1", answerOf(13, 504)), 2, clientLater + "1 seconds."},
		"status-14":     {answerOf(14, 500), 3, clientFault},
		"status-15":     {answerOf(15, 401), 3, clientFault},
		"status-16":     {answerOf(16, 200), 3, clientFault},
		"after-a-date":  {after("Wed, 21 Oct 2026 07:28:00 GMT", answerOf(11, 503)), 2, clientLater + "30 seconds."},
		"without-after": {answerOf(11, 503), 2, clientLater + "30 seconds."},
	}
	answers := map[string]http.HandlerFunc{}
	for name, row := range rows {
		answers[name] = row.answer
	}
	service := startStaged(t, answers)
	for _, c := range clients {
		t.Run(c.language, func(t *testing.T) {
			t.Parallel()
			for name, row := range rows {
				got := c.login(t, service.url, name, "s3cret-w0rd")
				assert.Equal(t, row.code, got.code, "%s: %+v", name, got)
				assert.Equal(t, row.message, got.message, name)
				if row.code == 3 {
					assert.Contains(t, got.stderr, "client-42", "%s: the log does not have the request ID", name)
				}
			}
		})
	}
}

// after adds Retry-After to an answer.
func after(value string, answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", value)
		answer(w, r)
	}
}

// clientsAtForeignAnswers shows each client answers of proxies and other services, and cut ones.
func clientsAtForeignAnswers(t *testing.T, clients builtClients) {
	t.Helper()
	elsewhere := httptest.NewServer(answerOf(0, 200))
	t.Cleanup(elsewhere.Close)
	answers := map[string]http.HandlerFunc{
		"html-200":       with(200, "<!doctype html><title>Sign in to the network</title>"),
		"html-502":       with(502, "<html><h1>502 Bad Gateway</h1></html>"),
		"nothing":        with(200, ""),
		"empty-object":   with(200, "{}"),
		"null":           with(200, "null"),
		"status-false":   with(200, `{"status":false,"code":"ok"}`),
		"status-text":    with(200, `{"status":"0","code":"ok"}`),
		"status-float":   with(200, `{"status":0.5,"code":"ok"}`),
		"status-of-what": with(200, `{"health":{"status":0,"code":"ok"}}`),
		"elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/auth", http.StatusTemporaryRedirect)
		},
		"cut": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			answerOf(0, 200)(w, r)
		},
	}
	service := startStaged(t, answers)
	for _, c := range clients {
		t.Run(c.language, func(t *testing.T) {
			t.Parallel()
			for name := range answers {
				got := c.login(t, service.url, name, "s3cret-w0rd")
				assert.Equal(t, 2, got.code, "%s: %+v", name, got)
				assert.Equal(t, clientLater+"30 seconds.", got.message, name)
				assert.NotEmpty(t, got.stderr, "%s: the application's log says nothing", name)
			}
		})
	}
}

// clientsOfOddInput compares with what the service accepts.
func clientsOfOddInput(t *testing.T, clients builtClients) {
	t.Helper()
	longName, longPassword := strings.Repeat("ü", 128), strings.Repeat("ü", 512)
	const oddName, oddPassword = "jörg+o'hara&=%41 @", ` pä"s\s+&=%41 @€😀 `
	for _, c := range clients {
		t.Run(c.language, func(t *testing.T) {
			t.Parallel()
			service := startStaged(t, nil)
			for _, tried := range [][2]string{
				{longName + "x", "s3cret-w0rd"}, {"a\x1bb", "s3cret-w0rd"}, {" \t", "s3cret-w0rd"}, {"alice", longPassword + "x"},
			} {
				requireRun(t, "refused", 1, clientWrong, c.login(t, service.url, tried[0], tried[1]))
			}
			require.Equal(t, clientRun{code: 1, message: clientWrong}, c.login(t, service.url, "bob", ""))
			require.Empty(t, service.received)
			for _, tried := range [][2]string{{" \tcarol  ", " s3cret-w0rd "}, {longName, longPassword}, {oddName, oddPassword}} {
				requireRun(t, "accepted", 0, clientWelcome, c.login(t, service.url, tried[0], tried[1]))
			}
			require.Equal(t, map[string]string{"carol": " s3cret-w0rd ", longName: longPassword, oddName: oddPassword}, service.received)
		})
	}
}

// impatientClients runs copies of the clients that wait for one second instead of fifteen.
func impatientClients(t *testing.T, _ builtClients) {
	t.Helper()
	ended := make(chan struct{})
	service := startStaged(t, map[string]http.HandlerFunc{
		"silent": func(http.ResponseWriter, *http.Request) { <-ended },
		"half": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			answerOf(0, 200)(w, r)
			_ = http.NewResponseController(w).Flush()
			<-ended
		},
	})
	t.Cleanup(func() { close(ended) }) // before the server is closed, which waits for its requests
	limit := regexp.MustCompile(`timeout=15\b|--max-time 15\b|\b15 \* time\.Second\b|\.get\(15, TimeUnit\.SECONDS\)`)
	clients := buildClients(t, func(source string) string {
		require.Len(t, limit.FindAllString(source, -1), 1)
		return limit.ReplaceAllStringFunc(source, func(s string) string { return strings.Replace(s, "15", "1", 1) })
	})
	for _, c := range clients {
		t.Run(c.language, func(t *testing.T) {
			t.Parallel()
			for _, name := range []string{"silent", "half"} {
				begun := time.Now()
				got := c.login(t, service.url, name, "s3cret-w0rd")
				assert.Equal(t, 2, got.code, "%s: %+v", name, got)
				assert.Equal(t, clientLater+"30 seconds.", got.message, name)
				assert.NotEmpty(t, got.stderr, "%s: the application's log says nothing", name)
				assert.GreaterOrEqual(t, time.Since(begun), time.Second, name)
			}
		})
	}
}
