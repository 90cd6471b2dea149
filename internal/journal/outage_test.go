package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/logsafe"
	"authsvc/internal/observertest"
	"authsvc/ldappool"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// failedProbe has a probe of observertest.ServerA fail.
func failedProbe(tr ldappool.Trace, err error) {
	tr.Dialed(ldappool.DialEvent{Server: observertest.ServerA, Lane: ldappool.SearchLane, Err: err, Probe: true})
}

// summaries returns message, error and action of each line.
func summaries(lines []map[string]any) (all []string) {
	for _, line := range lines {
		all = append(all, fmt.Sprintf("%v %v: %v (%v)", line["level"], line["msg"], line["error"], line["action"]))
	}
	return all
}

func TestOutage_NewCauseIsLoggedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, logs := newTest(slog.LevelInfo)
		trace := j.Trace()
		change(trace, suspect, down)
		require.Len(t, logs.Lines(t), 1)
		time.Sleep(time.Second) // bubble
		failedProbe(trace, errRefused)
		failedProbe(trace, context.Canceled) // it was put off
		require.Empty(t, logs.Lines(t))
		failedProbe(trace, fmt.Errorf("service bind: %w", ldappool.ErrServiceRefused))
		assert.Equal(t, []map[string]any{{
			"level": "WARN", "msg": "directory server still down", "cause_changed": true, "server": observertest.ServerA, "operation": "probe",
			"error": "service bind: ldappool: service identity refused", "action": bindRetried,
			"since": "2000-01-01T00:00:00Z", "away": "1s", "failed": map[string]any{"probe": 3.0},
		}}, logs.Lines(t))
		failedProbe(trace, fmt.Errorf("service bind: %w", ldappool.ErrServiceRefused))
		assert.Empty(t, logs.Lines(t))
	})
}

func TestOutage_AnotherPortInTheErrorIsTheSameCause(t *testing.T) {
	t.Parallel()
	j, logs := newTest(slog.LevelInfo)
	change(j.Trace(), suspect, down)
	failedProbe(j.Trace(), errors.New("read 127.0.0.1:40001->127.0.0.1:389: reset"))
	require.Len(t, logs.Lines(t), 2)
	failedProbe(j.Trace(), errors.New("read 127.0.0.1:51234->127.0.0.1:389: reset"))
	assert.Empty(t, logs.Lines(t))
}

func TestOutage_ChangingCauseLogsFewLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, logs := newTest(slog.LevelInfo)
		change(j.Trace(), suspect, down)
		for n := range 3600 {
			time.Sleep(time.Second) // bubble
			failedProbe(j.Trace(), []error{errRefused, errors.New("EOF")}[n%2])
		}
		lines := logs.Lines(t)
		assert.LessOrEqual(t, len(lines), 1+logsafe.Burst+60)
		assert.GreaterOrEqual(t, len(lines), 60)
	})
}

func TestOutage_SuspectServerLogsANewCauseUnlessItsNextStateDoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, logs := newTest(slog.LevelInfo)
		trace := j.Trace()
		change(trace, suspect, usable)
		trace.ServerChanged(ldappool.ServerEvent{Server: observertest.ServerA, From: usable, To: suspect, Op: "search", Err: errors.New("timeout")})
		failedProbe(trace, errRefused)
		change(trace, suspect, down)
		assert.Equal(t, []string{
			"INFO directory server usable: <nil> (<nil>)",
			"WARN directory server suspect: timeout (" + probedSoon + ")",
			"WARN directory server down: connection refused (" + probedSoon + ")",
		}, summaries(logs.Lines(t)))

		change(trace, down, usable)
		trace.ServerChanged(ldappool.ServerEvent{Server: observertest.ServerA, From: usable, To: suspect, Op: "search", Err: errors.New("timeout")})
		failedProbe(trace, errRefused)
		require.Len(t, logs.Lines(t), 2)
		trace.Pinged(ldappool.PingEvent{Server: observertest.ServerA}) // it has connections that work, and stays in doubt
		lines := logs.Lines(t)
		assert.Equal(t, []string{"WARN directory server still suspect: connection refused (" + probedSoon + ")"}, summaries(lines))
		assert.Equal(t, true, lines[0]["cause_changed"])
	})
}

func TestOutage_CountsFailuresByOperation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, logs := newTest(slog.LevelInfo)
		trace := j.Trace()
		trace.Operated(t.Context(), ldappool.OperationEvent{Server: observertest.ServerA, Op: "bind", Err: errRefused})
		change(trace, suspect, down)
		for op, n := range map[string]int{"search": 3, "bind": 2} {
			for range n {
				trace.Operated(t.Context(), ldappool.OperationEvent{Server: observertest.ServerA, Op: op, Err: errors.New("lost")})
			}
		}
		trace.Operated(t.Context(), ldappool.OperationEvent{Server: observertest.ServerA, Op: "bind"})
		trace.Pinged(ldappool.PingEvent{Server: observertest.ServerA, Err: errors.New("lost")})
		trace.Dialed(ldappool.DialEvent{Server: observertest.ServerA, Err: errRefused})
		require.Len(t, logs.Lines(t), 1, "single failures have no line")
		time.Sleep(reminderInterval) // bubble
		probe(trace)
		lines := logs.Lines(t)
		require.Len(t, lines, 1)
		assert.Equal(t, map[string]any{"probe": 1.0, "dial": 1.0, "ping": 1.0, "search": 3.0, "bind": 2.0}, lines[0]["failed"])
	})
}

func TestOutage_ActionSaysWhatHappensToLogins(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		others []ldappool.ServerStat
		event  ldappool.ServerEvent
		want   string
	}{
		{"no other server", nil, ldappool.ServerEvent{To: down, Op: "probe", Err: errRefused}, loginsRefused + "; " + probedSoon},
		{"another server", []ldappool.ServerStat{{URL: observertest.ServerB, State: usable}},
			ldappool.ServerEvent{To: down, Op: "probe", Err: errRefused}, loginsElsewhere + "; " + probedSoon},
		{"another that is down too", []ldappool.ServerStat{{URL: observertest.ServerB, State: down}},
			ldappool.ServerEvent{To: down, Op: "probe", Err: errRefused}, loginsRefused + "; " + probedSoon},
		{"operations failed", []ldappool.ServerStat{{URL: observertest.ServerB, State: usable}},
			ldappool.ServerEvent{To: down, Op: "bind", Err: errors.New("busy")}, loginsElsewhere + "; " + probedRarely},
		{"a password refused", nil, ldappool.ServerEvent{To: down, Op: "probe", Err: ldappool.ErrServiceRefused},
			loginsRefused + "; " + bindRetried},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			j, logs := newTest(slog.LevelInfo)
			j.WatchPool(func() *ldappool.Stat {
				return &ldappool.Stat{Servers: append([]ldappool.ServerStat{{URL: observertest.ServerA, State: down}}, test.others...)}
			})
			test.event.Server = observertest.ServerA
			j.Trace().ServerChanged(test.event)
			assert.Equal(t, test.want, logs.Lines(t)[0]["action"])
		})
	}
}

func TestLookup_FailureAndRecoveryAreLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, logs := newTest(slog.LevelInfo)
		trace := j.Trace()
		const domain = "ldap+srv://example.org"
		found := func() { trace.LookedUp(domain, 2, nil) }
		lost := func() { trace.LookedUp(domain, 2, errors.New("SERVFAIL")) }
		found()
		require.Empty(t, logs.Lines(t))
		for range 100 {
			lost()
			time.Sleep(30 * time.Second) // bubble
		}
		found()
		found()
		assert.Equal(t, []map[string]any{
			{
				"level": "WARN", "msg": "DNS lookup of directory servers failed", "server": domain, "known": 2.0,
				"operation": "lookup", "error": "SERVFAIL", "action": lookupRetried,
			},
			{"level": "INFO", "msg": "DNS lookup of directory servers succeeded again", "server": domain, "known": 2.0, "away": "50m0s"},
		}, logs.Lines(t))

		for range 1000 { // and where it comes and goes
			lost()
			found()
		}
		lost()
		require.LessOrEqual(t, len(logs.Lines(t)), logsafe.Burst)
		time.Sleep(2 * logsafe.Interval) // bubble
		found()
		lost()
		lines := logs.Lines(t)
		require.NotEmpty(t, lines)
		assert.Equal(t, "DNS lookup of directory servers failed", lines[len(lines)-1]["msg"], "the last line is true")
	})
}
