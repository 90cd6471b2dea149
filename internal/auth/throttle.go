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

// reserve takes an attempt from the account's budget, before its password is tried. found tells whether the account is the
// entry l.user; otherwise it is the name that was typed, so that names without an entry are treated like others.
// It tells whether the login goes on.
func (l *login) reserve(ctx context.Context, found bool) bool {
	if l.cfg.Throttle == nil {
		return true
	}
	account := throttle.ByName(l.cfg.Preset.fold(l.username))
	if found && l.cfg.DNTemplate == "" {
		account = throttle.ByEntry(l.user.DN)
	}
	began := time.Now()
	r, err := l.cfg.Throttle.Reserve(ctx, account, l.client)
	l.result.Phases.Throttle = time.Since(began)
	if err != nil {
		var refused *throttle.Refusal
		if errors.As(err, &refused) && refused.Exhausted {
			l.spellings.Put(l.username, account)
		}
		l.end(judgeThrottle(err))
		return false
	}
	l.reservation = r
	return true
}

// settle tells the throttle what the attempt came to.
func (l *login) settle(ctx context.Context) {
	if l.reservation != nil {
		l.reservation.Settle(ctx, l.countsAs(l.result))
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
