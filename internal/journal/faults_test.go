package journal

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
	"authsvc/internal/logsafe"
	"authsvc/internal/observertest"
	"authsvc/ldappool"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFaults_AlikeOnesAreCountedLatestFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, _ := newTest(slog.LevelError)
		trace, began := j.Trace(), time.Now()
		for port := range 1000 {
			trace.Dialed(ldappool.DialEvent{Server: observertest.ServerA, Err: fmt.Errorf("read tcp 127.0.0.1:%d: reset", 40000+port)})
		}
		time.Sleep(time.Second)
		trace.Dialed(ldappool.DialEvent{Server: observertest.ServerB, Err: errors.New("read tcp 127.0.0.1:40000: reset")})
		trace.Dialed(ldappool.DialEvent{Server: observertest.ServerA, Err: errors.New("read tcp 127.0.0.1:40000: refused"), Probe: true})
		time.Sleep(time.Second)
		trace.Pinged(ldappool.PingEvent{Server: observertest.ServerA, Err: errors.New("no answer")})
		require.Equal(t, []Fault{
			{observertest.ServerA, "ping", "no answer", 1, began.Add(2 * time.Second), began.Add(2 * time.Second)},
			{observertest.ServerB, "dial", "read tcp 127.0.0.1:40000: reset", 1, began.Add(time.Second), began.Add(time.Second)},
			{observertest.ServerA, "probe", "read tcp 127.0.0.1:40000: refused", 1, began.Add(time.Second), began.Add(time.Second)},
			{observertest.ServerA, "dial", "read tcp 127.0.0.1:40999: reset", 1000, began, began},
		}, j.Faults())
	})
}

func TestFaults_KeepEachKindAndNothingElse(t *testing.T) {
	t.Parallel()
	lost := &ldappool.OpError{Op: "bind", Server: observertest.ServerA, Kind: ldappool.ErrConnLost, Err: errors.New("a word with the pass-word in it")}
	gone := &ldappool.OpError{Op: "bind", Server: observertest.ServerA, Kind: context.Canceled}
	for _, c := range []struct {
		name string
		do   func(*Journal, ldappool.Trace)
		want string // what, text
	}{
		{"a login that was a fault", func(j *Journal, _ ldappool.Trace) {
			j.LoginDone(t.Context(), auth.Credentials{}, auth.Result{Outcome: auth.DirectoryTimeout, Server: observertest.ServerA, Cause: errors.New("late")})
		}, "directory_timeout late"},
		{"an operation that was lost, without its words", func(_ *Journal, tr ldappool.Trace) {
			tr.Operated(t.Context(), ldappool.OperationEvent{Op: "bind", Server: observertest.ServerA, Err: lost})
		}, "bind " + ldappool.ErrConnLost.Error()},
		{"a notice of disconnection", func(_ *Journal, tr ldappool.Trace) {
			tr.Retired(ldappool.RetireEvent{Server: observertest.ServerA, Reason: "notice", Err: errors.New("bye")})
		}, "notice bye"},
		{"what is no LDAP", func(_ *Journal, tr ldappool.Trace) {
			tr.Retired(ldappool.RetireEvent{Server: observertest.ServerA, Reason: "protocol", Err: errors.New("HTTP")})
		}, "protocol HTTP"},
		{"a refused login is none", func(j *Journal, _ ldappool.Trace) {
			j.LoginDone(t.Context(), auth.Credentials{}, auth.Result{Outcome: auth.InvalidPassword, Cause: errors.New("49")})
		}, ""},
		{"a caller that left is none", func(_ *Journal, tr ldappool.Trace) {
			tr.Operated(t.Context(), ldappool.OperationEvent{Op: "bind", Server: observertest.ServerA, Err: gone})
			tr.Dialed(ldappool.DialEvent{Server: observertest.ServerA, Err: context.Canceled})
			tr.Pinged(ldappool.PingEvent{Server: observertest.ServerA, Err: context.Canceled})
		}, ""},
		{"an idle connection that was cut is none", func(_ *Journal, tr ldappool.Trace) {
			tr.Retired(ldappool.RetireEvent{Server: observertest.ServerA, Reason: "peer_closed", Err: errors.New("EOF")})
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			j, _ := newTest(slog.LevelError)
			c.do(j, j.Trace())
			var got []string
			for _, f := range j.Faults() {
				require.Equal(t, observertest.ServerA, f.Server)
				got = append(got, f.What+" "+f.Text)
			}
			require.Equal(t, c.want, strings.Join(got, ", "))
		})
	}
}

func TestFaults_AreBoundedInNumberAndLength(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, _ := newTest(slog.LevelError)
		for i := range 1000 {
			name := strings.Repeat("x", i%100+1)
			j.Trace().Dialed(ldappool.DialEvent{Server: observertest.ServerA, Err: errors.New(name + "\r\n\x1b[31m" + strings.Repeat(" long", 10_000))})
			time.Sleep(time.Second)
		}
		kept := j.Faults()
		require.Len(t, kept, maxFaults)
		for i, f := range kept {
			require.LessOrEqual(t, len(f.Text), logsafe.MaxShown)
			require.NotContains(t, f.Text, "\x1b")
			require.True(t, strings.HasPrefix(f.Text, strings.Repeat("x", 100-i)+"   [31m long"), "those seen longest ago made room")
		}
	})
}

func TestFaults_TextsThatDifferOnlyInNumbersAreAlike(t *testing.T) {
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
		assert.Equal(t, c.want, equalExceptNumbers(c.a, c.b), "%q, %q", c.a, c.b)
		assert.Equal(t, c.want, equalExceptNumbers(c.b, c.a), "%q, %q", c.b, c.a)
	}
}
