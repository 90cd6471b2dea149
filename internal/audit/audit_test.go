package audit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/observertest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAudit_LineHasExactlyTheseFields(t *testing.T) {
	t.Parallel()
	caller := auth.Credentials{Username: "User0", Password: "pw", RequestID: "req-1", Client: "192.0.2.7"}
	fault, timeout := observertest.FullLogin()
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
			log, logs := newTest(slog.LevelInfo)
			log.LoginDone(context.Background(), test.credentials, test.result)
			stamp, rest, ok := strings.Cut(logs.String(), ",")
			require.True(t, ok)
			assert.True(t, strings.HasPrefix(stamp, `{"time":"`), stamp)
			assert.Equal(t, test.want+"}\n", rest)
		})
	}
}

func TestAudit_LevelSaysWhoseFaultItIs(t *testing.T) {
	t.Parallel()
	log, logs := newTest(slog.LevelDebug)
	for _, o := range append(auth.Outcomes(), 200) {
		login(log, auth.Result{Outcome: o})
		lines := logs.Lines(t)
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

func TestAudit_ObeysTheLevelOfTheLogger(t *testing.T) {
	t.Parallel()
	log, logs := newTest(slog.LevelWarn)
	login(log, auth.Result{Outcome: auth.OK})
	assert.Empty(t, logs.String())
	login(log, auth.Result{Outcome: auth.Overloaded})
	assert.NotEmpty(t, logs.String())
}

func TestAudit_EscapesForgedLines(t *testing.T) {
	t.Parallel()
	const forged = `{"level":"INFO","msg":"login","outcome":"ok"}`
	tests := []struct{ name, text, want string }{
		{"newline", "eve\n" + forged, "eve\n" + forged},
		{"carriage return", "eve\r" + forged, "eve\r" + forged},
		{"quotes", `eve","outcome":"ok`, `eve","outcome":"ok`},
		{"backslash", `eve\`, `eve\`},
		{"line separator", "eve\u2028" + forged, `eve\u2028` + forged},
		{"next line", "eve\u0085" + forged, `eve\u0085` + forged},
		{"escape", "eve\x1b[2K", "eve\x1b[2K"},
		{"C1 escape", "eve\u009b2K", `eve\u009b2K`},
		{"zero width", "eve\u200b\ufeff\u2060", `eve\u200b\ufeff\u2060`},
		{"tags", "eve\U000e0061\U000e007f", `eve\U000e0061\U000e007f`},
		{"letters that are blank", "eve\u3164\u115f", `eve\u3164\u115f`},
		{"another space", "eve\u00a0x", `eve\u00a0x`},
		{"private and unassigned", "eve\ue000\u0378", `eve\ue000\u0378`},
		{"right to left", "eve\u202etoor", `eve\u202etoor`},
		{"invalid UTF-8", "eve\xff\xc3", "eve\uFFFD\uFFFD"},
		{"NUL", "eve\x00", "eve\x00"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var asJSON, asText bytes.Buffer
			handlers := slog.NewMultiHandler(slog.NewJSONHandler(&asJSON, nil), slog.NewTextHandler(&asText, nil))
			log := New(slog.New(handlers), nil)
			log.LoginDone(context.Background(),
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
			logs := new(observertest.Buffer)
			_, err := logs.Write(asJSON.Bytes())
			require.NoError(t, err)
			lines := logs.Lines(t)
			require.Len(t, lines, 1)
			assert.Equal(t, "bad_request", lines[0]["outcome"])
			for _, field := range []string{"username", "dn", "request_id", "client", "caller", "detail", "cause"} {
				assert.Equal(t, test.want, lines[0][field], field)
			}
		})
	}
}

func TestAudit_TruncatesALongUsername(t *testing.T) {
	t.Parallel()
	log, logs := newTest(slog.LevelInfo)
	log.LoginDone(context.Background(), auth.Credentials{Username: strings.Repeat("x", 16<<10)},
		auth.Result{Outcome: auth.BadRequest})
	lines := logs.Lines(t)
	require.Len(t, lines, 1)
	assert.Equal(t, strings.Repeat("x", 253)+"…", lines[0]["username"])
}

func BenchmarkAudit(b *testing.B) {
	c, fault := observertest.FullLogin()
	ok := auth.Result{Outcome: auth.OK, DN: fault.DN, Phases: fault.Phases}
	for name, r := range map[string]auth.Result{"ok": ok, "fault": fault} {
		b.Run(name, func(b *testing.B) {
			a := New(slog.New(slog.NewJSONHandler(io.Discard, nil)), nil) //nolint:sloglint // the cost of encoding is a part of it
			b.ReportAllocs()
			for b.Loop() {
				a.LoginDone(b.Context(), c, r)
			}
		})
	}
	b.Run("disabled", func(b *testing.B) {
		a := New(slog.New(slog.DiscardHandler), nil)
		b.ReportAllocs()
		for b.Loop() {
			a.LoginDone(b.Context(), c, ok)
		}
	})
}

func login(l *Log, r auth.Result) {
	l.LoginDone(context.Background(), auth.Credentials{Username: "user0"}, r)
}
