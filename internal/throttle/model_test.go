package throttle_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/throttle"

	"pgregory.net/rapid"
)

// model is a simple throttle: a leaky bucket per key, in units of failures, that forgets nothing.
type model struct {
	cfg     throttle.Config
	buckets map[string]*modelBucket
	tries   []*modelAttempt
}

// modelBucket is a bucket: how full it was, and when.
type modelBucket struct {
	limit     int
	ofAccount bool // its attempts may stay unanswered
	cost      time.Duration
	level     time.Duration // of failures, in time that it takes to leak
	at        time.Time
	open      time.Duration // the same of what was not answered
	openAt    time.Time
	granted   int       // undecided
	settled   time.Time // the last time that an attempt of it was settled
}

func (b *modelBucket) levelAt(now time.Time) time.Duration { return max(0, b.level-now.Sub(b.at)) }

func (b *modelBucket) unansweredAt(now time.Time) time.Duration {
	return max(0, b.open-now.Sub(b.openAt))
}

func (b *modelBucket) budget() time.Duration { return time.Duration(b.limit) * b.cost }

// full: one attempt at a time is let in whatever was not answered.
func (b *modelBucket) full(now time.Time) bool {
	owed := b.levelAt(now) + time.Duration(b.granted+1)*b.cost
	return owed > b.budget() || b.granted > 0 && owed+b.unansweredAt(now) > b.budget()
}

func (b *modelBucket) exhausted(now time.Time) bool {
	return b.levelAt(now)+b.cost > b.budget()
}

// modelAttempt is an attempt: what is known of it from outside.
type modelAttempt struct {
	account         string
	client          string
	began           time.Time
	result          chan result
	reservation     throttle.Reservation
	err             error
	waiting, undone bool
}

type result struct {
	r   throttle.Reservation
	err error
}

// anyAccount is how the model names throttle.AnyAccount.
const anyAccount = "any"

// clientOf is the address of the model's client i: 1 and 2 are networks of one site, 3 is of IPv4.
func clientOf(i int) string {
	return []string{"2001:db8::1", "2001:db8:0:1::1", "192.0.2.1"}[i-1]
}

// of is what an attempt takes from, the client's own first.
func (m *model) of(try *modelAttempt) []*modelBucket {
	get := func(key string, limit int, ofAccount bool) *modelBucket {
		if m.buckets[key] == nil {
			m.buckets[key] = &modelBucket{limit: limit, ofAccount: ofAccount, cost: m.cfg.Window / time.Duration(limit)}
		}
		return m.buckets[key]
	}
	client := try.account + "/" + try.client
	if try.account != anyAccount {
		return []*modelBucket{get(client, m.cfg.Failures, true), get(try.account, m.cfg.AccountFailures, true)}
	}
	all := []*modelBucket{get(client, m.cfg.ClientFailures, false)}
	if try.client != clientOf(3) {
		all = append(all, get(anyAccount+"/site", m.cfg.ClientFailures*throttle.SiteClients, false))
	}
	return all
}

// look takes in what became of the attempts, and checks that no budget is exceeded.
func (m *model) look(t *rapid.T) {
	t.Helper()
	for _, try := range m.tries {
		if !try.waiting {
			continue
		}
		select {
		case got := <-try.result:
			try.waiting, try.reservation, try.err = false, got.r, got.err
		default:
			continue
		}
		if try.err == nil {
			try.undone = true
			for _, b := range m.of(try) {
				if b.full(time.Now()) {
					t.Fatalf("%s from %s was let in beyond the budget", try.account, try.client)
				}
				b.granted++
			}
		}
	}
}

func (m *model) settle(try *modelAttempt, v throttle.Verdict) {
	now := time.Now()
	for i, b := range m.of(try) {
		b.granted--
		b.settled = now
		switch {
		case v == throttle.Failed:
			b.level, b.at = b.levelAt(now)+b.cost, now
		case v == throttle.Unanswered && b.ofAccount:
			b.open, b.openAt = min(b.unansweredAt(now)+b.cost, b.budget()), now
		case v == throttle.Succeeded:
			b.open = 0
			if b.ofAccount && i == 0 {
				b.level = 0
			}
		}
	}
	try.undone = false
}

// checkWaiting checks that nobody waits who could go, as things were when somebody last looked.
func (m *model) checkWaiting(t *rapid.T) {
	t.Helper()
	last := map[string]time.Time{}
	for _, try := range m.tries {
		if !try.waiting {
			continue
		}
		if time.Since(try.began) > m.cfg.MaxWait {
			t.Fatalf("%s from %s waits for too long", try.account, try.client)
		}
		of := m.of(try)
		then := func(b *modelBucket) time.Time {
			if b.settled.After(try.began) {
				return b.settled
			}
			return try.began
		}
		key := try.account + "/" + try.client
		if last[key].IsZero() && !slices.ContainsFunc(of, func(b *modelBucket) bool { return b.full(then(b)) }) {
			t.Fatalf("%s from %s waits for nothing", try.account, try.client)
		}
		last[key] = try.began // those behind wait for it
	}
}

func (m *model) begin(t *rapid.T, memory *throttle.Memory, account, client string) {
	t.Helper()
	try := &modelAttempt{account: account, client: client, began: time.Now(), result: make(chan result, 1), waiting: true}
	must := slices.ContainsFunc(m.of(try), func(b *modelBucket) bool { return b.exhausted(time.Now()) })
	m.tries = append(m.tries, try)
	key := throttle.ByName(account)
	if account == anyAccount {
		key = throttle.AnyAccount
	}
	go func() {
		r, err := memory.Reserve(t.Context(), key, client)
		try.result <- result{r, err}
	}()
	synctest.Wait()
	m.look(t)
	if must != (try.err != nil) && (must || m.cfg.Entries == 0) {
		t.Fatalf("%s from %s: exhausted is %t, and it got %v", account, client, must, try.err)
	}
}

func (m *model) pick(t *rapid.T) *modelAttempt {
	var undone []*modelAttempt
	for _, try := range m.tries {
		if try.undone {
			undone = append(undone, try)
		}
	}
	if len(undone) == 0 {
		return nil
	}
	return undone[rapid.IntRange(0, len(undone)-1).Draw(t, "which")]
}

// runModel makes attempts, settles them and lets time pass, and compares.
func runModel(t *rapid.T, cfg throttle.Config, accounts int) {
	memory, err := throttle.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	m := &model{cfg: cfg, buckets: map[string]*modelBucket{}}
	verdicts := []throttle.Verdict{throttle.Failed, throttle.Failed, throttle.Failed, throttle.Refunded, throttle.Succeeded, throttle.Unanswered}
	settle := func(t *rapid.T, try *modelAttempt, v throttle.Verdict) {
		m.settle(try, v)
		try.reservation.Settle(t.Context(), v)
		synctest.Wait()
		m.look(t)
	}
	t.Repeat(map[string]func(*rapid.T){
		"begin": func(t *rapid.T) {
			for range rapid.IntRange(1, 4).Draw(t, "count") {
				account := anyAccount
				if i := rapid.IntRange(0, accounts).Draw(t, "account"); i > 0 {
					account = fmt.Sprint("u", i)
				}
				m.begin(t, memory, account, clientOf(rapid.IntRange(1, 3).Draw(t, "client")))
			}
		},
		"settle": func(t *rapid.T) {
			if try := m.pick(t); try != nil {
				settle(t, try, rapid.SampledFrom(verdicts).Draw(t, "verdict"))
			}
		},
		"wait": func(t *rapid.T) {
			time.Sleep(time.Duration(rapid.IntRange(0, 5000).Draw(t, "ms")) * time.Millisecond)
			synctest.Wait()
			m.look(t)
		},
		"": func(t *rapid.T) {
			if cfg.Entries == 0 {
				m.checkWaiting(t)
			}
			m.tries = slices.DeleteFunc(m.tries, func(try *modelAttempt) bool { return !try.waiting && !try.undone })
		},
	})
	for len(m.tries) > 0 {
		for _, try := range m.tries {
			if try.undone {
				settle(t, try, throttle.Refunded)
			}
		}
		m.tries = slices.DeleteFunc(m.tries, func(try *modelAttempt) bool { return !try.waiting && !try.undone })
		time.Sleep(time.Second)
		synctest.Wait()
		m.look(t)
	}
	time.Sleep(cfg.Window)
	for range 3*accounts + 3 { // it tidies up at each look a little
		memory.Stat()
	}
	if s := memory.Stat(); s.Entries != 0 || s.Waiting != 0 {
		t.Fatalf("something is left behind: %+v", s)
	}
}

func TestModel_MemoryAgreesWithIt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		failures := rapid.IntRange(1, 4).Draw(t, "failures")
		cfg := throttle.Config{
			Failures: failures, AccountFailures: failures + rapid.IntRange(0, 3).Draw(t, "more"),
			ClientFailures: rapid.IntRange(1, 4).Draw(t, "of a client"),
			Window:         420 * time.Second / 20, MaxWait: 2 * time.Second,
		}
		rapid.SyncTest(t, func(t *rapid.T) { runModel(t, cfg, 2) })
	})
}

// TestModel_EvictionFreesNobody: with room for one count a shard, and a hundred accounts, no
// attempt is let in that a throttle with all the memory of the world would refuse.
func TestModel_EvictionFreesNobody(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cfg := throttle.Config{Failures: 2, AccountFailures: 4, ClientFailures: 5, Window: 20 * time.Second, MaxWait: 2 * time.Second, Entries: 64}
		rapid.SyncTest(t, func(t *rapid.T) { runModel(t, cfg, 100) })
	})
}
