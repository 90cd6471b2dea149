package throttle

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"time"
)

// DefaultEntries is how many counts a [Memory] keeps at the most. One takes about 130 bytes in all, so that the whole stays
// below 40 MB.
const DefaultEntries = 1 << 18

// shards is how many locks share the accounts.
const shards = 64

// Config says what a Memory allows.
type Config struct {
	// Failures are those of one account from one client, so many at once and over each Window. 0 is no limit.
	Failures int
	// AccountFailures are those of one account from everywhere. 0 is no limit.
	AccountFailures int
	// Window is the time in which a used up budget is given back, evenly.
	Window time.Duration
	// MaxWait is the longest that an attempt waits for others to be decided.
	MaxWait time.Duration
	// Entries bounds the counts that are kept; 0 is DefaultEntries.
	Entries int
}

// Memory is a Throttle that keeps its counts in this process. Its methods may be called by many goroutines at once.
//
// It keeps at most Config.Entries counts that are owed something, beside those of attempts under way. One more, and that
// goes which would be given back first. What goes is not forgiven: from then on every account that is not known is taken
// to owe as much as the most that was ever dropped, until that time has passed (the rule of Metwally's Space-Saving,
// "Efficient computation of frequent and top-k elements in data streams", 2005). So an exhausted account cannot
// be freed by trying others; and for newcomers to be refused, as many failures must be owed as Entries have
// budget.
type Memory struct {
	client, account *limit
	maxWait         time.Duration
	began           time.Time
	seed            maphash.Seed // secret: nobody can choose names that fall into one shard
	shards          [shards]shard
}

var _ Throttle = (*Memory)(nil)

// New makes a Memory. It fails where a number makes no sense.
func New(cfg Config) (*Memory, error) {
	if cfg.Entries == 0 {
		cfg.Entries = DefaultEntries
	}
	switch {
	case cfg.Failures < 0 || cfg.AccountFailures < 0:
		return nil, errors.New("throttle: limits must not be negative")
	case cfg.Window <= 0 || cfg.MaxWait < 0:
		return nil, errors.New("throttle: Window must be positive, MaxWait not negative")
	case cfg.Entries < shards:
		return nil, fmt.Errorf("throttle: Entries must be at least %d", shards)
	}
	m := &Memory{
		client:  newLimit(fmt.Sprintf("%d failures of the account from this client in %v", cfg.Failures, cfg.Window), cfg.Failures, cfg.Window),
		account: newLimit(fmt.Sprintf("%d failures of the account in %v", cfg.AccountFailures, cfg.Window), cfg.AccountFailures, cfg.Window),
		maxWait: cfg.MaxWait,
		began:   time.Now(),
		seed:    maphash.MakeSeed(),
	}
	for i := range m.shards {
		m.shards[i].capacity = cfg.Entries / shards
		m.shards[i].buckets = make(map[Account]*bucket)
	}
	return m, nil
}

// now is the time on the shards' clock, which nobody can set: nanoseconds since the Memory was made.
func (m *Memory) now() int64 { return int64(time.Since(m.began)) }

func (m *Memory) shard(a Account) *shard {
	return &m.shards[maphash.Comparable(m.seed, a)%shards]
}

// attempt is a reservation, or one that is waited for.
type attempt struct {
	memory  *Memory
	shard   *shard
	client  *bucket    // of buckets; nil without that limit
	buckets [2]*bucket // in the order in which they are taken, without gaps
	held    int        // how many of them it has its part of
	ended   bool
	refusal *Refusal
	// While it waits: where, and what is closed when it was let in or refused.
	element *list.Element
	decided chan struct{}
}

func (a *attempt) decide(r *Refusal) {
	a.refusal, a.ended = r, r != nil
	if a.decided != nil {
		close(a.decided)
	}
}

// wait is the time until no bucket is exhausted.
func (a *attempt) wait(now int64) (most time.Duration) {
	for _, b := range a.buckets {
		if b != nil {
			most = max(most, b.wait(now))
		}
	}
	return most
}

// Check implements Throttle. It costs two look-ups and never waits.
func (m *Memory) Check(_ context.Context, account Account, client string) error {
	s := m.shard(account)
	from := account.from(client)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := m.now()
	var worst *Refusal
	look := func(key Account, l *limit) {
		if l == nil {
			return
		}
		b := s.buckets[key]
		if b == nil {
			b = &bucket{limit: l, until: s.newcomer(now)}
		}
		if b.exhausted(now) && (worst == nil || b.wait(now) > worst.RetryAfter) {
			worst = &Refusal{RetryAfter: b.wait(now), Exhausted: true, Limit: l.name}
		}
	}
	look(from, m.client)
	look(account, m.account)
	if worst == nil {
		return nil
	}
	return worst
}

// Reserve implements Throttle. It waits at most Config.MaxWait, and not longer than ctx.
func (m *Memory) Reserve(ctx context.Context, account Account, client string) (Reservation, error) {
	s := m.shard(account)
	from := account.from(client)
	a := &attempt{memory: m, shard: s}
	s.mu.Lock()
	now := m.now()
	s.tidy(now)
	n := 0
	if m.client != nil {
		a.client = s.lookup(from, m.client, now)
		a.buckets[n] = a.client
		n++
	}
	if m.account != nil {
		a.buckets[n] = s.lookup(account, m.account, now)
	}
	for _, b := range a.buckets {
		if b != nil {
			s.serve(b, now) // those before it, for whom something may have been given back by now
		}
	}
	s.advance(a, now)
	waits := a.element != nil
	s.mu.Unlock()
	if waits {
		a.await(ctx)
	}
	if a.refusal != nil {
		return nil, a.refusal
	}
	return a, nil
}

// await waits until the attempt is let in or refused, and refuses it when that takes too long.
func (a *attempt) await(ctx context.Context) {
	timer := time.NewTimer(a.memory.maxWait)
	defer timer.Stop()
	select {
	case <-a.decided:
		return
	case <-timer.C:
	case <-ctx.Done():
	}
	s := a.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	now := a.memory.now()
	if a.element != nil {
		s.serve(a.buckets[a.held], now) // something may have been given back by now
	}
	if a.element != nil {
		b := a.buckets[a.held]
		s.dequeue(a)
		s.refuse(a, &Refusal{Limit: b.name}, now)
	}
}

// Settle implements Reservation.
func (a *attempt) Settle(_ context.Context, v Verdict) {
	s := a.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.ended {
		return
	}
	a.ended = true
	now := a.memory.now()
	switch v {
	case Returned:
	case Failed:
		for _, b := range a.buckets[:a.held] {
			b.fail(now)
		}
	case Succeeded:
		if a.client != nil {
			a.client.until = 0
		}
	}
	s.release(a, now)
}

// Stat is a snapshot of a Memory.
type Stat struct {
	// Entries are the counts that are kept, those of attempts under way included.
	Entries int
	// Waiting are the attempts that wait for others to be decided.
	Waiting int
	// Forgotten are the counts that were dropped for others, since the start.
	Forgotten uint64
}

// Stat counts. It takes each shard's lock for a moment.
func (m *Memory) Stat() Stat {
	var sum Stat
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		s.tidy(m.now())
		sum.Entries += len(s.buckets)
		sum.Waiting += s.waiting
		sum.Forgotten += s.forgotten
		s.mu.Unlock()
	}
	return sum
}
