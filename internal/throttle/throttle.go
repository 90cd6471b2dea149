package throttle

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// Verdict is the result of an attempt, for the throttle.
type Verdict uint8

const (
	// Refunded returns the attempt to the budget: the password was not found to be wrong.
	Refunded Verdict = iota
	// Failed counts the attempt.
	Failed
	// Succeeded returns the attempt to the budget and clears the client's count for the account.
	// The account's own count stays: one user's success must not give other clients more attempts.
	Succeeded
	// Unanswered is for an attempt that the directory did not answer and may have counted as a
	// failure. It is not counted as a failure. It reduces the budget of concurrent attempts, as
	// long as a failure would count or until an attempt succeeds. One attempt at a time is always
	// allowed.
	Unanswered
)

// Reservation is an allowed attempt. It must be settled once; settling it again does nothing.
type Reservation interface {
	// Settle records the result of the attempt.
	Settle(ctx context.Context, v Verdict)
}

// ForOneLogin returns a context for all reservations of one login, so that a Throttle which asks a
// server waits for that only once if it does not answer.
func ForOneLogin(ctx context.Context) context.Context {
	return context.WithValue(ctx, loginKey{}, new(atomic.Bool))
}

type loginKey struct{}

// GiveUp records that the server of a shared Throttle does not answer in time. The other
// reservations of the same login do not ask it.
func GiveUp(ctx context.Context) {
	if given, ok := ctx.Value(loginKey{}).(*atomic.Bool); ok {
		given.Store(true)
	}
}

// GaveUp reports whether GiveUp was called for the same login.
func GaveUp(ctx context.Context) bool {
	given, ok := ctx.Value(loginKey{}).(*atomic.Bool)
	return ok && given.Load()
}

// Throttle decides which attempts are allowed. [Memory] implements it. Package sharedthrottle has
// one that several instances share.
type Throttle interface {
	// Check reports whether an attempt would be rejected now, regardless of those under way. It
	// reserves nothing. The error is a *Refusal.
	Check(ctx context.Context, account Account, client string) error
	// Reserve takes one attempt from the budgets. If attempts under way have reserved the rest of a
	// budget, it waits for them. A *Refusal means that the attempt is not allowed; any other error,
	// that the throttle failed.
	Reserve(ctx context.Context, account Account, client string) (Reservation, error)
	// Count records a failure that was not reserved. It never waits.
	Count(ctx context.Context, account Account, client string)
}

// Limit is a kind of limit.
type Limit uint8

const (
	// AccountClientLimit is for one account from one client.
	AccountClientLimit Limit = iota
	// AccountLimit is for one account from everywhere.
	AccountLimit
	// ClientLimit is for one client over all accounts.
	ClientLimit
	// SiteLimit is for all clients of one IPv6 /48 over all accounts.
	SiteLimit

	limitCount
)

// String returns the limit's name in metrics and on the status page.
func (l Limit) String() string {
	return [...]string{"account_client", "account", "client", "client_site"}[l]
}

// SharedStat is a snapshot of what several instances share.
type SharedStat struct {
	Server  string // addresses, without a password
	Up      bool   // the server is asked; otherwise this instance counts alone
	Since   time.Time
	Err     string // why the server is not asked
	Dropped uint64 // results that the server was not told, since the start
	Alone   uint64 // attempts that only this instance's throttle decided, since the start
}

// Refusal is the error of an attempt that is not allowed now.
type Refusal struct {
	// RetryAfter is the shortest time until an attempt is allowed.
	RetryAfter time.Duration
	// Exhausted means that failures have used up the budget. Otherwise attempts under way held it
	// for too long.
	Exhausted bool
	// Limit names the limit that rejected the attempt, for the log.
	Limit string
}

// Error describes the refusal for an operator.
func (r *Refusal) Error() string {
	if r.Exhausted {
		return "throttled: " + r.Limit
	}
	return fmt.Sprintf("throttled: attempts in progress hold the whole budget (%s)", r.Limit)
}
