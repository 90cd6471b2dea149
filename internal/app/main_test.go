package app

import (
	"bytes"
	"context"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"authsvc/config"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// long makes the test of an outage run for an hour of its clock.
var long = flag.Bool("long", false, "run the test of an outage at full length")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logBuffer keeps a log that is written and read by several goroutines.
type logBuffer struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (b *logBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines.Write(line)
}

// String returns all that was written.
func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines.String()
}

// settings loads the configuration of an App at a directory, with further variables.
func settings(t *testing.T, url string, environ ...string) *config.Config {
	t.Helper()
	cfg, err := config.Load(append([]string{
		"LDAP_URL=" + url, "LDAP_BASE_DN=" + ldaptest.PeopleDN,
		"LDAP_BIND_DN=" + ldaptest.ServiceDN, "LDAP_BIND_PASSWORD=" + ldaptest.ServicePassword,
		"HTTP_ADDR=127.0.0.1:0", "ADMIN_ADDR=127.0.0.1:0", "LOG_LEVEL=debug",
		"AUTH_THROTTLE_FAILURES=0", "AUTH_THROTTLE_ACCOUNT_FAILURES=0", // the tests send more wrong passwords
	}, environ...))
	require.NoError(t, err)
	return cfg
}

// running is an App that serves, and what it logs.
type running struct {
	url, admin string // of its listeners
	client     *http.Client
	log        *logBuffer
	stop       func() error // drains the App and returns what Run returned; may be called twice
}

// start runs an App until the test ends. It requires that the App neither fails nor logs the
// service password.
func start(t *testing.T, url string, environ ...string) *running {
	t.Helper()
	r := &running{log: new(logBuffer)}
	log := slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	a, err := New(t.Context(), settings(t, url, environ...), Options{Build: Build{Version: "1.2.3"}, Log: log})
	require.NoError(t, err)
	r.url, r.admin = "http://"+a.Addr().String(), "http://"+a.AdminAddr().String()
	transport := new(http.Transport)
	r.client = &http.Client{Transport: transport}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	r.stop = sync.OnceValue(func() error {
		transport.CloseIdleConnections()
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		require.NoError(t, r.stop())
		require.NotContains(t, r.log.String(), ldaptest.ServicePassword)
		if t.Failed() {
			t.Logf("the log:\n%s", r.log.String())
		}
	})
	return r
}

// ready waits until the directory has answered.
func (r *running) ready(t *testing.T) {
	t.Helper()
	ldaptest.Eventually(t, "the service is ready", func() bool {
		status, _ := r.get(t, r.admin+"/readyz")
		return status == http.StatusOK
	})
}

// get returns an answer's status and body.
func (r *running) get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := r.client.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

// login asks for one login. The username and the password are parts of JSON strings.
func (r *running) login(t *testing.T, username, password string) (status int, body string) {
	t.Helper()
	resp, err := r.client.Post(r.url+"/auth", "application/json", strings.NewReader(`{"username":"`+username+`","password":"`+password+`"}`))
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}
