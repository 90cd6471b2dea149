package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"authsvc/internal/auth"
	"authsvc/ldappool"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fullLogin is a login with every field set that a fault can set.
func fullLogin() (auth.Credentials, auth.Result) {
	c := auth.Credentials{Username: "User0", Password: "pw", RequestID: "req-1", Client: "192.0.2.7"}
	return c, auth.Result{
		Outcome: auth.DirectoryTimeout,
		DN:      "uid=user0,ou=people,dc=example,dc=org",
		Server:  "ldap://a.example.org:389",
		Detail:  "detail",
		Cause:   fmt.Errorf("bind as user: %w", opError(ldappool.ErrTimeout, errors.New("read tcp: i/o timeout"))),
		Phases: auth.Phases{
			Wait: 1500 * time.Nanosecond, Search: 1234567 * time.Nanosecond, Bind: 5 * time.Second, Total: 5001500 * time.Microsecond,
		},
	}
}

func TestAuditLineHasExactlyTheseFields(t *testing.T) {
	t.Parallel()
	caller := auth.Credentials{Username: "User0", Password: "pw", RequestID: "req-1", Client: "192.0.2.7"}
	fault, timeout := fullLogin()
	tests := []struct {
		name        string
		credentials auth.Credentials
		result      auth.Result
		want        string
	}{
		{
			"a success", caller,
			auth.Result{
				Outcome: auth.OK, DN: "uid=user0,dc=x", User: &auth.User{Username: "user0", DN: "uid=user0,dc=x"},
				Phases: auth.Phases{Wait: 12 * time.Microsecond, Search: 400 * time.Microsecond, Bind: time.Millisecond, Total: 1500 * time.Microsecond},
				Cause:  errors.New("not of interest"),
			},
			`"level":"INFO","msg":"login","outcome":"ok","status":0,"username":"User0","dn":"uid=user0,dc=x",` +
				`"request_id":"req-1","client":"192.0.2.7","wait_ms":0.012,"search_ms":0.4,"bind_ms":1,"total_ms":1.5`,
		},
		{
			"a verdict with its cause", caller,
			auth.Result{Outcome: auth.InvalidUser, Cause: errors.New("ambiguous: 2 entries")},
			`"level":"INFO","msg":"login","outcome":"invalid_user","status":1,"username":"User0",` +
				`"request_id":"req-1","client":"192.0.2.7","wait_ms":0,"search_ms":0,"bind_ms":0,"total_ms":0,` +
				`"cause":"ambiguous: 2 entries"`,
		},
		{
			"a bad request that has no username", auth.Credentials{RequestID: "req-2", Client: "192.0.2.7"},
			auth.Result{Outcome: auth.BadRequest, Detail: "username: is empty"},
			`"level":"INFO","msg":"login","outcome":"bad_request","status":10,"request_id":"req-2",` +
				`"client":"192.0.2.7","wait_ms":0,"search_ms":0,"bind_ms":0,"total_ms":0,"detail":"username: is empty"`,
		},
		{
			"one that was throttled after a wait", caller,
			auth.Result{Outcome: auth.TooManyAttempts, Phases: auth.Phases{Throttle: 2 * time.Second, Total: 2 * time.Second}, Cause: errors.New("throttled")},
			`"level":"INFO","msg":"login","outcome":"too_many_attempts","status":9,"username":"User0",` +
				`"request_id":"req-1","client":"192.0.2.7","wait_ms":0,"search_ms":0,"bind_ms":0,"total_ms":2000,"throttle_ms":2000,"cause":"throttled"`,
		},
		{
			"a fault with everything", fault, timeout,
			`"level":"WARN","msg":"login","outcome":"directory_timeout","status":13,"username":"User0",` +
				`"dn":"uid=user0,ou=people,dc=example,dc=org","request_id":"req-1","client":"192.0.2.7","server":"ldap://a.example.org:389",` +
				`"wait_ms":0.002,"search_ms":1.235,"bind_ms":5000,"total_ms":5001.5,"detail":"detail",` +
				`"cause":"bind as user: bind ldap://a.example.org:389: ldappool: directory timeout: read tcp: i/o timeout"`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			tel, logs := newTest(slog.LevelInfo)
			tel.LoginDone(context.Background(), test.credentials, test.result)
			stamp, rest, ok := strings.Cut(logs.String(), ",")
			require.True(t, ok)
			assert.True(t, strings.HasPrefix(stamp, `{"time":"`), stamp)
			assert.Equal(t, test.want+"}\n", rest)
		})
	}
}

func TestAuditLevelTellsWhoseFaultItIs(t *testing.T) {
	t.Parallel()
	tel, logs := newTest(slog.LevelDebug)
	for _, o := range append(auth.Outcomes(), 200) {
		login(tel, auth.Result{Outcome: o})
		lines := logs.lines(t)
		require.Len(t, lines, 1)
		want := "INFO"
		switch o {
		case auth.DirectoryUnavailable, auth.Overloaded, auth.DirectoryTimeout:
			want = "WARN"
		case auth.InternalError, 200:
			want = "ERROR"
		}
		assert.Equal(t, want, lines[0]["level"], o.Code())
		assert.Equal(t, o.Code(), lines[0]["outcome"])
	}
}

func TestAuditWritesNothingBelowTheLoggersLevel(t *testing.T) {
	t.Parallel()
	tel, logs := newTest(slog.LevelWarn)
	login(tel, auth.Result{Outcome: auth.OK})
	assert.Empty(t, logs.String())
	login(tel, auth.Result{Outcome: auth.Overloaded})
	assert.NotEmpty(t, logs.String())
}

func TestNobodyCanForgeALine(t *testing.T) {
	t.Parallel()
	const forged = `{"level":"INFO","msg":"login","outcome":"ok"}`
	tests := []struct{ name, text, want string }{
		{"newline", "eve\n" + forged, "eve\n" + forged},
		{"carriage return", "eve\r" + forged, "eve\r" + forged},
		{"quotes", `eve","outcome":"ok`, `eve","outcome":"ok`},
		{"backslash", `eve\`, `eve\`},
		{"line separator", "eve\u2028" + forged, "eve\u2028" + forged},
		{"next line", "eve\u0085" + forged, "eve\uFFFD" + forged},
		{"escape", "eve\x1b[2K", "eve\x1b[2K"},
		{"C1 escape", "eve\u009b2K", "eve\uFFFD2K"},
		{"right to left", "eve\u202etoor", "eve\uFFFDtoor"},
		{"invalid UTF-8", "eve\xff\xc3", "eve\uFFFD\uFFFD"},
		{"NUL", "eve\x00", "eve\x00"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var asJSON, asText bytes.Buffer
			handlers := slog.NewMultiHandler(slog.NewJSONHandler(&asJSON, nil), slog.NewTextHandler(&asText, nil))
			tel := New(Options{Logger: slog.New(handlers)})
			tel.LoginDone(context.Background(),
				auth.Credentials{Username: test.text, RequestID: test.text, Client: test.text, Caller: auth.Caller{Name: test.text}},
				auth.Result{Outcome: auth.BadRequest, DN: test.text, Detail: test.text, Cause: errors.New(test.text)})

			for _, out := range []string{asJSON.String(), asText.String()} {
				body, ok := strings.CutSuffix(out, "\n")
				require.True(t, ok)
				assert.NotContains(t, body, "\n")
				for _, r := range body {
					assert.False(t, r < ' ' || r == 0x85 || r == 0x2028 || r == 0x9b || r == 0x202e, "%U in %q", r, body)
				}
			}
			logs := new(logBuffer)
			_, err := logs.Write(asJSON.Bytes())
			require.NoError(t, err)
			lines := logs.lines(t)
			require.Len(t, lines, 1)
			assert.Equal(t, "bad_request", lines[0]["outcome"])
			for _, field := range []string{"username", "dn", "request_id", "client", "caller", "detail", "cause"} {
				assert.Equal(t, test.want, lines[0][field], field)
			}
		})
	}
}

func TestAnOverlongUsernameIsCut(t *testing.T) {
	t.Parallel()
	tel, logs := newTest(slog.LevelInfo)
	tel.LoginDone(context.Background(), auth.Credentials{Username: strings.Repeat("x", 16<<10)},
		auth.Result{Outcome: auth.BadRequest})
	lines := logs.lines(t)
	require.Len(t, lines, 1)
	assert.Equal(t, strings.Repeat("x", 253)+"…", lines[0]["username"])
}

// TestNoPasswordIsEverTold drives everything with a secret for a password, at the most talkative level.
func TestNoPasswordIsEverTold(t *testing.T) {
	t.Parallel()
	const secret = "correct-horse-battery-staple"
	tel, logs := newTest(slog.LevelDebug - 4)
	_, full := fullLogin()
	for _, o := range append(auth.Outcomes(), 200) {
		full.Outcome = o
		tel.LoginDone(context.Background(),
			auth.Credentials{Username: "user0", Password: secret, RequestID: "req-1", Client: "192.0.2.7"}, full)
	}
	for _, test := range metricTests {
		if test.drive != nil {
			test.drive(tel, tel.Trace())
		}
	}
	out := logs.String()
	assert.Contains(t, out, "user0")
	assert.NotContains(t, out, secret)
	metrics := get(tel.Handler()).Body.String()
	assert.Contains(t, metrics, "authsvc_logins_total")
	assert.NotContains(t, metrics, secret)
	assert.NotContains(t, metrics, "user0", "a user is no label")
}

func BenchmarkLoginDoneMetrics(b *testing.B) {
	tel := New(Options{})
	_, r := fullLogin()
	b.ReportAllocs()
	for b.Loop() {
		tel.logins.done(r, nil)
	}
}

func BenchmarkLoginDoneMetricsParallel(b *testing.B) {
	tel := New(Options{})
	_, r := fullLogin()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			tel.logins.done(r, nil)
		}
	})
}

func BenchmarkOperated(b *testing.B) {
	trace := New(Options{}).Trace()
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		trace.Operated(ctx, ldappool.OperationEvent{Op: "bind", Server: serverA, Took: 700 * time.Microsecond, Code: 49})
	}
}

func BenchmarkAcquired(b *testing.B) {
	trace := New(Options{}).Trace()
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		trace.Acquired(ctx, ldappool.AcquireEvent{Lane: ldappool.BindLane, Wait: 3 * time.Microsecond})
	}
}

func BenchmarkAudit(b *testing.B) {
	c, fault := fullLogin()
	ok := auth.Result{Outcome: auth.OK, DN: fault.DN, Phases: fault.Phases}
	for name, r := range map[string]auth.Result{"ok": ok, "fault": fault} {
		b.Run(name, func(b *testing.B) {
			a := audit{log: slog.New(slog.NewJSONHandler(io.Discard, nil))}
			b.ReportAllocs()
			for b.Loop() {
				a.done(b.Context(), c, r)
			}
		})
	}
	b.Run("disabled", func(b *testing.B) {
		a := audit{log: slog.New(slog.DiscardHandler)}
		b.ReportAllocs()
		for b.Loop() {
			a.done(b.Context(), c, ok)
		}
	})
}
