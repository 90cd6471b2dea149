package throttle_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/throttle"

	"github.com/stretchr/testify/require"
)

var (
	user  = throttle.ByName("user")
	other = throttle.ByName("other")
)

func TestBudget_FailureBeyondTheLimitIsRejected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, usual())
		for range 10 {
			require.NoError(t, m.Check(t.Context(), user, "a"))
			require.NoError(t, try(m, user, "a", throttle.Failed))
		}
		r := refusal(t, try(m, user, "a", throttle.Failed))
		require.Equal(t, &throttle.Refusal{RetryAfter: 30 * time.Second, Exhausted: true, Limit: "10 failures of the account from this client in 5m0s"}, r)
		require.Equal(t, r, refusal(t, m.Check(t.Context(), user, "a")))
		require.NoError(t, try(m, user, "b", throttle.Failed), "another client")
		require.NoError(t, try(m, other, "a", throttle.Failed), "another account")

		time.Sleep(30*time.Second - 1)
		require.Error(t, try(m, user, "a", throttle.Failed))
		time.Sleep(time.Nanosecond)
		require.NoError(t, try(m, user, "a", throttle.Failed), "given back evenly")
		require.Error(t, try(m, user, "a", throttle.Failed))
		time.Sleep(5 * time.Minute)
		for range 10 {
			require.NoError(t, try(m, user, "a", throttle.Failed), "the window is over")
		}
		require.Error(t, try(m, user, "a", throttle.Failed))
	})
}

func TestBudget_OfAnAccountSpansAllClients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, usual())
		for i := range 100 {
			require.NoError(t, try(m, user, fmt.Sprint(i), throttle.Failed))
		}
		require.Equal(t, &throttle.Refusal{RetryAfter: 3 * time.Second, Exhausted: true, Limit: "100 failures of the account in 5m0s"},
			refusal(t, try(m, user, "new", throttle.Failed)))
		require.NoError(t, try(m, other, "new", throttle.Failed))
	})
}

func TestBudget_RefundsOtherOutcomes(t *testing.T) {
	t.Parallel()
	m := newMemory(t, throttle.Config{Failures: 1, AccountFailures: 1, Window: time.Hour})
	for range 100 {
		require.NoError(t, try(m, user, "a", throttle.Refunded))
		require.NoError(t, try(m, user, "a", throttle.Succeeded))
	}
	require.Zero(t, m.Stat().Entries, "and nothing is kept of it")
}

func TestBudget_SuccessClearsTheClientsCountAndKeepsTheAccounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := usual()
		cfg.AccountFailures = 15
		m := newMemory(t, cfg)
		for range 9 {
			require.NoError(t, try(m, user, "a", throttle.Failed))
		}
		require.NoError(t, try(m, user, "b", throttle.Failed))
		require.NoError(t, try(m, user, "a", throttle.Succeeded))
		for range 5 {
			require.NoError(t, try(m, user, "a", throttle.Failed))
		}
		require.Contains(t, refusal(t, try(m, user, "a", throttle.Failed)).Limit, "15 failures of the account in")
	})
}

func TestBudget_ZeroDisablesALimit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg  throttle.Config
		want int // failures until one is refused
	}{
		"of the client":  {throttle.Config{AccountFailures: 20, Window: time.Hour}, 20},
		"of the account": {throttle.Config{Failures: 7, Window: time.Hour}, 7},
		"of both":        {throttle.Config{Window: time.Hour}, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMemory(t, c.cfg)
			n := 0
			for n < 1000 && try(m, user, "a", throttle.Failed) == nil {
				n++
			}
			require.Equal(t, c.want, n)
		})
	}
}

// crowd makes n attempts at once, each of which takes the directory 10 ms, and returns how many
// were made.
func crowd(t *testing.T, m *throttle.Memory, n int, v throttle.Verdict) (made, most int64) {
	t.Helper()
	return crowdFrom(t, m, n, "a", v, 10*time.Millisecond)
}

// crowdFrom makes n attempts of one client at once, each of which takes the directory so long. It
// returns how many were made, and the most at one time.
func crowdFrom(t *testing.T, m *throttle.Memory, n int, client string, v throttle.Verdict, takes time.Duration) (made, most int64) {
	t.Helper()
	var now atomic.Int64
	var mu sync.Mutex
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			r, err := m.Reserve(t.Context(), user, client)
			if err != nil {
				return
			}
			mu.Lock()
			made++
			most = max(most, now.Add(1))
			mu.Unlock()
			time.Sleep(takes)
			now.Add(-1)
			r.Settle(t.Context(), v)
		})
	}
	all.Wait()
	return made, most
}

func TestBudget_ConcurrentAttemptsStayWithinIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, usual())
		made, most := crowd(t, m, 50, throttle.Succeeded)
		require.EqualValues(t, 50, made, "right passwords all get through")
		require.EqualValues(t, 10, most, "ten at a time")
		made, _ = crowd(t, m, 1000, throttle.Refunded)
		require.EqualValues(t, 1000, made, "so do faults")
		require.Zero(t, kept(m))

		began := time.Now()
		made, _ = crowd(t, m, 1000, throttle.Failed)
		require.EqualValues(t, 10, made, "wrong ones do not")
		require.Equal(t, 10*time.Millisecond, time.Since(began), "and those that wait are told as soon as it is known")
		require.Equal(t, throttle.Stat{Entries: 2}, kept(m))
	})
}

func TestQueue_LongWaitIsRejected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, throttle.Config{Failures: 1, AccountFailures: 2, Window: time.Hour, MaxWait: 2 * time.Second})
		first, err := m.Reserve(t.Context(), user, "a")
		require.NoError(t, err)
		_, err = m.Reserve(t.Context(), user, "b")
		require.NoError(t, err)
		for _, client := range []string{"a", "c"} { // for a client's budget, and for an account's
			began := time.Now()
			r := refusal(t, try(m, user, client, throttle.Failed))
			require.False(t, r.Exhausted)
			require.Equal(t, time.Second, r.RetryAfter)
			require.Equal(t, 2*time.Second, time.Since(began))
			require.ErrorContains(t, r, "attempts in progress hold the whole budget")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err = m.Reserve(ctx, user, "a")
		require.Error(t, err)
		require.Equal(t, time.Second, time.Since(began), "no longer than the login itself may take")
		require.Equal(t, throttle.Stat{Entries: 3}, kept(m), "nobody is left behind")

		first.Settle(t.Context(), throttle.Refunded)
		for range 3 {
			first.Settle(t.Context(), throttle.Failed)
		}
		require.NoError(t, try(m, user, "a", throttle.Failed), "to settle again did nothing")
	})
}

// TestBudget_RejectedAttemptRefundsWhatItHolds: the part of the client's budget that it holds comes
// back.
func TestBudget_RejectedAttemptRefundsWhatItHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, throttle.Config{Failures: 1, AccountFailures: 1, Window: time.Hour, MaxWait: time.Minute})
		first, err := m.Reserve(t.Context(), user, "a")
		require.NoError(t, err)
		var all sync.WaitGroup
		for i := range 30 { // they wait for the client's budget, some of them holding it and waiting for the account's
			all.Go(func() {
				r := refusal(t, try(m, user, fmt.Sprint(i%3), throttle.Failed))
				require.True(t, r.Exhausted)
			})
		}
		synctest.Wait()
		require.Equal(t, 30, m.Stat().Waiting)
		first.Settle(t.Context(), throttle.Failed)
		all.Wait()
		require.Equal(t, throttle.Stat{Entries: 2}, kept(m))
		time.Sleep(time.Hour)
		require.NoError(t, try(m, user, "0", throttle.Refunded))
		require.Zero(t, kept(m))
	})
}

func TestBudget_OtherAccountsLeaveAnExhaustedOneExhausted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := usual()
		cfg.Entries = 1024
		m := newMemory(t, cfg)
		for range 10 {
			require.NoError(t, try(m, user, "a", throttle.Failed))
		}
		tries := 0
		for i := range 100_000 {
			if try(m, throttle.ByName(fmt.Sprint("u", i)), "a", throttle.Failed) == nil {
				tries++
			}
			if i%1000 == 0 {
				require.Error(t, try(m, user, "a", throttle.Failed))
			}
		}
		s := m.Stat()
		t.Logf("%d other names, %d of them tried: %+v", 100_000, tries, s)
		require.LessOrEqual(t, s.Entries, 1024)
		require.Positive(t, s.Forgotten)
		require.Less(t, tries, 100_000, "a flood that the table cannot hold slows itself down")
		require.Greater(t, tries, 4096, "but not before the table is full of what owes much")
		require.Error(t, try(m, user, "a", throttle.Failed))
		time.Sleep(5 * time.Minute)
		require.NoError(t, try(m, throttle.ByName("new"), "a", throttle.Refunded))
	})
}

func TestQueue_IsServedInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, throttle.Config{Failures: 1, Window: 10 * time.Second, MaxWait: time.Minute})
		first, err := m.Reserve(t.Context(), user, "a")
		require.NoError(t, err)
		order := make(chan int, 10)
		for i := range 5 {
			go func() {
				if try(m, user, "a", throttle.Refunded) == nil {
					order <- i
				}
			}()
			synctest.Wait()
		}
		first.Settle(t.Context(), throttle.Refunded)
		for i := range 5 {
			require.Equal(t, i, <-order)
		}
	})
}

func TestMemory_SuccessInAFloodTakesNoRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := usual()
		cfg.Entries = 64
		m := newMemory(t, cfg)
		for i := range 1000 {
			_ = try(m, throttle.ByName(fmt.Sprint(i)), "a", throttle.Failed)
		}
		full := kept(m)
		for i := range 1000 {
			_ = try(m, throttle.ByName(fmt.Sprint("right", i)), "a", throttle.Succeeded)
		}
		require.Equal(t, full, kept(m))
	})
}

func TestNewMemory_RejectsInvalidLimits(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]throttle.Config{
		"a negative limit":           {Failures: -1, Window: time.Hour},
		"a negative account's limit": {AccountFailures: -1, Window: time.Hour},
		"a negative client's limit":  {ClientFailures: -1, Window: time.Hour},
		"no window":                  {Failures: 1},
		"a negative wait":            {Failures: 1, Window: time.Hour, MaxWait: -1},
		"too few entries":            {Failures: 1, Window: time.Hour, Entries: 63},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := throttle.New(cfg)
			require.Error(t, err)
		})
	}
}

func TestClient_HasABudgetOverAllAccounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := usual()
		cfg.ClientFailures = 20
		m := newMemory(t, cfg)
		spray := func(v throttle.Verdict) error { return try(m, throttle.AnyAccount, "a", v) }
		for range 100 {
			require.NoError(t, spray(throttle.Refunded))
			require.NoError(t, spray(throttle.Unanswered))
		}
		require.Zero(t, kept(m), "nothing is kept of what is given back")
		for range 20 {
			require.NoError(t, m.Check(t.Context(), throttle.AnyAccount, "a"))
			require.NoError(t, spray(throttle.Succeeded))
			require.NoError(t, spray(throttle.Failed))
		}
		r := refusal(t, spray(throttle.Failed))
		require.Equal(t, &throttle.Refusal{RetryAfter: 15 * time.Second, Exhausted: true, Limit: "20 failures of this client in 5m0s"}, r)
		require.Equal(t, r, refusal(t, m.Check(t.Context(), throttle.AnyAccount, "a")))
		require.NoError(t, try(m, throttle.AnyAccount, "b", throttle.Failed), "another client")
		require.NoError(t, try(m, user, "a", throttle.Failed), "an account has limits of its own")
		var want throttle.Stat
		want.Refused[throttle.ClientLimit] = 2
		require.Equal(t, want.Refused, m.Stat().Refused)

		time.Sleep(15 * time.Second)
		require.NoError(t, spray(throttle.Failed), "given back evenly")
		require.Error(t, spray(throttle.Failed))
	})
}

func TestClient_HasNoBudgetOverAllAccountsByDefault(t *testing.T) {
	t.Parallel()
	m := newMemory(t, usual())
	for range 1000 {
		require.NoError(t, m.Check(t.Context(), throttle.AnyAccount, "a"))
		require.NoError(t, try(m, throttle.AnyAccount, "a", throttle.Failed))
	}
	require.Zero(t, m.Stat())
}

// TestClient_NetworksOfOneSiteShareABudget: 65,536 networks of one /48 do not have as many budgets.
func TestClient_NetworksOfOneSiteShareABudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, throttle.Config{ClientFailures: 5, Window: 5 * time.Minute})
		made := 0
		for i := range 1000 {
			if try(m, throttle.AnyAccount, fmt.Sprintf("2001:db8:1:%x::1", i), throttle.Failed) == nil {
				made++
			}
		}
		require.Equal(t, 50, made)
		r := refusal(t, try(m, throttle.AnyAccount, "2001:db8:1:ffff::1", throttle.Failed))
		require.Equal(t, "50 failures of this client's IPv6 /48 in 5m0s", r.Limit)
		require.NoError(t, try(m, throttle.AnyAccount, "2001:db8:2::1", throttle.Failed), "another site")
		for i := range 100 { // IPv4 has no sites, in whatever IPv6 it comes
			require.NoError(t, try(m, throttle.AnyAccount, fmt.Sprintf("192.0.2.%d", i), throttle.Failed))
			require.NoError(t, try(m, throttle.AnyAccount, fmt.Sprintf("64:ff9b::198.51.100.%d", i), throttle.Failed))
		}
	})
}

// TestClient_StaysExhaustedInAFloodOfAccounts: a client that tries one password on very many
// accounts fills the table with them, and is not forgotten itself.
func TestClient_StaysExhaustedInAFloodOfAccounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := usual()
		cfg.Entries, cfg.ClientFailures = 64, 50
		m := newMemory(t, cfg)
		made := 0
		for i := range 10_000 {
			if try(m, throttle.AnyAccount, "a", throttle.Failed) != nil {
				continue
			}
			made++
			_ = try(m, throttle.ByName(fmt.Sprint("u", i)), "a", throttle.Failed)
			for j := range 20 { // from other addresses, meanwhile
				_ = try(m, throttle.ByName(fmt.Sprint("v", i, j)), fmt.Sprint(j), throttle.Failed)
			}
		}
		require.Positive(t, m.Stat().Forgotten)
		require.LessOrEqual(t, made, 50)
	})
}

func TestUnanswered_AttemptsAreMadeOneAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, usual())
		slow := func(n int, client string, v throttle.Verdict) (made, most int64) {
			return crowdFrom(t, m, n, client, v, 900*time.Millisecond)
		}
		made, most := slow(50, "a", throttle.Unanswered)
		require.EqualValues(t, 10, most)
		require.EqualValues(t, 12, made, "ten at once, then one at a time for the two seconds that the others wait")
		for range 20 {
			require.NoError(t, m.Check(t.Context(), user, "a"), "nobody is refused for it")
			require.NoError(t, try(m, user, "a", throttle.Unanswered))
		}
		made, most = slow(50, "b", throttle.Refunded)
		require.EqualValues(t, 10, most, "another client")
		require.EqualValues(t, 30, made)

		time.Sleep(time.Minute)
		_, most = slow(10, "a", throttle.Refunded)
		require.EqualValues(t, 2, most, "given back evenly, as failures are")
		require.NoError(t, try(m, user, "a", throttle.Succeeded))
		_, most = slow(10, "a", throttle.Refunded)
		require.EqualValues(t, 10, most, "a success sets the directory's own count to zero")

		for range 10 {
			require.NoError(t, try(m, user, "a", throttle.Unanswered))
			require.NoError(t, try(m, user, "a", throttle.Failed), "it takes nothing from the failures that are allowed")
		}
		require.True(t, refusal(t, try(m, user, "a", throttle.Failed)).Exhausted)
	})
}

func TestUnanswered_AttemptsAreLimitedOverAllClients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, usual())
		for i := range 100 {
			require.NoError(t, try(m, user, fmt.Sprint(i), throttle.Unanswered))
		}
		first, err := m.Reserve(t.Context(), user, "new")
		require.NoError(t, err)
		r := refusal(t, try(m, user, "newer", throttle.Failed))
		require.Equal(t, "100 failures of the account in 5m0s", r.Limit)
		require.False(t, r.Exhausted)
		first.Settle(t.Context(), throttle.Succeeded)
		made, most := crowdFrom(t, m, 10, "newer", throttle.Refunded, time.Millisecond)
		require.EqualValues(t, 10, made)
		require.EqualValues(t, 10, most)
	})
}
