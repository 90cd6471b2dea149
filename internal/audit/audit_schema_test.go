package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/dialect"
	"authsvc/internal/observertest"
	"authsvc/ldappool"
	"authsvc/ldappool/ldapconn"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// schemaField is a row of docs/audit.md.
type schemaField struct {
	kind   string // string, integer or number
	always bool
}

// schema reads docs/audit.md.
func schema(t *testing.T) map[string]schemaField {
	t.Helper()
	text, err := os.ReadFile("../../docs/audit.md")
	require.NoError(t, err)
	fields := map[string]schemaField{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([a-z]+) \\| ([^|]+) \\| [^|]+ \\|$").FindAllStringSubmatch(string(text), -1) {
		require.NotContains(t, fields, row[1], "described twice")
		fields[row[1]] = schemaField{row[2], row[3] == "always"}
	}
	require.Greater(t, len(fields), 15)
	return fields
}

// kindOf is the type of a value that was read from JSON.
func kindOf(value any) string {
	switch v := value.(type) {
	case string:
		return "string"
	case float64:
		if v == math.Trunc(v) {
			return "integer"
		}
		return "number"
	}
	return fmt.Sprintf("%T", value)
}

// answering is a directory that knows one entry and gives every bind the same result code.
type answering uint16

func (answering) SearchWithFilter(context.Context, *ldap.SearchRequest, ldapconn.Filter) (*ldappool.SearchResult, error) {
	entry := ldap.NewEntry("uid=user0,dc=x", map[string][]string{"uid": {"user0"}})
	return &ldappool.SearchResult{Result: ldappool.Result{Server: observertest.ServerA}, Entries: []*ldap.Entry{entry}}, nil
}

func (code answering) Bind(context.Context, string, string, ...ldappool.Control) (*ldappool.BindResult, error) {
	return &ldappool.BindResult{Result: ldappool.Result{Server: observertest.ServerA, Code: uint16(code)}}, nil
}

// TestAudit_LinesFollowTheDocumentation has logins of every kind end, those too that a real
// Authenticator decides, and holds what is logged against docs/audit.md, both ways.
func TestAudit_LinesFollowTheDocumentation(t *testing.T) {
	t.Parallel()
	log, logs := newTest(slog.LevelInfo)
	logger, tracedLogs := observertest.NewLogger(slog.LevelInfo)
	traced := New(logger, func(context.Context) string { return "4bf92f3577b34da6a3ce929d0e0e4736" })
	caller, fault := observertest.FullLogin()
	caller.Caller = auth.Caller{Name: "shop", By: auth.ByKey}
	caller.Forward = &auth.Forward{Host: "app.example.org", Path: "/a", Required: []auth.Requirement{{"staff", "admins"}, {"all"}}}
	fault.Phases.Throttle = time.Millisecond
	fault.Bind, fault.Notice = auth.BindAnswer{Answered: true, Code: 49, Policy: "accountLocked", SubCode: "775"}, "odd"
	for _, o := range append(auth.Outcomes(), 200) {
		fault.Outcome = o
		log.LoginDone(t.Context(), caller, fault)
		log.LoginDone(t.Context(), auth.Credentials{}, auth.Result{Outcome: o})
		log.LoginDone(t.Context(), auth.Credentials{Username: "user0"}, auth.Result{Outcome: o, Cause: errors.New("cause")})
	}
	for _, code := range []uint16{ldap.LDAPResultSuccess, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultBusy, 4711} {
		a, err := auth.New(auth.Config{BaseDNs: []string{"dc=x"}, Filter: "(uid={username})", Timeout: 1e9}, answering(code), log)
		require.NoError(t, err)
		caller.Username = "user0"
		a.Authenticate(t.Context(), caller)
	}
	traced.LoginDone(t.Context(), caller, fault)
	var refused *observertest.Buffer
	synctest.Test(t, func(t *testing.T) {
		log, refused = newTest(slog.LevelInfo)
		for range refusalBurst + 1 {
			log.LoginDone(t.Context(), auth.Credentials{}, auth.Result{Outcome: auth.CallerRefused})
		}
		time.Sleep(refusalInterval) // bubble
		log.LoginDone(t.Context(), auth.Credentials{}, auth.Result{Outcome: auth.CallerRefused})
	})
	documented, seen := schema(t), map[string]bool{}
	for text := range strings.Lines(logs.String() + tracedLogs.String() + refused.String()) {
		var line map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &line))
		for name, value := range line {
			seen[name] = true
			field, ok := documented[name]
			if assert.True(t, ok, "%s is not in docs/audit.md", name) {
				kind := kindOf(value)
				assert.True(t, kind == field.kind || field.kind == "number" && kind == "integer", "%s is of type %s", name, kind)
			}
		}
		for name, field := range documented {
			if field.always {
				assert.Contains(t, line, name, "is there always")
			}
		}
	}
	for name := range documented {
		assert.True(t, seen[name], "%s is in docs/audit.md and never logged", name)
	}
}

// TestAudit_WarnsOfUnknownSubCodes: a sub-code of AD's that nobody knows is a wrong password, and a
// warning.
func TestAudit_WarnsOfUnknownSubCodes(t *testing.T) {
	t.Parallel()
	log, logs := newTest(slog.LevelInfo)
	ad, err := dialect.Named("ad")
	require.NoError(t, err)
	a, err := auth.New(auth.Config{Dialect: ad, DNTemplate: "{username}@example.org", Timeout: 1e9}, answering(49), log)
	require.NoError(t, err)
	r := a.Authenticate(t.Context(), auth.Credentials{Username: "user0", Password: "pw"})
	require.Equal(t, auth.InvalidPassword, r.Outcome)
	line := logs.Lines(t)[0]
	assert.Equal(t, "WARN", line["level"])
	assert.Equal(t, "AD rejected a bind without a sub-code", line["notice"])
}

func TestAudit_ResultCodeIsThatOfTheDecisiveAnswer(t *testing.T) {
	t.Parallel()
	log, logs := newTest(slog.LevelInfo)
	for _, code := range []uint16{ldap.LDAPResultSuccess, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultBusy} {
		a, err := auth.New(auth.Config{DNTemplate: "uid={username}", Timeout: 1e9}, answering(code), log)
		require.NoError(t, err)
		a.Authenticate(t.Context(), auth.Credentials{Username: "user0", Password: "pw"})
	}
	lines := logs.Lines(t)
	require.Len(t, lines, 3)
	assert.NotContains(t, lines[0], "result_code")
	assert.InDelta(t, 49, lines[1]["result_code"], 0)
	assert.InDelta(t, 51, lines[2]["result_code"], 0)
}

func TestAudit_LimitsTheLinesOfRejectedStrangers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, logs := newTest(slog.LevelInfo)
		stranger := auth.Credentials{Client: "192.0.2.7"}
		flood := func(seconds int) {
			for range seconds {
				for range 300 {
					log.LoginDone(t.Context(), stranger, auth.Result{Outcome: auth.CallerRefused})
					log.LoginDone(t.Context(), stranger, auth.Result{Outcome: auth.BadRequest, Detail: "body: must be one JSON object"})
				}
				time.Sleep(refusalInterval) // bubble
			}
		}
		flood(1)
		assert.Len(t, logs.Lines(t), 2*refusalBurst)
		flood(60)
		lines := logs.Lines(t)
		assert.Len(t, lines, 2*60)
		assert.InDelta(t, 200, lines[0]["suppressed"], 0, "those of the first second")
		assert.InDelta(t, 299, lines[2]["suppressed"], 0)
		// Logins, and known callers' requests, have a line each all the same.
		known := auth.Credentials{Caller: auth.Caller{Name: "shop", By: auth.ByKey}}
		for range 300 {
			log.LoginDone(t.Context(), known, auth.Result{Outcome: auth.BadRequest})
			log.LoginDone(t.Context(), stranger, auth.Result{Outcome: auth.InvalidPassword})
		}
		assert.Len(t, logs.Lines(t), 600)
	})
}
