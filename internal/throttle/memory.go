package throttle

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"time"
)

// DefaultEntries is the default of Config.Entries. One takes about 150 bytes in all, so that the
// whole stays below 40 MB.
const DefaultEntries = 1 << 18

// SiteClients is the budget of all clients of one IPv6 /48 together, in budgets of one client, over
// all accounts.
const SiteClients = 10

// shards is the number of locks among which the accounts are divided.
const shards = 64

// Config has the limits of a Memory.
type Config struct {
	// Failures limits the failures of one account from one client, at once and over each Window. 0
	// is no limit.
	Failures int
	// AccountFailures limits those of one account from everywhere. 0 is no limit.
	AccountFailures int
	// ClientFailures limits those of one client over all accounts. 0 is no limit. All clients of
	// one IPv6 /48 together are limited to SiteClients times as many.
	ClientFailures int
	// Window is the time in which an exhausted budget is refunded, evenly.
	Window time.Duration
	// MaxWait bounds an attempt's wait for pending attempts.
	MaxWait time.Duration
	// Entries bounds the counts that are kept; 0 is DefaultEntries.
	Entries int
}

// Memory is a Throttle that keeps its counts in this process. Its methods may be called by many
// goroutines at once.
//
// It keeps at most Config.Entries counts with a debt, in addition to those of attempts under way.
// One more evicts the count that expires first. The debt of an evicted count is not forgiven: from
// then on every unknown account is assumed to have the largest debt that was ever evicted, until
// that has expired (the rule of Metwally's Space-Saving, "Efficient computation of frequent and
// top-k elements in data streams", 2005). So an exhausted account cannot be freed by attempts on
// others. Unknown accounts are only rejected when as many failures are counted as Entries have
// budget.
type Memory struct {
	limits  [limitCount]*limit // nil: no limit
	maxWait time.Duration
	began   time.Time
	seed    maphash.Seed // secret, so that names cannot be chosen to fall into one shard
	shards  [shards]shard
}

var _ Throttle = (*Memory)(nil)

// New makes a Memory. It fails if a number is out of range.
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

// now returns the time of the shards, in nanoseconds since the Memory was made, by the monotonic
// clock.
func (m *Memory) now() int64 { return int64(time.Since(m.began)) }

// budgets returns the counts that an attempt takes from, in this order, and the account that they
// belong to. Those without a limit have none.
func (m *Memory) budgets(account Account, client string) (all [2]Budget, home Account) {
	home = account
	all = [2]Budget{{account.byClient(client), m.limits[AccountClientLimit]}, {account, m.limits[AccountLimit]}}
	if account == AnyAccount {
		home = all[0].Key
		all = [2]Budget{{home, m.limits[ClientLimit]}}
		if site, ok := AnyAccount.bySite(client); ok {
			home = site
			all[1] = Budget{site, m.limits[SiteLimit]}
		}
	}
	return all, home
}

// limited reports whether one of the budgets has a limit.
func limited(all [2]Budget) bool { return all[0].limit != nil || all[1].limit != nil }

// unlimited is a reservation without a limit.
type unlimited struct{}

func (unlimited) Settle(context.Context, Verdict) {}

func (m *Memory) shard(a Account) *shard {
	return &m.shards[maphash.Comparable(m.seed, a)%shards]
}

// attempt is a reservation, granted or waiting.
type attempt struct {
	memory  *Memory
	shard   *shard
	buckets [2]*bucket // in the order in which they are taken, without gaps
	held    int        // how many of them it has reserved
	ended   bool
	refusal *Refusal
	// While it waits: its place in the queue, and a channel that is closed when it is granted or
	// rejected.
	element *list.Element
	decided chan struct{}
}

func (a *attempt) decide(r *Refusal) {
	a.refusal, a.ended = r, r != nil
	if a.decided != nil {
		close(a.decided)
	}
}

// timeLeft is the time until no bucket is exhausted.
func (a *attempt) timeLeft(now int64) (most time.Duration) {
	for _, b := range a.buckets {
		if b != nil {
			most = max(most, b.timeLeft(now))
		}
	}
	return most
}

// Check implements Throttle. It costs two look-ups and never waits.
func (m *Memory) Check(_ context.Context, account Account, client string) error {
	budgets, home := m.budgets(account, client)
	if !limited(budgets) {
		return nil
	}
	s := m.shard(home)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := m.now()
	var worst *bucket
	for _, of := range budgets {
		if of.limit == nil {
			continue
		}
		b := s.buckets[of.Key]
		if b == nil {
			b = s.newBucket(of, home, now)
		}
		if b.exhausted(now) && (worst == nil || b.timeLeft(now) > worst.timeLeft(now)) {
			worst = b
		}
	}
	if worst == nil {
		return nil
	}
	return worst.refuse(worst.timeLeft(now), true)
}

// Reserve implements Throttle. It waits at most Config.MaxWait, and not longer than ctx.
func (m *Memory) Reserve(ctx context.Context, account Account, client string) (Reservation, error) {
	budgets, home := m.budgets(account, client)
	if !limited(budgets) {
		return unlimited{}, nil
	}
	s := m.shard(home)
	a := &attempt{memory: m, shard: s}
	s.mu.Lock()
	now := m.now()
	s.evictExpired(now)
	n := 0
	for _, of := range budgets {
		if of.limit != nil {
			a.buckets[n] = s.lookup(of, home, now)
			n++
		}
	}
	for _, b := range a.buckets {
		if b != nil {
			s.serve(b, now) // earlier attempts first: some budget may have been refunded
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

// Count implements Throttle.
func (m *Memory) Count(_ context.Context, account Account, client string) {
	budgets, home := m.budgets(account, client)
	if !limited(budgets) {
		return
	}
	s := m.shard(home)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := m.now()
	s.evictExpired(now)
	for _, of := range budgets {
		if of.limit == nil {
			continue
		}
		b := s.lookup(of, home, now)
		if !b.exhausted(now) {
			b.recordFailure(now)
		}
		s.unref(b, now)
	}
}

// await waits until the attempt is granted or rejected, and rejects it when the wait is over.
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
		s.serve(a.buckets[a.held], now) // some budget may have been refunded
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
	case Refunded:
	case Failed:
		for _, b := range a.buckets[:a.held] {
			b.recordFailure(now)
		}
	case Unanswered:
		for _, b := range a.buckets[:a.held] {
			b.recordUnanswered(now)
		}
	case Succeeded:
		for _, b := range a.buckets[:a.held] {
			b.recordSuccess()
		}
	}
	s.release(a, now)
}

// Reset clears the failures and the unanswered attempts of an account, from everywhere and from all
// clients, and reports whether there were any. Attempts under way keep their part of the budget. It
// looks at all accounts of a shard. The debt that unknown accounts are charged with is not cleared.
func (m *Memory) Reset(account Account) (found bool) {
	s := m.shard(account)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := m.now()
	for _, b := range s.buckets {
		if b.home != account {
			continue
		}
		found = found || b.expires() > now
		s.reset(b, now)
	}
	return found
}

// Stat is a snapshot of a Memory.
type Stat struct {
	// Entries are the counts that are kept, those of attempts under way included.
	Entries int
	// Waiting are the attempts that wait for pending ones.
	Waiting int
	// Forgotten are the counts that were evicted, since the start.
	Forgotten uint64
	// Refused are the attempts that each Limit refused, since the start.
	Refused [limitCount]uint64
}

// Stat returns a snapshot. It takes each shard's lock in turn.
func (m *Memory) Stat() Stat {
	var sum Stat
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		s.evictExpired(m.now())
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
