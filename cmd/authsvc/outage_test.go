package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/config"
	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"
	"authsvc/ldappool"

	"github.com/stretchr/testify/require"
)

// lineCounter receives a log from slog's handler, which writes one line at a time. It counts the
// audit lines and keeps the others.
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
	l.kept = append(l.kept, fields)
	return len(line), nil
}

// TestAnOutageMakesFewLinesAndLosesNoAuditLine takes the directory away under 100 logins a second,
// on the bubble's clock. The outage lasts an hour with -long, otherwise ten minutes. The sockets
// are real: the clock stands still while connections are open. Without a directory none is open.
func TestAnOutageMakesFewLinesAndLosesNoAuditLine(t *testing.T) {
	t.Parallel()
	lasts := 10 * time.Minute
	if *long {
		lasts = time.Hour
	}
	directory := ldaptest.NewServer(t, nil)
	proxy := ldaptest.NewProxy(t, directory.Addr())
	outside := besides(t)
	synctest.Test(t, func(t *testing.T) {
		lines := new(lineCounter)
		login, usable, end := loginsTo(t, proxy.URL(), lines)
		<-usable
		require.Equal(t, auth.OK, login())
		outside(func() { proxy.StopListening(); proxy.ResetAll() })
		logins := 1
		for began := time.Now(); time.Since(began) < lasts; logins++ {
			require.True(t, login().IsFault())
			time.Sleep(10 * time.Millisecond) // bubble
		}
		outside(proxy.Listen)
		<-usable
		require.Equal(t, auth.OK, login())
		logins++
		end()

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

// besides returns a function that runs code outside the bubble. Goroutines that start in a bubble
// and wait for the network stop its clock.
func besides(t *testing.T) func(do func()) {
	t.Helper()
	asked, done := make(chan func()), make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for do := range asked {
			do()
			done <- struct{}{}
		}
	})
	t.Cleanup(func() {
		close(asked)
		running.Wait()
	})
	return func(do func()) { asked <- do; <-done }
}

// loginsTo returns a login at the directory at url, complete except for HTTP. It also returns a
// channel that reports each time that the directory has become usable, and a function that closes
// the pool.
func loginsTo(t *testing.T, url string, log io.Writer) (login func() auth.Outcome, usable <-chan struct{}, end func()) {
	t.Helper()
	cfg, err := config.Load([]string{
		"LDAP_URL=" + url, "LDAP_BASE_DN=" + ldaptest.PeopleDN, "LDAP_BIND_DN=" + ldaptest.ServiceDN,
		"LDAP_BIND_PASSWORD=" + ldaptest.ServicePassword,
	})
	require.NoError(t, err)
	seen, err := newObservers(cfg, slog.New(slog.NewJSONHandler(log, nil)))
	require.NoError(t, err)
	trace, became := seen.trace, make(chan struct{}, 2)
	told := trace.ServerChanged
	trace.ServerChanged = func(e ldappool.ServerEvent) {
		told(e)
		if e.To == ldappool.ServerUsable {
			became <- struct{}{}
		}
	}
	with, err := poolConfig(cfg, trace)
	require.NoError(t, err)
	pool, err := ldappool.New(with)
	require.NoError(t, err)
	seen.watchPool(pool.Stat)
	how, err := authConfig(cfg, nil)
	require.NoError(t, err)
	authenticator, err := auth.New(how, pool, seen.logins)
	require.NoError(t, err)
	alice := auth.Credentials{Username: ldaptest.Username(1), Password: ldaptest.Password(1)}
	login = func() auth.Outcome { return authenticator.Authenticate(context.Background(), alice).Outcome }
	return login, became, func() { require.NoError(t, pool.Close(context.Background())) }
}
