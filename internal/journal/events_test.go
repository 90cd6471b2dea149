package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/logsafe"
	"authsvc/internal/observertest"
	"authsvc/internal/poolevent"
	"authsvc/ldappool"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	suspect = ldappool.ServerSuspect
	usable  = ldappool.ServerUsable
	down    = ldappool.ServerDown
)

var errRefused = errors.New("connection refused")

// change moves a server from one state to another.
func change(tr ldappool.Trace, from, to ldappool.ServerState) {
	e := ldappool.ServerEvent{Server: observertest.ServerA, From: from, To: to}
	if to != usable {
		e.Op, e.Err = opProbe, errRefused
	}
	tr.ServerChanged(e)
}

func probe(tr ldappool.Trace) {
	tr.Dialed(ldappool.DialEvent{Server: observertest.ServerA, Lane: ldappool.SearchLane, Err: errRefused, Probe: true})
}

func TestJournal_LogsAnOutageByItsChangesOfState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, logs := newTest(slog.LevelInfo)
		trace := j.Trace()
		change(trace, suspect, usable)
		change(trace, usable, suspect)
		change(trace, suspect, down)
		for range 120 { // an hour of probes, each half open and down again
			time.Sleep(30 * time.Second) // bubble
			probe(trace)
			change(trace, down, suspect)
			change(trace, suspect, down)
		}
		change(trace, down, suspect)
		change(trace, suspect, usable)
		lines := logs.Lines(t)
		require.Len(t, lines, 3+60+1)
		assert.Equal(t, []map[string]any{
			{"level": "INFO", "msg": "directory server usable", "server": observertest.ServerA},
			{"level": "WARN", "msg": "directory server suspect", "server": observertest.ServerA, "operation": "probe", "error": "connection refused", "action": probedSoon},
			{"level": "WARN", "msg": "directory server down", "server": observertest.ServerA, "operation": "probe", "error": "connection refused", "action": probedSoon},
		}, lines[:3])
		for n, line := range lines[3:63] {
			assert.Equal(t, "directory server still down", line["msg"])
			assert.Equal(t, (time.Duration(n+1) * time.Minute).String(), line["away"])
			assert.Equal(t, map[string]any{"probe": 2.0}, line["failed"], "those since the last line")
		}
		assert.Equal(t, map[string]any{"level": "INFO", "msg": "directory server usable", "server": observertest.ServerA, "away": "1h0m0s"}, lines[63])
	})
}

func TestJournal_LogsAServerThatIsDownFromTheStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, logs := newTest(slog.LevelInfo)
		change(j.Trace(), suspect, down)
		time.Sleep(1500 * time.Millisecond) // bubble
		change(j.Trace(), down, usable)
		assert.Equal(t, []map[string]any{
			{"level": "WARN", "msg": "directory server down", "server": observertest.ServerA, "operation": "probe", "error": "connection refused", "action": probedSoon},
			{"level": "INFO", "msg": "directory server usable", "server": observertest.ServerA, "away": "1.5s"},
		}, logs.Lines(t))
	})
}

func TestJournal_FlappingServerLogsFewLinesAndEndsWithTheTruth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, logs := newTest(slog.LevelInfo)
		trace := j.Trace()
		change(trace, suspect, usable)
		for range 18000 {
			change(trace, usable, down)
			time.Sleep(100 * time.Millisecond) // bubble
			change(trace, down, usable)
			time.Sleep(100 * time.Millisecond) // bubble
		}
		change(trace, usable, down)
		time.Sleep(2 * time.Minute) // bubble
		probe(trace)
		lines := logs.Lines(t)
		assert.LessOrEqual(t, len(lines), logsafe.Burst+62)
		assert.GreaterOrEqual(t, len(lines), 30)
		last := lines[len(lines)-1]
		assert.Contains(t, last["msg"], "down")
		assert.Equal(t, "connection refused", last["error"])
		told := 0.0
		for _, line := range lines {
			suppressed, _ := line["suppressed"].(float64)
			told += suppressed
		}
		assert.Greater(t, told, 17000.0, "what was left out is counted")
	})
}

func TestJournal_NextPingLogsASuppressedLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, logs := newTest(slog.LevelInfo)
		trace := j.Trace()
		ping := func() { trace.Pinged(ldappool.PingEvent{Server: observertest.ServerA, Lane: ldappool.BindLane}) }
		ping() // of a server that no event named before
		change(trace, suspect, usable)
		for range 2 {
			change(trace, usable, down)
			change(trace, down, usable)
		}
		change(trace, usable, down)
		require.Len(t, logs.Lines(t), logsafe.Burst)

		ping()
		require.Empty(t, logs.Lines(t))
		time.Sleep(logsafe.Interval) // bubble
		ping()
		ping()
		assert.Equal(t, []map[string]any{
			{"level": "WARN", "msg": "directory server down", "server": observertest.ServerA, "operation": "probe", "error": "connection refused", "action": probedSoon},
		}, logs.Lines(t))
	})
}

func TestJournal_ReordersChangesThatArriveOutOfOrder(t *testing.T) {
	t.Parallel()
	started := []map[string]any{{"level": "INFO", "msg": "directory server usable", "server": observertest.ServerA}}
	warned := map[string]any{
		"level": "WARN", "msg": "directory server suspect", "server": observertest.ServerA, "operation": "probe", "error": "connection refused", "action": probedSoon,
	}
	tests := []struct {
		name    string
		changes [][2]ldappool.ServerState // after suspect, usable
		lines   []map[string]any
		state   ldappool.ServerState
	}{
		{"in order", [][2]ldappool.ServerState{{usable, suspect}, {suspect, usable}}, []map[string]any{warned, started[0]}, usable},
		{"recovery first", [][2]ldappool.ServerState{{suspect, usable}, {usable, suspect}}, nil, usable},
		{"worse first", [][2]ldappool.ServerState{{suspect, down}, {usable, suspect}}, []map[string]any{{
			"level": "WARN", "msg": "directory server down", "server": observertest.ServerA, "operation": "probe", "error": "connection refused", "action": probedSoon,
		}}, down},
		{"a server made anew", [][2]ldappool.ServerState{{suspect, down}, {down, suspect}}, []map[string]any{warned}, suspect},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				j, logs := newTest(slog.LevelInfo)
				trace := j.Trace()
				change(trace, suspect, usable)
				require.Equal(t, started, logs.Lines(t))
				for _, c := range test.changes {
					change(trace, c[0], c[1])
				}
				assert.Equal(t, test.lines, logs.Lines(t))
				assert.Equal(t, test.state, j.events.servers[observertest.ServerA].state)
				probe(trace)
				assert.Empty(t, logs.Lines(t))
			})
		})
	}
}

func TestJournal_LogsAnImpossibleChangeWithTheNextEvent(t *testing.T) {
	t.Parallel()
	j, logs := newTest(slog.LevelInfo)
	change(j.Trace(), suspect, usable)
	require.Len(t, logs.Lines(t), 1)
	change(j.Trace(), suspect, down) // of a server that was removed and added again
	require.Empty(t, logs.Lines(t))
	probe(j.Trace())
	assert.Equal(t, []map[string]any{
		{"level": "WARN", "msg": "directory server down", "server": observertest.ServerA, "operation": "probe", "error": "connection refused", "action": probedSoon},
	}, logs.Lines(t))
}

func TestJournal_GarbageOnEveryDialLogsFewLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, logs := newTest(slog.LevelInfo)
		trace := j.Trace()
		for range 36000 { // an hour, ten a second
			trace.Retired(ldappool.RetireEvent{
				Server: observertest.ServerA, Lane: ldappool.BindLane, Reason: "protocol", Err: errors.New("not LDAP: \"HTTP/1.1\""),
			})
			time.Sleep(100 * time.Millisecond) // bubble
		}
		lines := logs.Lines(t)
		assert.LessOrEqual(t, len(lines), logsafe.Burst+60)
		told := float64(len(lines))
		for _, line := range lines {
			suppressed, _ := line["suppressed"].(float64)
			told += suppressed
		}
		assert.InDelta(t, 36000, told, 700, "every one is counted, but for those since the last line")
		assert.Equal(t, map[string]any{
			"level": "WARN", "msg": "directory connection retired", "server": observertest.ServerA, "lane": "bind",
			"reason": "protocol", "age": "0s", "idle": "0s", "operation": "receive", "action": connReplaced, "error": "not LDAP: \"HTTP/1.1\"",
		}, lines[0])
	})
}

func TestJournal_LimitsLinesPerServer(t *testing.T) {
	t.Parallel()
	j, logs := newTest(slog.LevelInfo)
	for range 100 {
		j.Trace().Retired(ldappool.RetireEvent{Server: observertest.ServerA, Reason: "notice"})
	}
	require.Len(t, logs.Lines(t), logsafe.Burst)
	j.Trace().Retired(ldappool.RetireEvent{Server: observertest.ServerB, Reason: "notice"})
	j.Trace().Retired(ldappool.RetireEvent{Server: observertest.ServerA, Reason: "protocol"})
	change(j.Trace(), suspect, down)
	assert.Len(t, logs.Lines(t), 3)
}

func TestJournal_SingleFailuresAreDebugLines(t *testing.T) {
	t.Parallel()
	drive := func(tr ldappool.Trace) {
		tr.Dialed(ldappool.DialEvent{Server: observertest.ServerA, Lane: ldappool.BindLane, Took: 3 * time.Second, Err: errRefused, Probe: true})
		tr.Dialed(ldappool.DialEvent{Server: observertest.ServerA, Lane: ldappool.BindLane})
		tr.Pinged(ldappool.PingEvent{Server: observertest.ServerA, Lane: ldappool.SearchLane, Took: time.Second, Idle: time.Minute, Err: errRefused})
		tr.Pinged(ldappool.PingEvent{Server: observertest.ServerA, Lane: ldappool.SearchLane})
		tr.Retired(ldappool.RetireEvent{Server: observertest.ServerA, Lane: ldappool.SearchLane, Reason: "max_idle", Age: time.Hour, Idle: time.Minute})
	}
	j, logs := newTest(slog.LevelInfo)
	drive(j.Trace())
	assert.Empty(t, logs.Lines(t))

	j, logs = newTest(slog.LevelDebug)
	drive(j.Trace())
	assert.Equal(t, []map[string]any{
		{
			"level": "DEBUG", "msg": "directory dial failed", "server": observertest.ServerA, "lane": "bind",
			"took": "3s", "probe": true, "error": "connection refused",
		},
		{
			"level": "DEBUG", "msg": "directory ping failed", "server": observertest.ServerA, "lane": "search",
			"took": "1s", "idle": "1m0s", "error": "connection refused",
		},
		{
			"level": "DEBUG", "msg": "directory connection retired", "server": observertest.ServerA, "lane": "search",
			"reason": "max_idle", "age": "1h0m0s", "idle": "1m0s",
		},
	}, logs.Lines(t))
}

func TestJournal_LogsALimitWhenLearnedAndForgotten(t *testing.T) {
	t.Parallel()
	j, logs := newTest(slog.LevelInfo)
	trace := j.Trace()
	trace.LimitLearned(observertest.ServerA, 2*time.Second, 0)
	trace.LimitLearned(observertest.ServerA, time.Minute, 2*time.Second)
	trace.LimitLearned(observertest.ServerA, 0, time.Minute)
	for range 100 {
		trace.LimitLearned(observertest.ServerA, time.Second, 0)
	}
	lines := logs.Lines(t)
	assert.Equal(t, []map[string]any{
		{"level": "INFO", "msg": "directory connection limit detected", "server": observertest.ServerA, "idle": "2s"},
		{"level": "INFO", "msg": "directory connection limit detected", "server": observertest.ServerA, "idle": "1m0s", "was_idle": "2s"},
		{"level": "INFO", "msg": "directory connection limit discarded", "server": observertest.ServerA, "was_idle": "1m0s"},
	}, lines[:3])
	assert.Len(t, lines, logsafe.Burst)
}

func TestJournal_LogsTheEndOfAReconfiguration(t *testing.T) {
	t.Parallel()
	j, logs := newTest(slog.LevelInfo)
	j.Trace().Reconfigured(40 * time.Millisecond)
	assert.Equal(t, []map[string]any{{"level": "INFO", "msg": "directory connections replaced", "took": "40ms"}}, logs.Lines(t))
}

func TestJournal_LimitsLinesAboutDroppedConnections(t *testing.T) {
	t.Parallel()
	j, logs := newTest(slog.LevelInfo)
	for range 1000 {
		j.ConnectionDropped(4096)
	}
	lines := logs.Lines(t)
	require.Len(t, lines, logsafe.Burst)
	assert.Equal(t, map[string]any{
		"level": "WARN", "msg": "callers' connections at their limit, closing the longest idle ones", "limit": 4096.0, "suppressed": 0.0,
	}, lines[0])
}

func TestJournal_KeepsABoundedNumberOfServers(t *testing.T) {
	t.Parallel()
	j, _ := newTest(slog.LevelInfo)
	for i := range 10 * poolevent.MaxServers {
		j.Trace().ServerChanged(ldappool.ServerEvent{Server: fmt.Sprint(i), To: down})
	}
	assert.Len(t, j.events.servers, poolevent.MaxServers+1)
}
