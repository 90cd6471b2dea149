package telemetry

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

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
	e := ldappool.ServerEvent{Server: serverA, From: from, To: to}
	if to != usable {
		e.Op, e.Err = opProbe, errRefused
	}
	tr.ServerChanged(e)
}

func probe(tr ldappool.Trace) {
	tr.Dialed(ldappool.DialEvent{Server: serverA, Lane: ldappool.SearchLane, Err: errRefused, Probe: true})
}

func TestAnOutageIsToldByItsChangesOfState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tel, logs := newTest(slog.LevelInfo)
		trace := tel.Trace()
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
		lines := logs.lines(t)
		require.Len(t, lines, 3+60+1)
		assert.Equal(t, []map[string]any{
			{"level": "INFO", "msg": "directory server usable", "server": serverA},
			{"level": "WARN", "msg": "directory server suspect", "server": serverA, "operation": "probe", "error": "connection refused", "action": againSoon},
			{"level": "WARN", "msg": "directory server down", "server": serverA, "operation": "probe", "error": "connection refused", "action": againSoon},
		}, lines[:3])
		for n, line := range lines[3:63] {
			assert.Equal(t, "directory server still down", line["msg"])
			assert.Equal(t, (time.Duration(n+1) * time.Minute).String(), line["away"])
			assert.Equal(t, map[string]any{"probe": 2.0}, line["failed"], "those since the last line")
		}
		assert.Equal(t, map[string]any{"level": "INFO", "msg": "directory server usable", "server": serverA, "away": "1h0m0s"}, lines[63])
	})
}

func TestAServerThatIsDownFromTheStartIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tel, logs := newTest(slog.LevelInfo)
		change(tel.Trace(), suspect, down)
		time.Sleep(1500 * time.Millisecond) // bubble
		change(tel.Trace(), down, usable)
		assert.Equal(t, []map[string]any{
			{"level": "WARN", "msg": "directory server down", "server": serverA, "operation": "probe", "error": "connection refused", "action": againSoon},
			{"level": "INFO", "msg": "directory server usable", "server": serverA, "away": "1.5s"},
		}, logs.lines(t))
	})
}

func TestAServerThatFlapsForAnHourMakesFewLinesAndTheLastOneIsTrue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tel, logs := newTest(slog.LevelInfo)
		trace := tel.Trace()
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
		lines := logs.lines(t)
		assert.LessOrEqual(t, len(lines), limitBurst+62)
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

func TestASuppressedLineIsMadeUpForByTheNextPing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tel, logs := newTest(slog.LevelInfo)
		trace := tel.Trace()
		ping := func() { trace.Pinged(ldappool.PingEvent{Server: serverA, Lane: ldappool.BindLane}) }
		ping() // of a server that no event named before
		change(trace, suspect, usable)
		for range 2 {
			change(trace, usable, down)
			change(trace, down, usable)
		}
		change(trace, usable, down)
		require.Len(t, logs.lines(t), limitBurst)

		ping()
		require.Empty(t, logs.lines(t))
		time.Sleep(limitInterval) // bubble
		ping()
		ping()
		assert.Equal(t, []map[string]any{
			{"level": "WARN", "msg": "directory server down", "server": serverA, "operation": "probe", "error": "connection refused", "action": againSoon},
		}, logs.lines(t))
	})
}

func TestChangesThatArriveInTheWrongOrderAreTakenInTheRightOne(t *testing.T) {
	t.Parallel()
	started := []map[string]any{{"level": "INFO", "msg": "directory server usable", "server": serverA}}
	warned := map[string]any{
		"level": "WARN", "msg": "directory server suspect", "server": serverA, "operation": "probe", "error": "connection refused", "action": againSoon,
	}
	tests := []struct {
		name    string
		changes [][2]ldappool.ServerState // after suspect, usable
		told    []map[string]any
		state   ldappool.ServerState
	}{
		{"in order", [][2]ldappool.ServerState{{usable, suspect}, {suspect, usable}}, []map[string]any{warned, started[0]}, usable},
		{"recovery first", [][2]ldappool.ServerState{{suspect, usable}, {usable, suspect}}, nil, usable},
		{"worse first", [][2]ldappool.ServerState{{suspect, down}, {usable, suspect}}, []map[string]any{{
			"level": "WARN", "msg": "directory server down", "server": serverA, "operation": "probe", "error": "connection refused", "action": againSoon,
		}}, down},
		{"a server made anew", [][2]ldappool.ServerState{{suspect, down}, {down, suspect}}, []map[string]any{warned}, suspect},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tel, logs := newTest(slog.LevelInfo)
				trace := tel.Trace()
				change(trace, suspect, usable)
				require.Equal(t, started, logs.lines(t))
				for _, c := range test.changes {
					change(trace, c[0], c[1])
				}
				assert.Equal(t, test.told, logs.lines(t))
				assert.Equal(t, test.state, tel.events.servers[serverA].state)
				probe(trace)
				assert.Empty(t, logs.lines(t))
			})
		})
	}
}

func TestAChangeThatFollowsFromNothingIsToldWithTheNextSign(t *testing.T) {
	t.Parallel()
	tel, logs := newTest(slog.LevelInfo)
	change(tel.Trace(), suspect, usable)
	require.Len(t, logs.lines(t), 1)
	change(tel.Trace(), suspect, down) // of a server that was configured anew
	require.Empty(t, logs.lines(t))
	probe(tel.Trace())
	assert.Equal(t, []map[string]any{
		{"level": "WARN", "msg": "directory server down", "server": serverA, "operation": "probe", "error": "connection refused", "action": againSoon},
	}, logs.lines(t))
}

func TestGarbageOnEveryDialMakesABoundedNumberOfLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tel, logs := newTest(slog.LevelInfo)
		trace := tel.Trace()
		for range 36000 { // an hour, ten a second
			trace.Retired(ldappool.RetireEvent{
				Server: serverA, Lane: ldappool.BindLane, Reason: ldappool.RetiredProtocol, Err: errors.New("not LDAP: \"HTTP/1.1\""),
			})
			time.Sleep(100 * time.Millisecond) // bubble
		}
		lines := logs.lines(t)
		assert.LessOrEqual(t, len(lines), limitBurst+60)
		told := float64(len(lines))
		for _, line := range lines {
			suppressed, _ := line["suppressed"].(float64)
			told += suppressed
		}
		assert.InDelta(t, 36000, told, 700, "every one is counted, but for those since the last line")
		assert.Equal(t, map[string]any{
			"level": "WARN", "msg": "directory connection retired", "server": serverA, "lane": "bind",
			"reason": "protocol", "age": "0s", "idle": "0s", "operation": "receive", "action": actionClosed, "error": "not LDAP: \"HTTP/1.1\"",
		}, lines[0])
	})
}

func TestOneServersNoiseDoesNotHideAnothers(t *testing.T) {
	t.Parallel()
	tel, logs := newTest(slog.LevelInfo)
	for range 100 {
		tel.Trace().Retired(ldappool.RetireEvent{Server: serverA, Reason: ldappool.RetiredNotice})
	}
	require.Len(t, logs.lines(t), limitBurst)
	tel.Trace().Retired(ldappool.RetireEvent{Server: serverB, Reason: ldappool.RetiredNotice})
	tel.Trace().Retired(ldappool.RetireEvent{Server: serverA, Reason: ldappool.RetiredProtocol})
	change(tel.Trace(), suspect, down)
	assert.Len(t, logs.lines(t), 3)
}

func TestSingleFailuresAreDebugLines(t *testing.T) {
	t.Parallel()
	drive := func(tr ldappool.Trace) {
		tr.Dialed(ldappool.DialEvent{Server: serverA, Lane: ldappool.BindLane, Took: 3 * time.Second, Err: errRefused, Probe: true})
		tr.Dialed(ldappool.DialEvent{Server: serverA, Lane: ldappool.BindLane})
		tr.Pinged(ldappool.PingEvent{Server: serverA, Lane: ldappool.SearchLane, Took: time.Second, Idle: time.Minute, Err: errRefused})
		tr.Pinged(ldappool.PingEvent{Server: serverA, Lane: ldappool.SearchLane})
		tr.Retired(ldappool.RetireEvent{Server: serverA, Lane: ldappool.SearchLane, Reason: ldappool.RetiredMaxIdle, Age: time.Hour, Idle: time.Minute})
	}
	tel, logs := newTest(slog.LevelInfo)
	drive(tel.Trace())
	assert.Empty(t, logs.lines(t))

	tel, logs = newTest(slog.LevelDebug)
	drive(tel.Trace())
	assert.Equal(t, []map[string]any{
		{
			"level": "DEBUG", "msg": "directory dial failed", "server": serverA, "lane": "bind",
			"took": "3s", "probe": true, "error": "connection refused",
		},
		{
			"level": "DEBUG", "msg": "directory ping failed", "server": serverA, "lane": "search",
			"took": "1s", "idle": "1m0s", "error": "connection refused",
		},
		{
			"level": "DEBUG", "msg": "directory connection retired", "server": serverA, "lane": "search",
			"reason": "max_idle", "age": "1h0m0s", "idle": "1m0s",
		},
	}, logs.lines(t))
}

func TestALimitIsToldWhenItIsLearntAndWhenItIsForgotten(t *testing.T) {
	t.Parallel()
	tel, logs := newTest(slog.LevelInfo)
	trace := tel.Trace()
	trace.LimitLearned(ldappool.LimitEvent{Server: serverA, Idle: 2 * time.Second})
	trace.LimitLearned(ldappool.LimitEvent{Server: serverA, Age: time.Minute, WasIdle: 2 * time.Second})
	trace.LimitLearned(ldappool.LimitEvent{Server: serverA, WasAge: time.Minute})
	for range 100 {
		trace.LimitLearned(ldappool.LimitEvent{Server: serverA, Idle: time.Second})
	}
	lines := logs.lines(t)
	assert.Equal(t, []map[string]any{
		{"level": "INFO", "msg": "directory connection limit learnt", "server": serverA, "idle": "2s"},
		{"level": "INFO", "msg": "directory connection limit learnt", "server": serverA, "age": "1m0s", "was_idle": "2s"},
		{"level": "INFO", "msg": "directory connection limit forgotten", "server": serverA, "was_age": "1m0s"},
	}, lines[:3])
	assert.Len(t, lines, limitBurst)
}

func TestTheEndOfAReconfigurationIsTold(t *testing.T) {
	t.Parallel()
	tel, logs := newTest(slog.LevelInfo)
	tel.Trace().Reconfigured(ldappool.ReconfigureEvent{Took: 40 * time.Millisecond})
	assert.Equal(t, []map[string]any{{"level": "INFO", "msg": "directory connections renewed", "took": "40ms"}}, logs.lines(t))
}

func TestTheLimiterKeepsABoundedNumberOfKeys(t *testing.T) {
	t.Parallel()
	l := newLimiter()
	allowed := 0
	for i := range 10 * limitKeys {
		if _, ok := l.allow(limitKey{server: fmt.Sprint(i)}); ok {
			allowed++
		}
	}
	assert.Len(t, l.buckets, limitKeys+1)
	assert.Equal(t, limitKeys+limitBurst, allowed)
}
