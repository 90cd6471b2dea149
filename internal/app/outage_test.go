package app

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"
	"authsvc/ldappool/ldappooltest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// lineCounter receives a log from slog's handler, which writes one line at a time. It counts the
// audit lines and keeps those of the observers.
type lineCounter struct {
	audit int
	kept  []map[string]any
}

func (l *lineCounter) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(`"msg":"login"`)) {
		l.audit++
		return len(line), nil
	}
	var fields map[string]any
	if err := json.Unmarshal(line, &fields); err != nil {
		return 0, err
	}
	if fields["msg"] != "starting" && fields["msg"] != deservesALook {
		l.kept = append(l.kept, fields)
	}
	return len(line), nil
}

// TestOutage_LogsFewLinesAndEveryAuditLine takes the directory away under 100 logins a second,
// on the bubble's clock. The outage lasts an hour with -long, otherwise ten minutes. Requests do
// not pass through the listener: a bubble's clock stands still while a goroutine waits for the
// network.
func TestOutage_LogsFewLinesAndEveryAuditLine(t *testing.T) {
	t.Parallel()
	lasts := 10 * time.Minute
	if *long {
		lasts = time.Hour
	}
	synctest.Test(t, func(t *testing.T) {
		directory := ldappooltest.New(
			ldap.NewEntry(ldaptest.PeopleDN, map[string][]string{"ou": {"people"}}),
			ldap.NewEntry(ldaptest.ServiceDN, map[string][]string{"userPassword": {ldaptest.ServicePassword}}),
			ldap.NewEntry(ldaptest.UserDN(1), map[string][]string{"uid": {ldaptest.Username(1)}, "userPassword": {ldaptest.Password(1)}}))
		defer directory.Close()
		lines := new(lineCounter)
		cfg := settings(t, "ldap://directory", "ADMIN_ADDR=")
		a, err := New(t.Context(), cfg, Options{Log: slog.New(slog.NewJSONHandler(lines, nil)), Dial: directory.Dial})
		require.NoError(t, err)
		usable := func() {
			for !a.pool.Stat().Usable {
				time.Sleep(10 * time.Millisecond) // bubble
			}
		}
		body := `{"username":"` + ldaptest.Username(1) + `","password":"` + ldaptest.Password(1) + `"}`
		login := func() (status int) {
			request := httptest.NewRequest(http.MethodPost, "/auth", strings.NewReader(body))
			request.Header.Set("Content-Type", "application/json")
			answer := httptest.NewRecorder()
			a.main.server.Handler.ServeHTTP(answer, request)
			var got struct{ Status *int }
			require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &got))
			return *got.Status
		}
		usable()
		require.Zero(t, login())
		directory.Stop()
		logins := 1
		for began := time.Now(); time.Since(began) < lasts; logins++ {
			require.Contains(t, []int{11, 12, 13, 14}, login(), "a fault")
			time.Sleep(10 * time.Millisecond) // bubble
		}
		directory.Start()
		usable()
		require.Zero(t, login())
		logins++
		require.NoError(t, a.drain())

		require.Equal(t, logins, lines.audit, "audit lines were lost")
		// The changes of state (usable, suspect, down, usable), and one line a minute meanwhile.
		require.LessOrEqual(t, len(lines.kept), 4+int(lasts/time.Minute))
		require.GreaterOrEqual(t, len(lines.kept), int(lasts/time.Minute))
		for _, line := range lines.kept {
			if line["level"] != "WARN" {
				continue
			}
			for _, field := range []string{"server", "operation", "error", "action"} {
				require.NotEmpty(t, line[field], "%s in %v", field, line)
			}
		}
		still := lines.kept[len(lines.kept)-2]
		require.Equal(t, "directory server still down", still["msg"])
		require.Equal(t, "logins get status 11 immediately; probed again within 1 s", still["action"])
		t.Logf("%v of outage, %d logins: %d audit lines, %d lost; %d other lines, such as %v",
			lasts, logins, lines.audit, logins-lines.audit, len(lines.kept), still)
	})
}
