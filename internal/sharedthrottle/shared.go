package sharedthrottle

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"authsvc/internal/throttle"
)

// Config configures a Throttle.
type Config struct {
	Server Server
	Prefix string // of all keys
	// MaxWait bounds an attempt's wait for undecided attempts of other instances. One that is
	// undecided for half of it is treated like an unanswered one: if those use up the budget, one
	// attempt at a time is still allowed. So an instance that ended suddenly keeps nobody out.
	MaxWait time.Duration
	// MaxAttempt is the longest time from an attempt's reservation to its result. One that has none
	// by then is forgotten.
	MaxAttempt time.Duration
	// Patience is how long the server may take to answer; 0 is DefaultPatience.
	Patience time.Duration
	Log      *slog.Logger
}

// DefaultPatience is the default of Config.Patience.
const DefaultPatience = 100 * time.Millisecond

// Throttle is a [throttle.Throttle] whose counts several instances share. Its methods may be called
// by many goroutines at once.
type Throttle struct {
	cfg      Config
	local    *throttle.Memory
	naming   naming
	client   *client
	breaker  *breaker
	settler  *settler
	refusals *refusals
	began    time.Time
	offset   atomic.Int64  // of the server's clock to the time since began, in microseconds
	alone    atomic.Uint64 // attempts that the server did not decide
	working  sync.WaitGroup
	cancel   context.CancelFunc // ends the examinations
}

var _ throttle.Throttle = (*Throttle)(nil)

const (
	// examineInterval is the time between two examinations of the server.
	examineInterval = time.Second
	// margin is added to the longest attempt, for the way of its result to the server.
	margin = time.Second
	// The pauses of an attempt that waits for undecided ones, before it asks again.
	firstPause = 5 * time.Millisecond
	maxPause   = 50 * time.Millisecond
)

// New makes a Throttle around local. The server may be away. Close must follow.
func New(local *throttle.Memory, cfg Config) (*Throttle, error) {
	cfg.Patience = cmp.Or(cfg.Patience, DefaultPatience)
	naming, err := newNaming(cfg.Prefix, cfg.Server.Password)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c, b := newClient(cfg.Server), newBreaker(cfg.Log)
	t := &Throttle{
		cfg: cfg, local: local, naming: naming, client: c, breaker: b, cancel: cancel,
		settler: newSettler(c, b, cfg.MaxAttempt+margin), refusals: newRefusals(), began: time.Now(),
	}
	t.working.Go(t.settler.run)
	t.working.Go(func() { t.examineUntil(ctx) })
	return t, nil
}

// Close records the results that wait, until ctx ends, and closes the connections. No attempt may
// be under way.
func (t *Throttle) Close(ctx context.Context) error {
	t.cancel()
	close(t.settler.stop)
	ended := make(chan struct{})
	go func() {
		t.working.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	err := t.client.close() // ends what still waits for an answer
	<-ended
	return err
}

// Check implements [throttle.Throttle]. It does not ask the server, but remembers what it said.
func (t *Throttle) Check(ctx context.Context, account throttle.Account, client string) error {
	if err := t.local.Check(ctx, account, client); err != nil {
		return err
	}
	now := time.Now()
	_, budgets := t.local.Budgets(account, client)
	for _, b := range budgets {
		if left := t.refusals.left(b.Key, now); left > 0 {
			return b.Refuse(left, true)
		}
	}
	return nil
}

// Count implements [throttle.Throttle].
func (t *Throttle) Count(ctx context.Context, account throttle.Account, client string) {
	t.local.Count(ctx, account, client)
	if of := t.counts(account, client); of != nil {
		t.settler.add(result{of: of, id: rand.Text(), verdict: counted})
	}
}

// counts returns the counts of an attempt, or nil if there is no limit.
func (t *Throttle) counts(account throttle.Account, client string) *counts {
	home, budgets := t.local.Budgets(account, client)
	if len(budgets) == 0 {
		return nil
	}
	of := t.naming.counts(home, budgets)
	return &of
}

// reservation is an attempt that this instance has allowed, and the server too unless it is away.
type reservation struct {
	throttle.Reservation // of this instance

	shared  *Throttle
	of      *counts
	id      string
	asked   bool // the server may hold it
	settled atomic.Bool
}

// Reserve implements [throttle.Throttle]. It waits at most Config.MaxWait, and not longer than ctx.
func (t *Throttle) Reserve(ctx context.Context, account throttle.Account, client string) (throttle.Reservation, error) {
	began := time.Now()
	local, err := t.local.Reserve(ctx, account, client)
	if err != nil {
		return nil, err
	}
	of := t.counts(account, client)
	if of == nil {
		return local, nil
	}
	r := &reservation{Reservation: local, shared: t, of: of, id: rand.Text()}
	if refused := r.reserve(ctx, began.Add(t.cfg.MaxWait)); refused != nil {
		local.Settle(ctx, throttle.Refunded)
		return nil, refused
	}
	return r, nil
}

// reserve reserves the attempt at the server, unless that is away.
func (r *reservation) reserve(ctx context.Context, last time.Time) *throttle.Refusal {
	t := r.shared
	for pause := firstPause; t.breaker.asks() && !throttle.GaveUp(ctx); pause = min(2*pause, maxPause) {
		a, err := r.ask(ctx)
		switch {
		case err != nil:
			if ctx.Err() == nil { // else too little time was left to know anything
				throttle.GiveUp(ctx)
				t.breaker.fault(err)
				t.alone.Add(1)
			}
			return nil
		case a.code == exhausted:
			left := time.Duration(a.left) * time.Microsecond
			b := r.of.budgets[a.budget]
			t.refusals.put(r.of.home, b.Key, time.Now().Add(left))
			return b.Refuse(left, true)
		case a.code == late: // twice: nothing was counted
			t.alone.Add(1)
			return nil
		case a.code != busy:
			return nil
		case !sleep(ctx, min(pause/2+mathrand.N(pause/2), time.Until(last))): //nolint:gosec // a pause is no secret
			return r.of.budgets[a.budget].Refuse(0, false)
		}
	}
	t.alone.Add(1)
	return nil
}

// ask asks the server once, or twice if its clock was not known.
func (r *reservation) ask(ctx context.Context) (answer, error) {
	t := r.shared
	limit := time.Now().Add(t.cfg.Patience)
	ctx, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	r.asked = true
	for again := false; ; again = true {
		until := int64(limit.Sub(t.began)/time.Microsecond) + t.offset.Load()
		a, err := t.client.askToReserve(ctx, r.of, r.of.reserveArgs(r.id, until,
			(t.cfg.MaxWait/2).Microseconds(), (t.cfg.MaxAttempt+margin).Microseconds()))
		if err != nil {
			return answer{}, err
		}
		t.breaker.answered()
		t.offset.Store(a.now - time.Since(t.began).Microseconds())
		if a.code != late || again {
			return a, nil
		}
	}
}

// sleep waits, and reports whether there was time to.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Settle implements [throttle.Reservation]. It does not wait for the server.
func (r *reservation) Settle(ctx context.Context, v throttle.Verdict) {
	r.Reservation.Settle(ctx, v)
	verdict := verdictOf(v)
	if !r.settled.CompareAndSwap(false, true) || verdict == refunded && !r.asked {
		return
	}
	r.shared.settler.add(result{of: r.of, id: r.id, verdict: verdict})
}

// Reset frees an account, here and at the server. found reports whether it had failures. Other
// instances forget nothing that they counted themselves.
func (t *Throttle) Reset(ctx context.Context, account throttle.Account) (found bool, err error) {
	found = t.local.Reset(account)
	t.refusals.forget(account)
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	base := t.naming.base(account)
	there, err := t.client.remove(ctx, base+ofFailures, base+ofUnanswered)
	return found || there, err
}

// examineUntil examines the server at once, and then every second, until ctx ends.
func (t *Throttle) examineUntil(ctx context.Context) {
	ticks := time.NewTicker(examineInterval)
	defer ticks.Stop()
	for {
		err := t.examine(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			t.breaker.fault(err)
		default:
			t.breaker.recovered()
		}
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}

// examine reserves and settles an attempt on an account that is nobody's, each time on another node
// of a Cluster. Connections that the server has closed since they were used do not count, unless
// they are all there is.
func (t *Throttle) examine(ctx context.Context) (err error) {
	for range poolSize + 1 {
		var home throttle.Account
		_, _ = rand.Read(home[:]) // it never fails
		of := t.naming.counts(home, []throttle.Budget{throttle.Unlimited(home)})
		if err = t.examineOnce(ctx, &of); !isEnded(err) {
			return err
		}
	}
	return err
}

func (t *Throttle) examineOnce(ctx context.Context, of *counts) error {
	connecting, connected := context.WithTimeout(ctx, connectTime)
	defer connected()
	if err := t.client.ready(connecting); err != nil {
		return err
	}
	r := &reservation{shared: t, of: of, id: rand.Text()}
	if _, err := r.ask(ctx); err != nil {
		return err
	}
	settling, settled := context.WithTimeout(ctx, t.cfg.Patience)
	defer settled()
	return t.client.settleAll(settling, []result{{of: of, id: r.id, verdict: refunded}})
}

// isEnded reports whether the server has closed a connection.
func isEnded(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}

// Stat returns a snapshot.
func (t *Throttle) Stat() throttle.SharedStat {
	up, since, why := t.breaker.state()
	return throttle.SharedStat{Server: t.cfg.Server.String(), Up: up, Since: since, Err: why, Dropped: t.settler.dropped.Load(), Alone: t.alone.Load()}
}

// String returns the addresses of the server.
func (s Server) String() string {
	kind := "redis "
	switch {
	case s.Master != "":
		kind = "sentinel " + s.Master + " "
	case s.Cluster:
		kind = "cluster "
	}
	return kind + strings.Join(s.Addrs, ",")
}
