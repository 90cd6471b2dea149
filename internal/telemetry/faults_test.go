package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/auth"
	"authsvc/ldappool"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFaultsThatAreAlikeAreCountedAndTheLatestComesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tel, _ := newTest(slog.LevelError)
		trace, began := tel.Trace(), time.Now()
		for port := range 1000 {
			trace.Dialed(ldappool.DialEvent{Server: serverA, Err: fmt.Errorf("read tcp 127.0.0.1:%d: reset", 40000+port)})
		}
		time.Sleep(time.Second)
		trace.Dialed(ldappool.DialEvent{Server: serverB, Err: errors.New("read tcp 127.0.0.1:40000: reset")})
		trace.Dialed(ldappool.DialEvent{Server: serverA, Err: errors.New("read tcp 127.0.0.1:40000: refused"), Probe: true})
		time.Sleep(time.Second)
		trace.Pinged(ldappool.PingEvent{Server: serverA, Err: errors.New("no answer")})
		require.Equal(t, []Fault{
			{serverA, "ping", "no answer", 1, began.Add(2 * time.Second), began.Add(2 * time.Second)},
			{serverB, "dial", "read tcp 127.0.0.1:40000: reset", 1, began.Add(time.Second), began.Add(time.Second)},
			{serverA, "probe", "read tcp 127.0.0.1:40000: refused", 1, began.Add(time.Second), began.Add(time.Second)},
			{serverA, "dial", "read tcp 127.0.0.1:40999: reset", 1000, began, began},
		}, tel.Faults())
	})
}

func TestEachKindOfFaultIsKeptAndNothingElse(t *testing.T) {
	t.Parallel()
	lost := &ldappool.OpError{Op: "bind", Server: serverA, Kind: ldappool.ErrConnLost, Err: errors.New("a word with the pass-word in it")}
	gone := &ldappool.OpError{Op: "bind", Server: serverA, Kind: context.Canceled}
	for _, c := range []struct {
		name string
		do   func(*Telemetry, ldappool.Trace)
		want string // what, text
	}{
		{"a login that was a fault", func(tel *Telemetry, _ ldappool.Trace) {
			tel.LoginDone(t.Context(), auth.Credentials{}, auth.Result{Outcome: auth.DirectoryTimeout, Server: serverA, Cause: errors.New("late")})
		}, "directory_timeout late"},
		{"an operation that was lost, without its words", func(_ *Telemetry, tr ldappool.Trace) {
			tr.Operated(t.Context(), ldappool.OperationEvent{Op: "bind", Server: serverA, Err: lost})
		}, "bind " + ldappool.ErrConnLost.Error()},
		{"a notice of disconnection", func(_ *Telemetry, tr ldappool.Trace) {
			tr.Retired(ldappool.RetireEvent{Server: serverA, Reason: ldappool.RetiredNotice, Err: errors.New("bye")})
		}, "notice bye"},
		{"what is no LDAP", func(_ *Telemetry, tr ldappool.Trace) {
			tr.Retired(ldappool.RetireEvent{Server: serverA, Reason: ldappool.RetiredProtocol, Err: errors.New("HTTP")})
		}, "protocol HTTP"},
		{"a refused login is none", func(tel *Telemetry, _ ldappool.Trace) {
			tel.LoginDone(t.Context(), auth.Credentials{}, auth.Result{Outcome: auth.InvalidPassword, Cause: errors.New("49")})
		}, ""},
		{"a caller that left is none", func(_ *Telemetry, tr ldappool.Trace) {
			tr.Operated(t.Context(), ldappool.OperationEvent{Op: "bind", Server: serverA, Err: gone})
			tr.Dialed(ldappool.DialEvent{Server: serverA, Err: context.Canceled})
			tr.Pinged(ldappool.PingEvent{Server: serverA, Err: context.Canceled})
		}, ""},
		{"an idle connection that was cut is none", func(_ *Telemetry, tr ldappool.Trace) {
			tr.Retired(ldappool.RetireEvent{Server: serverA, Reason: ldappool.RetiredPeerClosed, Err: errors.New("EOF")})
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tel, _ := newTest(slog.LevelError)
			c.do(tel, tel.Trace())
			var got []string
			for _, f := range tel.Faults() {
				require.Equal(t, serverA, f.Server)
				got = append(got, f.What+" "+f.Text)
			}
			require.Equal(t, c.want, strings.Join(got, ", "))
		})
	}
}

func TestFaultsAreBoundedInNumberAndLength(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tel, _ := newTest(slog.LevelError)
		for i := range 1000 {
			name := strings.Repeat("x", i%100+1)
			tel.Trace().Dialed(ldappool.DialEvent{Server: serverA, Err: errors.New(name + "\r\n\x1b[31m" + strings.Repeat(" long", 10_000))})
			time.Sleep(time.Second)
		}
		kept := tel.Faults()
		require.Len(t, kept, maxFaults)
		for i, f := range kept {
			require.LessOrEqual(t, len(f.Text), maxFaultText)
			require.NotContains(t, f.Text, "\x1b")
			require.True(t, strings.HasPrefix(f.Text, strings.Repeat("x", 100-i)+"   [31m long"), "those seen longest ago made room")
		}
	})
}

func TestTextsAreAlikeWhereTheyDifferInNumbersAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"", "", true},
		{"a1b22", "a333b4", true},
		{"refused", "refused", true},
		{"waited 1.5s", "waited 12.25s", true},
		{"refused", "reset", false},
		{"a1", "a", false},
		{"a1b", "ab", false},
		{"a1b", "a1c", false},
	} {
		assert.Equal(t, c.want, alike(c.a, c.b), "%q, %q", c.a, c.b)
		assert.Equal(t, c.want, alike(c.b, c.a), "%q, %q", c.b, c.a)
	}
}

func TestCountsAreThoseOfTheMetrics(t *testing.T) {
	t.Parallel()
	tel, _ := newTest(slog.LevelError)
	for range 3 {
		tel.LoginDone(t.Context(), auth.Credentials{}, auth.Result{Outcome: auth.OK, Phases: auth.Phases{Wait: time.Microsecond, Search: time.Millisecond, Bind: 3 * time.Millisecond, Total: 4 * time.Millisecond}})
	}
	tel.LoginDone(t.Context(), auth.Credentials{}, auth.Result{Outcome: auth.DirectoryTimeout, Phases: auth.Phases{Total: time.Minute}})
	tel.LoginDone(t.Context(), auth.Credentials{}, auth.Result{Outcome: auth.TooManyAttempts, Phases: auth.Phases{Total: time.Millisecond}})
	c := tel.Counts()
	require.Len(t, c.Logins, len(auth.Outcomes()))
	require.Equal(t, []uint64{3, 1, 1}, []uint64{c.Logins[auth.OK], c.Logins[auth.DirectoryTimeout], c.Logins[auth.TooManyAttempts]})
	in := func(h Histogram, bucket int) uint64 { return h.Counts[bucket] }
	require.Equal(t, uint64(3), in(c.Login, 4), "2 to 5 ms")
	require.Equal(t, uint64(1), in(c.Login, len(c.Login.Bounds)), "beyond every bound")
	require.Equal(t, uint64(4), c.Login.Total(), "what was not asked of the directory says nothing of its time")
	require.Equal(t, []uint64{3, 3, 3}, []uint64{in(c.Wait, 0), in(c.Search, 2), in(c.Bind, 4)})
}
