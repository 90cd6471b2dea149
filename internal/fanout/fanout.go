// Package fanout passes the events of logins and of the pool to several observers. Observers know
// nothing of each other: to add one, implement [auth.Observer] or return an [ldappool.Trace], and
// name it where the service is built.
package fanout

import (
	"context"

	"authsvc/internal/auth"
	"authsvc/ldappool"
)

// Logins returns an observer that passes each login to all observers, in order.
func Logins(all ...auth.Observer) auth.Observer { return logins(all) }

type logins []auth.Observer

// LoginDone implements [auth.Observer].
func (l logins) LoginDone(ctx context.Context, c auth.Credentials, r auth.Result) {
	for _, o := range l {
		o.LoginDone(ctx, c, r)
	}
}

// Traces returns hooks that call those of all traces, in order. A hook that no trace sets is nil.
func Traces(all ...ldappool.Trace) ldappool.Trace {
	var t ldappool.Trace
	for _, next := range all {
		t = ldappool.Trace{
			Acquired:      both2(t.Acquired, next.Acquired),
			Operated:      both2(t.Operated, next.Operated),
			Dialed:        both(t.Dialed, next.Dialed),
			Pinged:        both(t.Pinged, next.Pinged),
			Retired:       both(t.Retired, next.Retired),
			ServerChanged: both(t.ServerChanged, next.ServerChanged),
			LimitLearned:  both3(t.LimitLearned, next.LimitLearned),
			QuirkLearned:  both3(t.QuirkLearned, next.QuirkLearned),
			LookedUp:      both3(t.LookedUp, next.LookedUp),
			Reconfigured:  both(t.Reconfigured, next.Reconfigured),
		}
	}
	return t
}

// both returns a hook that calls f and then g. Either may be nil.
func both[A any](f, g func(A)) func(A) {
	if f == nil {
		return g
	}
	if g == nil {
		return f
	}
	return func(a A) { f(a); g(a) }
}

func both2[A, B any](f, g func(A, B)) func(A, B) {
	if f == nil {
		return g
	}
	if g == nil {
		return f
	}
	return func(a A, b B) { f(a, b); g(a, b) }
}

func both3[A, B, C any](f, g func(A, B, C)) func(A, B, C) {
	if f == nil {
		return g
	}
	if g == nil {
		return f
	}
	return func(a A, b B, c C) { f(a, b, c); g(a, b, c) }
}
