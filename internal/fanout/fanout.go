// Package fanout passes the events of logins and of the pool to several observers. Observers are
// independent of each other. To add one, implement [auth.Observer] or return an [ldappool.Trace],
// and add it where the service is built.
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
			Acquired:      chain2(t.Acquired, next.Acquired),
			Operated:      chain2(t.Operated, next.Operated),
			Dialed:        chain(t.Dialed, next.Dialed),
			Pinged:        chain(t.Pinged, next.Pinged),
			Retired:       chain(t.Retired, next.Retired),
			ServerChanged: chain(t.ServerChanged, next.ServerChanged),
			LimitLearned:  chain3(t.LimitLearned, next.LimitLearned),
			QuirkLearned:  chain3(t.QuirkLearned, next.QuirkLearned),
			LookedUp:      chain3(t.LookedUp, next.LookedUp),
			Reconfigured:  chain(t.Reconfigured, next.Reconfigured),
		}
	}
	return t
}

// chain returns a hook that calls f and then g. Either may be nil.
func chain[A any](f, g func(A)) func(A) {
	if f == nil {
		return g
	}
	if g == nil {
		return f
	}
	return func(a A) { f(a); g(a) }
}

func chain2[A, B any](f, g func(A, B)) func(A, B) {
	if f == nil {
		return g
	}
	if g == nil {
		return f
	}
	return func(a A, b B) { f(a, b); g(a, b) }
}

func chain3[A, B, C any](f, g func(A, B, C)) func(A, B, C) {
	if f == nil {
		return g
	}
	if g == nil {
		return f
	}
	return func(a A, b B, c C) { f(a, b, c); g(a, b, c) }
}
