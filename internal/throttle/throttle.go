package throttle

import (
	"context"
	"fmt"
	"time"
)

// Verdict is what an attempt came to, as far as the throttle cares.
type Verdict uint8

const (
	// Returned gives the attempt back: the attempt did not show that the password was wrong.
	Returned Verdict = iota
	// Failed counts the attempt.
	Failed
	// Succeeded gives the attempt back and clears the client's count for the account. The account's
	// own stays: one user's success must not buy everybody else more tries.
	Succeeded
	// Unanswered is of an attempt that the directory may have counted as a failure and did not
	// answer. It is not counted as one: it takes from the budget of attempts made at once, for as
	// long as a failure would or until one succeeds. One attempt at a time is always left, so it
	// refuses nobody for good.
	Unanswered
)

// Reservation is an attempt that may be made. It must be settled, once; settled again, it does
// nothing.
type Reservation interface {
	// Settle tells what the attempt came to.
	Settle(ctx context.Context, v Verdict)
}

// Throttle says which attempts may be made. [Memory] is one; one that several instances share can
// be another.
type Throttle interface {
	// Check says whether an attempt would be refused now, whatever comes of those under way. It
	// reserves nothing. The error is a *Refusal.
	Check(ctx context.Context, account Account, client string) error
	// Reserve takes one attempt from the budgets. Where attempts under way have what is left of
	// them, it waits for those. A *Refusal says that it may not be made; any other error, that
	// nobody could say.
	Reserve(ctx context.Context, account Account, client string) (Reservation, error)
}

// Limit is a kind of limit.
type Limit uint8

const (
	// AccountClientLimit is of one account from one client.
	AccountClientLimit Limit = iota
	// AccountLimit is of one account from everywhere.
	AccountLimit
	// ClientLimit is of one client over all accounts.
	ClientLimit
	// SiteLimit is of all clients of one IPv6 /48 over all accounts.
	SiteLimit

	limitCount
)

// String returns the limit's name in metrics and on the status page.
func (l Limit) String() string {
	return [...]string{"account_client", "account", "client", "client_site"}[l]
}

// Refusal says that an attempt must not be made now.
type Refusal struct {
	// RetryAfter is when one may be made, at the earliest.
	RetryAfter time.Duration
	// Exhausted tells that failures used the budget up; otherwise attempts under way had it, for
	// too long.
	Exhausted bool
	// Limit is the limit that refuses, for the log.
	Limit string
}

// Error explains the refusal to an operator.
func (r *Refusal) Error() string {
	if r.Exhausted {
		return "throttled: " + r.Limit
	}
	return fmt.Sprintf("throttled: attempts in progress hold the whole budget (%s)", r.Limit)
}
