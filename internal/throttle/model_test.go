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

// model is the throttle told simply: a leaky bucket a key, in units of failures, that forgets nothing.
type model struct {
	cfg     throttle.Config
	buckets map[string]*leaky
	tries   []*modelTry
}

// leaky is a bucket: how full it was, and when.
type leaky struct {
	limit   int
	cost    time.Duration
	level   time.Duration // in time that it takes to leak
	at      time.Time
	granted int       // undecided
	settled time.Time // the last time that an attempt of it was settled
}

func (b *leaky) levelAt(now time.Time) time.Duration { return max(0, b.level-now.Sub(b.at)) }

func (b *leaky) full(now time.Time) bool {
	return b.levelAt(now)+time.Duration(b.granted+1)*b.cost > time.Duration(b.limit)*b.cost
}

func (b *leaky) exhausted(now time.Time) bool {
	return b.levelAt(now)+b.cost > time.Duration(b.limit)*b.cost
}

// modelTry is an attempt: what is known of it from outside.
type modelTry struct {
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

func (m *model) of(try *modelTry) (client, account *leaky) {
	get := func(key string, limit int) *leaky {
		if m.buckets[key] == nil {
			m.buckets[key] = &leaky{limit: limit, cost: m.cfg.Window / time.Duration(limit)}
		}
		return m.buckets[key]
	}
	return get(try.account+"/"+try.client, m.cfg.Failures), get(try.account, m.cfg.AccountFailures)
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
			client, account := m.of(try)
			for _, b := range []*leaky{client, account} {
				if b.full(time.Now()) {
					t.Fatalf("%s from %s was let in beyond the budget", try.account, try.client)
				}
			}
			client.granted++
			account.granted++
		}
	}
}

func (m *model) settle(try *modelTry, v throttle.Verdict) {
	client, account := m.of(try)
	now := time.Now()
	for _, b := range []*leaky{client, account} {
		b.granted--
		b.settled = now
		if v == throttle.Failed {
			b.level, b.at = b.levelAt(now)+b.cost, now
		}
	}
	if v == throttle.Succeeded {
		client.level = 0
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
		client, account := m.of(try)
		then := func(b *leaky) time.Time {
			if b.settled.After(try.began) {
				return b.settled
			}
			return try.began
		}
		key := try.account + "/" + try.client
		if last[key].IsZero() && !client.full(then(client)) && !account.full(then(account)) {
			t.Fatalf("%s from %s waits for nothing", try.account, try.client)
		}
		last[key] = try.began // those behind wait for it
	}
}

func (m *model) begin(t *rapid.T, memory *throttle.Memory, account, client string) {
	t.Helper()
	try := &modelTry{account: account, client: client, began: time.Now(), result: make(chan result, 1), waiting: true}
	c, a := m.of(try)
	must := c.exhausted(time.Now()) || a.exhausted(time.Now())
	m.tries = append(m.tries, try)
	go func() {
		r, err := memory.Reserve(t.Context(), throttle.ByName(account), client)
		try.result <- result{r, err}
	}()
	synctest.Wait()
	m.look(t)
	if must != (try.err != nil) && (must || m.cfg.Entries == 0) {
		t.Fatalf("%s from %s: exhausted is %t, and it got %v", account, client, must, try.err)
	}
}

func (m *model) pick(t *rapid.T) *modelTry {
	var undone []*modelTry
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

// play makes attempts, settles them and lets time pass, and compares.
func play(t *rapid.T, cfg throttle.Config, accounts int) {
	memory, err := throttle.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	m := &model{cfg: cfg, buckets: map[string]*leaky{}}
	verdicts := []throttle.Verdict{throttle.Failed, throttle.Failed, throttle.Failed, throttle.Returned, throttle.Succeeded}
	settle := func(t *rapid.T, try *modelTry, v throttle.Verdict) {
		m.settle(try, v)
		try.reservation.Settle(t.Context(), v)
		synctest.Wait()
		m.look(t)
	}
	t.Repeat(map[string]func(*rapid.T){
		"begin": func(t *rapid.T) {
			for range rapid.IntRange(1, 4).Draw(t, "count") {
				m.begin(t, memory, fmt.Sprint("u", rapid.IntRange(1, accounts).Draw(t, "account")),
					fmt.Sprint("c", rapid.IntRange(1, 3).Draw(t, "client")))
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
			m.tries = slices.DeleteFunc(m.tries, func(try *modelTry) bool { return !try.waiting && !try.undone })
		},
	})
	for len(m.tries) > 0 {
		for _, try := range m.tries {
			if try.undone {
				settle(t, try, throttle.Returned)
			}
		}
		m.tries = slices.DeleteFunc(m.tries, func(try *modelTry) bool { return !try.waiting && !try.undone })
		time.Sleep(time.Second)
		synctest.Wait()
		m.look(t)
	}
	time.Sleep(cfg.Window)
	for range 3 * accounts { // it tidies up at each look a little
		memory.Stat()
	}
	if s := memory.Stat(); s.Entries != 0 || s.Waiting != 0 {
		t.Fatalf("something is left behind: %+v", s)
	}
}

func TestItDoesWhatTheModelDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		failures := rapid.IntRange(1, 4).Draw(t, "failures")
		cfg := throttle.Config{
			Failures: failures, AccountFailures: failures + rapid.IntRange(0, 3).Draw(t, "more"),
			Window: 420 * time.Second / 20, MaxWait: 2 * time.Second,
		}
		rapid.SyncTest(t, func(t *rapid.T) { play(t, cfg, 2) })
	})
}

// TestWhatIsForgottenFreesNobody: with room for one count a shard, and a hundred accounts, no attempt is let in that a
// throttle with all the memory of the world would refuse.
func TestWhatIsForgottenFreesNobody(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cfg := throttle.Config{Failures: 2, AccountFailures: 4, Window: 20 * time.Second, MaxWait: 2 * time.Second, Entries: 64}
		rapid.SyncTest(t, func(t *rapid.T) { play(t, cfg, 100) })
	})
}
