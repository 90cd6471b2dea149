package sharedthrottle

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authsvc/internal/ldaptest"
	"authsvc/internal/redistest"
	"authsvc/internal/throttle"

	"github.com/stretchr/testify/require"
)

func at(s *redistest.Server) Server { return Server{Addrs: []string{s.Addr}} }

func TestBudget_IsOneForAllInstances(t *testing.T) {
	t.Parallel()
	all := newInstances(t, 3, usual(), at(redistest.Start(t)), patient)
	for n := range 10 {
		require.NoError(t, all[n%3].try(user, throttle.Failed))
	}
	for _, i := range all {
		r := refusalOf(t, i.try(user, throttle.Failed))
		require.True(t, r.Exhausted)
		require.Equal(t, "10 failures of the account from this client in 5m0s", r.Limit)
		require.InDelta(t, 30, r.RetryAfter.Seconds(), 1)
		require.NoError(t, i.try(other, throttle.Failed))
	}
}

// guess makes wrong attempts on the user by 64 callers at once over all instances. It returns how
// many were allowed, and the longest time until one was allowed or refused.
func guess(t testing.TB, all []*instance, attempts int) (allowed int, longest time.Duration) {
	t.Helper()
	var made, left atomic.Int64
	var most atomic.Int64
	left.Store(int64(attempts))
	var callers sync.WaitGroup
	for caller := range 64 {
		callers.Go(func() {
			for n := left.Add(-1); n >= 0; n = left.Add(-1) {
				i := all[(int(n)+caller)%len(all)]
				began := time.Now()
				r, err := i.Reserve(context.Background(), user, client0)
				took := int64(time.Since(began))
				for known := most.Load(); took > known && !most.CompareAndSwap(known, took); known = most.Load() {
				}
				if err != nil {
					continue
				}
				made.Add(1)
				pause(2 * time.Millisecond) // the bind
				r.Settle(context.Background(), throttle.Failed)
			}
		})
	}
	callers.Wait()
	return int(made.Load()), time.Duration(most.Load())
}

// pause passes time as a directory does.
func pause(d time.Duration) { <-time.After(d) }

func TestGuesses_OverAllInstancesGetExactlyTheBudget(t *testing.T) {
	t.Parallel()
	all := newInstances(t, 3, usual(), at(redistest.Start(t)), patient)
	allowed, longest := guess(t, all, 1000)
	t.Logf("allowed %d, longest wait %v", allowed, longest)
	require.Equal(t, 10, allowed)
}

func TestUndecidedAttempts_OfAnotherInstanceCauseAWait(t *testing.T) {
	t.Parallel()
	limits := usual()
	limits.Failures = 1
	all := newInstances(t, 2, limits, at(redistest.Start(t)), patient)
	first, err := all[0].Reserve(t.Context(), user, client0)
	require.NoError(t, err)
	second := make(chan error, 1)
	go func() { second <- all[1].try(user, throttle.Refunded) }()
	select {
	case err := <-second:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	first.Settle(t.Context(), throttle.Refunded)
	require.NoError(t, <-second)
}

func TestKeys_HoldNoName(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	i := newInstances(t, 1, usual(), at(s), patient)[0]
	require.NoError(t, i.try(throttle.ByEntry("uid=somebody,ou=people,dc=example,dc=org"), throttle.Failed))
	ldaptest.Eventually(t, "the failure is recorded", func() bool { return strings.HasSuffix(s.Run("KEYS", "*"), ":f") })
	t.Log(s.Run("KEYS", "*"), s.Run("ZRANGE", s.Run("KEYS", "*"), "0", "-1", "WITHSCORES"), s.Run("PTTL", s.Run("KEYS", "*")), s.Run("MEMORY", "USAGE", s.Run("KEYS", "*")))
}
