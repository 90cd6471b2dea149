package auth

import (
	"context"
	"errors"
	"time"

	"authsvc/internal/throttle"
)

// throttled tells whether what was typed is known to lead to an account that is exhausted. Then the login is decided, and
// the directory is asked nothing.
func (l *login) throttled(ctx context.Context) bool {
	if l.cfg.Throttle == nil {
		return false
	}
	account, known := l.spellings.Get(l.username)
	if !known {
		return false
	}
	err := l.cfg.Throttle.Check(ctx, account, l.client)
	if err != nil {
		l.end(judgeThrottle(err))
	}
	return err != nil
}

// reserve takes an attempt from the budgets of what is tried, before its password is. found tells whether there is an entry,
// l.user. It tells whether the login goes on.
func (l *login) reserve(ctx context.Context, found bool) bool {
	if l.cfg.Throttle == nil {
		return true
	}
	began := time.Now()
	for i, account := range l.accounts(found) {
		r, err := l.cfg.Throttle.Reserve(ctx, account, l.client)
		l.result.Phases.Throttle = time.Since(began)
		if err != nil {
			var refused *throttle.Refusal
			if errors.As(err, &refused) && refused.Exhausted {
				l.spellings.Put(l.username, account)
			}
			l.end(judgeThrottle(err))
			l.settle(ctx) // what was reserved before
			return false
		}
		l.reservations[i] = r
	}
	return true
}

// accounts are those that an attempt counts for: the entry, and the name that was typed where there is none, so that names
// without an entry are treated like others. In uniform mode an entry's name counts besides: names that fold to one and are not one
// to the directory would share a budget otherwise exactly where neither has an entry.
func (l *login) accounts(found bool) []throttle.Account {
	var all []throttle.Account
	byEntry := found && l.cfg.DNTemplate == ""
	if !byEntry || l.grid != nil {
		all = append(all, throttle.ByName(l.cfg.Preset.fold(l.username)))
	}
	if byEntry {
		all = append(all, throttle.ByEntry(l.user.DN))
	}
	return all
}

// settle tells the throttle what the attempt came to.
func (l *login) settle(ctx context.Context) {
	for _, r := range l.reservations {
		if r != nil {
			r.Settle(ctx, l.countsAs(l.result))
		}
	}
}

// countsAs is what a result is to the throttle. What counts is what the caller is told: in uniform mode a locked account
// must be exhausted like any other.
func (a *Authenticator) countsAs(r Result) throttle.Verdict {
	switch a.told(r).Outcome {
	case OK:
		return throttle.Succeeded
	case InvalidUser, InvalidPassword:
		return throttle.Failed
	}
	return throttle.Returned
}

// judgeThrottle says what it means that an attempt was not let in: too many of them, or that nobody could say.
func judgeThrottle(err error) Result {
	var refused *throttle.Refusal
	if errors.As(err, &refused) {
		return Result{Outcome: TooManyAttempts, RetryAfter: refused.RetryAfter, Cause: err}
	}
	return Result{Outcome: InternalError, Cause: err}
}
