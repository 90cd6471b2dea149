package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"authsvc/api"
	"authsvc/internal/auth"
	"authsvc/internal/probe"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	typeJSON = "application/json"
	typeForm = "application/x-www-form-urlencoded"
	goodJSON = `{"username":"user0","password":"s3cr3t"}`
	goodForm = `username=user0&password=s3cr3t`
)

// fakeAuth answers every login by a function and remembers what it was asked.
type fakeAuth struct {
	answer func(ctx context.Context, c auth.Credentials) auth.Result

	mu    sync.Mutex
	asked []auth.Credentials // guarded by mu
}

func (f *fakeAuth) Authenticate(ctx context.Context, c auth.Credentials) auth.Result {
	f.mu.Lock()
	f.asked = append(f.asked, c)
	f.mu.Unlock()
	if f.answer == nil {
		return okResult(c)
	}
	return f.answer(ctx, c)
}

func (f *fakeAuth) all() []auth.Credentials {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]auth.Credentials(nil), f.asked...)
}

// okResult is a login that went well.
func okResult(c auth.Credentials) auth.Result {
	return auth.Result{Outcome: auth.OK, User: &auth.User{
		Username:   c.Username,
		DN:         "uid=" + c.Username + ",ou=people,dc=example,dc=org",
		Attributes: map[string][]string{"mail": {c.Username + "@example.org"}, "cn": {"A \"quoted\" name", "é"}},
	}}
}

// fakeHealth is a directory in a settable condition.
type fakeHealth struct {
	mu     sync.Mutex
	status api.HealthStatus // guarded by mu
}

func (f *fakeHealth) Health() api.HealthStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

func (f *fakeHealth) set(s api.HealthStatus) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status = s
}

// observed is one call of the observer.
type observed struct {
	creds  auth.Credentials
	result auth.Result
}

// recorder is an observer that remembers.
type recorder struct {
	panics any

	mu   sync.Mutex
	seen []observed // guarded by mu
}

func (r *recorder) LoginDone(_ context.Context, c auth.Credentials, res auth.Result) {
	r.mu.Lock()
	r.seen = append(r.seen, observed{c, res})
	r.mu.Unlock()
	if r.panics != nil {
		panic(r.panics)
	}
}

func (r *recorder) all() []observed {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]observed(nil), r.seen...)
}

// safeBuffer is a log that goroutines may share.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// harness is a Server between fakes. Every answer of its main handler is held against openapi.yaml.
type harness struct {
	*api.Server

	adminHosts []string // by which browsers may use the admin listener
	auth       *fakeAuth
	health     *fakeHealth
	observer   *recorder
	log        *safeBuffer
	doc        *openAPIDoc
	probes     probe.Memory
}

func newHarness(t testing.TB, configure ...func(*api.Config)) *harness {
	t.Helper()
	h := &harness{auth: &fakeAuth{}, health: &fakeHealth{}, observer: &recorder{}, log: &safeBuffer{}}
	h.health.set(api.HealthStatus{Usable: true, Answered: true})
	cfg := api.Config{
		Logger:      slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Observer:    h.observer,
		AuthTimeout: 10 * time.Second,
	}
	for _, f := range configure {
		f(&cfg)
	}
	if cfg.Callers.Keys == nil && cfg.Callers.ClientCAs == nil {
		cfg.Callers.Anybody = true
	}
	h.Server = api.New(cfg, h.auth, h.health)
	var err error
	h.doc, err = loadOpenAPI()
	require.NoError(t, err)
	return h
}

// answering makes every login end as r.
func (h *harness) answering(r auth.Result) {
	h.auth.answer = func(context.Context, auth.Credentials) auth.Result { return r }
}

// do serves one request on the main handler.
func (h *harness) do(t testing.TB, req *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	rec := httptest.NewRecorder()
	h.Handler().ServeHTTP(rec, req)
	h.doc.checkResponse(t, req, rec)
	return rec
}

// post serves one POST /auth.
func (h *harness) post(t testing.TB, contentType, body string) *httptest.ResponseRecorder {
	t.Helper()
	return h.do(t, newPost(contentType, body))
}

// get serves one request without a body.
func (h *harness) get(t testing.TB, method, target string) *httptest.ResponseRecorder {
	t.Helper()
	return h.do(t, httptest.NewRequest(method, target, nil))
}

func newPost(contentType, body string) *http.Request {
	req := httptest.NewRequest(http.MethodPost, "/auth", strings.NewReader(body))
	req.Header.Set("Content-Type", contentType)
	return req
}

// answer is the body of any JSON answer.
type answer struct {
	Status    *int   `json:"status"`
	Code      string `json:"code"`
	Message   string `json:"message"`
	RequestID string `json:"request_id"`
	User      *struct {
		Username   string              `json:"username"`
		DN         string              `json:"dn"`
		Attributes map[string][]string `json:"attributes"`
	} `json:"user"`
}

func decodeAnswer(t testing.TB, body []byte) answer {
	t.Helper()
	var a answer
	require.NoError(t, json.Unmarshal(body, &a), "%s", body)
	require.NotNil(t, a.Status)
	return a
}

// requireRefused checks that rec is status 10 with an HTTP status and a message, and that nobody
// was asked but the observer told.
func (h *harness) requireRefused(t testing.TB, rec *httptest.ResponseRecorder, status int, message string) {
	t.Helper()
	a := decodeAnswer(t, rec.Body.Bytes())
	require.Equal(t, status, rec.Code)
	require.Equal(t, auth.BadRequest.Status(), *a.Status)
	require.Equal(t, message, a.Message)
	require.Empty(t, h.auth.all(), "the login was tried")
	seen := h.observer.all()
	require.Len(t, seen, 1)
	require.Equal(t, auth.BadRequest, seen[0].result.Outcome)
	require.Equal(t, message, seen[0].result.Detail)
	require.Equal(t, a.RequestID, seen[0].creds.RequestID)
	require.Equal(t, "192.0.2.1", seen[0].creds.Client)
}
