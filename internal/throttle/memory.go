package throttle

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"time"
)

// DefaultEntries is the maximum number of counts in a [Memory]. A count takes about 130 bytes, so
// all of them stay below 40 MB.
const DefaultEntries = 1 << 18

// SiteClients is how many clients' budgets the clients of one IPv6 /48 have together, of the limit
// over all accounts.
const SiteClients = 10

// shards is how many locks share the accounts.
const shards = 64

// Config says what a Memory allows.
type Config struct {
	// Failures are those of one account from one client, so many at once and over each Window. 0 is
	// no limit.
	Failures int
	// AccountFailures are those of one account from everywhere. 0 is no limit.
	AccountFailures int
	// ClientFailures are those of one client over all accounts. 0 is no limit. All clients of one
	// IPv6 /48 together are limited to SiteClients times as many.
	ClientFailures int
	// Window is the time in which a used up budget is given back, evenly.
	Window time.Duration
	// MaxWait is the longest that an attempt waits for others to be decided.
	MaxWait time.Duration
	// Entries bounds the counts that are kept; 0 is DefaultEntries.
	Entries int
}

// Memory is a Throttle that keeps its counts in this process. Its methods may be called by many
// goroutines at once.
//
// It keeps at most Config.Entries counts that are owed something, in addition to those of attempts
// under way. One more evicts the count that would be given back first. An evicted count is not
// forgiven: from then on every account that is not known is taken to owe as much as the most that
// was ever dropped, until that time has passed (the rule of Metwally's Space-Saving, "Efficient
// computation of frequent and top-k elements in data streams", 2005). So an exhausted account
// cannot be freed by trying others; and for newcomers to be refused, as many failures must be owed
// as Entries have budget.
type Memory struct {
	limits  [limitCount]*limit // nil: no limit
	maxWait time.Duration
	began   time.Time
	seed    maphash.Seed // secret: nobody can choose names that fall into one shard
	shards  [shards]shard
}

var _ Throttle = (*Memory)(nil)

// New makes a Memory. It fails where a number makes no sense.
func New(cfg Config) (*Memory, error) {
	if cfg.Entries == 0 {
		cfg.Entries = DefaultEntries
	}
	switch {
	case cfg.Failures < 0 || cfg.AccountFailures < 0 || cfg.ClientFailures < 0:
		return nil, errors.New("throttle: limits must not be negative")
	case cfg.Window <= 0 || cfg.MaxWait < 0:
		return nil, errors.New("throttle: Window must be positive, MaxWait not negative")
	case cfg.Entries < shards:
		return nil, fmt.Errorf("throttle: Entries must be at least %d", shards)
	}
	m := &Memory{
		maxWait: cfg.MaxWait,
		began:   time.Now(),
		seed:    maphash.MakeSeed(),
	}
	for i, l := range []struct {
		failures int
		of       string
	}{
		AccountClientLimit: {cfg.Failures, "the account from this client"},
		AccountLimit:       {cfg.AccountFailures, "the account"},
		ClientLimit:        {cfg.ClientFailures, "this client"},
		SiteLimit:          {cfg.ClientFailures * SiteClients, "this client's IPv6 /48"},
	} {
		m.limits[i] = newLimit(Limit(i), fmt.Sprintf("%d failures of %s in %v", l.failures, l.of, cfg.Window), l.failures, cfg.Window)
	}
	for i := range m.shards {
		m.shards[i].capacity = cfg.Entries / shards
		m.shards[i].buckets = make(map[Account]*bucket)
	}
	return m, nil
}

// now is the time on the shards' clock, which nobody can set: nanoseconds since the Memory was
// made.
func (m *Memory) now() int64 { return int64(time.Since(m.began)) }

// budget is one count that an attempt takes from, if it has a limit.
type budget struct {
	key Account
	*limit
}

// budgets returns the counts that an attempt takes from, in this order, and the shard that keeps
// them; nil if none of them has a limit.
func (m *Memory) budgets(account Account, client string) ([2]budget, *shard) {
	home := account
	all := [2]budget{{account.from(client), m.limits[AccountClientLimit]}, {account, m.limits[AccountLimit]}}
	if account == AnyAccount {
		home = all[0].key
		all = [2]budget{{home, m.limits[ClientLimit]}}
		if site, ok := AnyAccount.fromSite(client); ok {
			home = site
			all[1] = budget{site, m.limits[SiteLimit]}
		}
	}
	if all[0].limit == nil && all[1].limit == nil {
		return all, nil
	}
	return all, m.shard(home)
}

// unlimited is a reservation of what has no limit.
type unlimited struct{}

func (unlimited) Settle(context.Context, Verdict) {}

func (m *Memory) shard(a Account) *shard {
	return &m.shards[maphash.Comparable(m.seed, a)%shards]
}

// attempt is a reservation, or one that is waited for.
type attempt struct {
	memory  *Memory
	shard   *shard
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
	budgets, s := m.budgets(account, client)
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := m.now()
	var worst *bucket
	for _, of := range budgets {
		if of.limit == nil {
			continue
		}
		b := s.buckets[of.key]
		if b == nil {
			b = s.newcomer(of.key, of.limit, now)
		}
		if b.exhausted(now) && (worst == nil || b.wait(now) > worst.wait(now)) {
			worst = b
		}
	}
	if worst == nil {
		return nil
	}
	return worst.refuse(worst.wait(now), true)
}

// Reserve implements Throttle. It waits at most Config.MaxWait, and not longer than ctx.
func (m *Memory) Reserve(ctx context.Context, account Account, client string) (Reservation, error) {
	budgets, s := m.budgets(account, client)
	if s == nil {
		return unlimited{}, nil
	}
	a := &attempt{memory: m, shard: s}
	s.mu.Lock()
	now := m.now()
	s.tidy(now)
	n := 0
	for _, of := range budgets {
		if of.limit != nil {
			a.buckets[n] = s.lookup(of.key, of.limit, now)
			n++
		}
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
		s.refuse(a, b.refuse(0, false), now)
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
	case Unanswered:
		for _, b := range a.buckets[:a.held] {
			b.leaveUnanswered(now)
		}
	case Succeeded:
		for _, b := range a.buckets[:a.held] {
			b.succeed()
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
	// Refused are the attempts that each Limit refused, since the start.
	Refused [limitCount]uint64
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
	for i, l := range m.limits {
		if l != nil {
			sum.Refused[i] = l.refused.Load()
		}
	}
	return sum
}
