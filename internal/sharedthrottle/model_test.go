package sharedthrottle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"authsvc/internal/redistest"
	"authsvc/internal/throttle"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// step is one call to a throttle, and what it answered.
type step struct {
	at      time.Time
	account throttle.Account
	client  string
	attempt int // which one it begins or settles
	verdict string
	budgets counts

	// Of reserve:
	begins  bool
	code    code
	limit   string
	seconds time.Duration
}

// verdicts are those of a throttle.
var verdicts = []throttle.Verdict{throttle.Failed, throttle.Failed, throttle.Failed, throttle.Refunded, throttle.Succeeded, throttle.Unanswered}

// record makes random calls to a Memory, on a clock of its own, and records its answers. Nothing
// waits: what would is busy.
func record(t *rapid.T, cfg throttle.Config, names naming) (all []step) {
	memory, err := throttle.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	accounts := []throttle.Account{throttle.AnyAccount, user, other}
	clients := []string{"2001:db8::1", "2001:db8:0:1::1", "192.0.2.1"}
	open := map[int]throttle.Reservation{}
	attempts := 0
	call := func(t *rapid.T) step {
		s := step{
			at: time.Now(), account: rapid.SampledFrom(accounts).Draw(t, "account"), client: rapid.SampledFrom(clients).Draw(t, "client"), attempt: attempts,
		}
		home, budgets := memory.Budgets(s.account, s.client)
		s.budgets = names.counts(home, budgets)
		attempts++
		return s
	}
	begin := func(t *rapid.T) {
		s := call(t)
		s.begins = true
		var refused *throttle.Refusal
		if errors.As(memory.Check(context.Background(), s.account, s.client), &refused) {
			s.code, s.seconds = exhausted, max(refused.RetryAfter, time.Second) // even where a Memory waits for another budget first
		}
		r, err := memory.Reserve(context.Background(), s.account, s.client)
		switch {
		case err == nil:
			open[s.attempt] = r
		case errors.As(err, &refused) && refused.Exhausted:
			s.limit = refused.Limit
		case s.code != exhausted:
			s.code = busy
		}
		all = append(all, s)
	}
	t.Repeat(map[string]func(*rapid.T){
		"begin": begin, "begin another": begin,
		"settle": func(t *rapid.T) {
			if len(open) == 0 {
				return
			}
			var which []int
			for n := range attempts {
				if open[n] != nil {
					which = append(which, n)
				}
			}
			n := rapid.SampledFrom(which).Draw(t, "which")
			v := rapid.SampledFrom(verdicts).Draw(t, "verdict")
			open[n].Settle(context.Background(), v)
			delete(open, n)
			for _, s := range all {
				if s.begins && s.attempt == n {
					all = append(all, step{at: time.Now(), attempt: n, budgets: s.budgets, verdict: verdictOf(v)})
					break
				}
			}
		},
		"count": func(t *rapid.T) {
			s := call(t)
			memory.Count(context.Background(), s.account, s.client)
			s.verdict = counted
			all = append(all, s)
		},
		"wait": func(t *rapid.T) { time.Sleep(time.Duration(rapid.IntRange(0, 5000).Draw(t, "ms")) * time.Millisecond) },
	})
	return all
}

// TestModel_ScriptsAgreeWithMemory: the scripts are run by a real server, but for one line of each:
// the clock is the test's.
func TestModel_ScriptsAgreeWithMemory(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	client := redis.NewClient(&redis.Options{Addr: s.Addr, Protocol: 2, DisableIdentity: true, ReadTimeout: time.Minute})
	defer client.Close()
	clocked := func(source string) *redis.Script {
		const clock = "local time = redis.call('TIME')"
		require.Equal(t, 1, strings.Count(source, clock))
		return redis.NewScript(strings.Replace(source, clock, "local time = {table.remove(ARGV, 1), table.remove(ARGV, 1)}", 1))
	}
	reserve, settle := clocked(reserveSource), clocked(settleSource)
	round := 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		names, err := newNaming(fmt.Sprint("model", round), "")
		if err != nil {
			t.Fatal(err)
		}
		failures := rapid.IntRange(1, 4).Draw(t, "failures")
		cfg := throttle.Config{
			Failures: failures, AccountFailures: failures + rapid.IntRange(0, 3).Draw(t, "more"),
			ClientFailures: rapid.IntRange(1, 4).Draw(t, "of a client"), Window: 420 * time.Second,
		}
		var steps []step
		rapid.SyncTest(t, func(t *rapid.T) { steps = record(t, cfg, names) })
		for i, s := range steps {
			args := []any{s.at.Unix(), s.at.Nanosecond() / 1000}
			if !s.begins {
				args = append(args, s.budgets.settleArgs(fmt.Sprint(s.attempt), s.verdict)...)
				if err := settle.Run(context.Background(), client, s.budgets.keys, args...).Err(); err != nil {
					t.Fatal(err)
				}
				continue
			}
			const never = int64(1) << 50
			args = append(args, s.budgets.reserveArgs(fmt.Sprint(s.attempt), never, never/2, never/2)...)
			reply, err := reserve.Run(context.Background(), client, s.budgets.keys, args...).Result()
			if err != nil {
				t.Fatal(err)
			}
			got, err := parseAnswer(reply, len(s.budgets.budgets))
			if err != nil {
				t.Fatal(err)
			}
			limit, left := "", time.Duration(0)
			if got.code == exhausted {
				left = time.Duration(got.left) * time.Microsecond
				refused := s.budgets.budgets[got.budget].Refuse(left, true)
				limit, left = refused.Limit, refused.RetryAfter
			}
			if got.code != s.code || s.limit != "" && limit != s.limit || left != s.seconds {
				t.Fatalf("step %d: the script says %d, %q, %v; Memory %d, %q, %v", i, got.code, limit, left, s.code, s.limit, s.seconds)
			}
		}
	})
}
