package auth

import (
	"context"
	"time"

	"authsvc/internal/throttle"
)

// visibleResult returns what the caller sees of a result. In uniform mode every verdict that the
// directory gives without having verified the password is a wrong password.
func (a *Authenticator) visibleResult(r Result) Result {
	if a.clock != nil && r.Outcome != OK && r.Outcome.IsVerdict() && !r.PasswordSeen {
		r.Outcome, r.RetryAfter = InvalidPassword, 0
	}
	return r
}

// answer returns what the caller sees of a decided login, in uniform mode at the moment when the
// caller may see it. The wait does not end early if the caller hangs up: it holds the name's turn,
// and a turn that a caller can end reveals how long the attempt before it took.
func (l *login) answer(r Result) Result {
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
		l.releaseTurn() // it tried no password: nothing to wait for
	default:
		return visible
	}
	l.clock.wait(l.began, l.step)
	return visible
}

// takeTurn waits for the turn of the name that was typed. In uniform mode attempts on one name run
// one after another, each until its answer is visible: ten at once take the same time whether the
// directory computes ten password hashes for them or none. The turn is the name's and not the
// entry's: two names of one entry that wait for each other would reveal with two requests that the
// entry exists.
//
// An exhausted name is refused here, before the search: a turn that ends without an answer to wait
// for would reveal to the attempt after it how long the search took.
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
		return end(judgeThrottle(err))
	}
	l.release = release
	if !waited {
		return nil
	}
	l.began = time.Now()
	return l.checkAccount(ctx, account) // by the attempts that it waited for
}

// turnAccount returns the account of the name that was typed, once the names of the domain are
// known that may be part of it.
func (l *login) turnAccount(ctx context.Context) (throttle.Account, error) {
	if l.filter != nil && l.cfg.Dialect.IsQualified(l.username) {
		if _, err := l.domain(ctx); err != nil {
			return throttle.Account{}, err
		}
	}
	return l.typedAccount(), nil
}

// releaseTurn lets the next attempt on the name run.
func (l *login) releaseTurn() {
	if l.release != nil {
		l.release()
		l.release = nil
	}
}
