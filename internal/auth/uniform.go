package auth

import (
	"context"
	"time"

	"authsvc/internal/throttle"
)

// visibleResult returns what the caller sees of a result. In uniform mode every verdict that was
// reached without the right password is a wrong password.
func (a *Authenticator) visibleResult(r Result) Result {
	if a.clock != nil && r.Outcome != OK && r.Outcome.IsVerdict() && !r.PasswordSeen {
		r.Outcome, r.RetryAfter = InvalidPassword, 0
	}
	return r
}

// visibleAnswer returns the visible result of a decided login, in uniform mode at the time when it
// may be visible. The wait does not end early if the caller disconnects, because it holds the
// name's turn: a turn that a caller can end would reveal how long the attempt before it took.
func (l *login) visibleAnswer(r Result) Result {
	visible := l.visibleResult(r)
	if l.clock == nil {
		return visible
	}
	switch visible.Outcome {
	case InvalidPassword:
		if r.Bind.Answered || l.decoyAnswered {
			l.clock.record(r.Phases.Total-r.Phases.Throttle, time.Now())
		}
	case TooManyAttempts:
		l.releaseTurn() // no password was tried, so the turn needs no delay
	default:
		return visible
	}
	l.clock.wait(l.began, l.step)
	return visible
}

// takeTurn waits for the turn of the typed name. In uniform mode attempts on one name run one after
// another, each until its answer is visible. So ten concurrent attempts take the same time whether
// the directory computes ten password hashes for them or none. The turn is per name and not per
// entry: if attempts on two names of one entry waited for each other, they would reveal that the
// entry exists.
//
// An exhausted name is rejected here, before the search: without a delayed answer, the end of its
// turn would reveal to the next attempt how long the search took.
func (l *login) takeTurn(ctx context.Context) error {
	if l.turns == nil {
		return nil
	}
	account, err := l.turnAccount(ctx)
	if err != nil {
		return err
	}
	if err := l.checkAccount(ctx, account); err != nil {
		return err
	}
	asked := time.Now()
	release, waited, err := l.turns.Take(ctx, account, l.client)
	l.phases.Throttle += time.Since(asked)
	if err != nil {
		return asError(judgeThrottle(err))
	}
	l.release = release
	if !waited {
		return nil
	}
	l.began = time.Now()
	return l.checkAccount(ctx, account) // the attempts that it waited for may have exhausted it
}

// turnAccount returns the account of the typed name. It reads the domain's names first if the name
// may contain one.
func (l *login) turnAccount(ctx context.Context) (throttle.Account, error) {
	if l.filter != nil && l.cfg.Dialect.IsQualified(l.username) {
		if _, err := l.domain(ctx); err != nil {
			return throttle.Account{}, err
		}
	}
	return l.typedAccount(), nil
}

// releaseTurn passes the turn to the next attempt on the name.
func (l *login) releaseTurn() {
	if l.release != nil {
		l.release()
		l.release = nil
	}
}
