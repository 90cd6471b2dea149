package auth

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"authsvc/internal/credcache"
	"authsvc/internal/throttle"
)

// Source says what an answer of Verify was taken from.
type Source string

// Sources.
const (
	FromNothing   Source = "none"  // no password was compared, or there is no cache
	FromDirectory Source = "miss"  // a login at the directory
	FromCache     Source = "hit"   // a login that the directory has decided a moment ago
	FromStale     Source = "stale" // an older one, because the directory is away
)

// Sources returns every source.
func Sources() []Source { return []Source{FromNothing, FromDirectory, FromCache, FromStale} }

var (
	errNoGroups        = errors.New("the request requires a group, and no groups are looked up: set LDAP_GROUP_BASE_DN or another variable of groups")
	errRejectedBefore  = errors.New("the directory rejected this password a moment ago")
	errNotInAskedGroup = errors.New("in none of the groups that the request requires")
)

// Verify decides the credentials of one of the many requests that a user sends to something behind
// a reverse proxy. It differs from Authenticate in two ways: the directory is not asked again about
// credentials that it has judged a moment ago, and the user must be in the groups that the request
// requires. Logins at the directory, refusals of the throttle, and faults are reported to the
// observer.
//
// The order is the argument for its safety. The client's budget for the account is looked at before
// a password is compared with what is remembered, so the cache answers nobody whom the throttle
// would not let ask. A password that is neither the accepted one nor a rejected one takes the way
// of every login. If it gets no verdict there, it is counted as a failure: it was compared.
func (a *Authenticator) Verify(ctx context.Context, c Credentials) (Result, Source) {
	if a.remembered == nil || c.Validate() != nil {
		return a.verifyAtDirectory(ctx, c).result, FromNothing
	}
	id := a.remembered.cache.ID(c.Username, c.Client)
	for {
		r, source, decided := a.verifyRemembered(ctx, c, id)
		if !decided {
			continue
		}
		if r.Outcome == TooManyAttempts {
			source = FromNothing
		}
		return r, source
	}
}

// verifyRemembered is Verify with a cache. decided is false if the directory has judged the
// credentials since the cache was asked: then it has to be asked again.
func (a *Authenticator) verifyRemembered(ctx context.Context, c Credentials, id credcache.ID) (r Result, source Source, decided bool) {
	m, l := a.remembered, a.newLogin(c)
	if _, _, known := m.cache.Account(l.began, id); !known {
		r, d := a.verifyOnce(ctx, c, id, func() bool {
			_, _, known := m.cache.Account(time.Now(), id)
			return known
		})
		return r, FromDirectory, d != nil
	}
	endGuess, err := l.beginGuess(ctx, id)
	if err != nil {
		return l.report(ctx, c, Result{Outcome: Overloaded, RetryAfter: retryAfter, Cause: err}), FromNothing, true
	}
	defer endGuess()
	account, accepts, known := m.cache.Account(time.Now(), id)
	if !known { // any more
		return Result{}, FromNothing, false
	}
	if err := l.mayCompare(ctx, account); err != nil {
		endGuess()
		return l.visibleAnswer(l.report(ctx, c, resultOf(err))), FromNothing, true
	}
	verdict, user := m.cache.Verify(time.Now(), id, c.Password)
	if verdict != credcache.Unknown {
		endGuess()
	}
	switch verdict {
	case credcache.Accepted:
		return l.permit(ctx, c, user), FromCache, true
	case credcache.Rejected:
		return l.visibleAnswer(Result{Outcome: InvalidPassword, Cause: errRejectedBefore}), FromCache, true
	}
	r, d := a.verifyOnce(ctx, c, id, func() bool {
		latest, _ := m.cache.Verify(time.Now(), id, c.Password)
		return latest == credcache.Accepted || latest == credcache.Rejected
	})
	switch {
	case d == nil, r.Outcome.IsVerdict(), r.PasswordSeen:
	case verdict == credcache.Unknown && accepts:
		if d.guessed.CompareAndSwap(false, true) && m.cache.Guess(time.Now(), id, c.Password) {
			l.countGuess(ctx, account)
		}
	case r.Outcome.isDirectoryFault():
		if verdict, user = m.cache.Verify(time.Now(), id, c.Password); verdict >= credcache.Stale {
			return l.permit(ctx, c, user), FromStale, true
		}
	}
	return r, FromDirectory, d != nil
}

// mayCompare fails if the client has no attempt left on one of the accounts for which an attempt on
// this account counts.
func (l *login) mayCompare(ctx context.Context, account throttle.Account) error {
	accounts, n := l.accounts(account)
	for _, a := range accounts[:n] {
		if err := l.checkAccount(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// countGuess counts a password that was compared with the accepted one, was another, and got no
// verdict.
func (l *login) countGuess(ctx context.Context, account throttle.Account) {
	if l.cfg.Throttle == nil {
		return
	}
	accounts, n := l.accounts(account)
	for _, a := range accounts[:n] {
		l.cfg.Throttle.Count(ctx, a, l.client)
	}
}

// decision is what came of a login that Verify made.
type decision struct {
	result  Result      // for the request that made it
	user    *verified   // if the directory accepted the credentials
	dropped bool        // the user's account was dropped meanwhile: another request has to ask again
	guessed atomic.Bool // one of the requests that it is for has counted the password as a guess
}

// verifyOnce decides a request at the directory. While a login with the same credentials is under
// way, it waits for that one instead of making another. The decision is nil if such a login has
// just ended, which known reports, or if what it says counts no more.
func (a *Authenticator) verifyOnce(ctx context.Context, c Credentials, id credcache.ID, known func() bool) (Result, *decision) {
	var own *decision
	shared, _, _ := a.remembered.flights.Do(a.remembered.cache.Key(id, c.Password), func() (any, error) {
		if !known() {
			own = a.verifyAtDirectory(ctx, c)
		}
		return own, nil
	})
	switch d := shared.(*decision); {
	case d == nil, d != own && d.dropped:
		return Result{}, nil
	case d == own || d.user == nil:
		return d.result, d
	default:
		return a.newLogin(c).permit(ctx, c, d.user), d
	}
}

// verifyAtDirectory makes a login.
func (a *Authenticator) verifyAtDirectory(ctx context.Context, c Credentials) *decision {
	l, d := a.newLogin(c), &decision{}
	defer l.releaseTurn()
	d.result = l.visibleAnswer(l.decide(ctx, c, func(ctx context.Context) Result {
		var r Result
		r, d.user, d.dropped = l.attemptAndRemember(ctx, c)
		if d.user == nil {
			return r
		}
		return l.require(ctx, c, r, d.user)
	}))
	return d
}

// permit returns the result of a request whose credentials were accepted before.
func (l *login) permit(ctx context.Context, c Credentials, user *verified) Result {
	if c.requiresGroups() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), l.cfg.Timeout)
		defer cancel()
	}
	r := l.require(ctx, c, Result{Outcome: OK, PasswordSeen: true, DN: user.DN}, user)
	if r.Outcome.IsFault() {
		return l.report(ctx, c, r)
	}
	return r
}

// requiresGroups reports whether the user must be in a group that the request names.
func (c Credentials) requiresGroups() bool { return c.Forward != nil && len(c.Forward.Required) > 0 }

// report reports a result that no login at the directory has, and returns it.
func (l *login) report(ctx context.Context, c Credentials, r Result) Result {
	l.phases.Total = time.Since(l.began)
	r.Server, r.Phases = l.server, l.phases
	l.observer.LoginDone(context.WithoutCancel(ctx), c, r)
	return r
}

// require returns r, the result of a login that was accepted, if the user is in the groups that the
// request requires. Then User.Groups are only those.
func (l *login) require(ctx context.Context, c Credentials, r Result, user *verified) Result {
	u := user.User
	if c.requiresGroups() {
		held, err := l.heldOf(ctx, c.Forward.Required, user)
		if err != nil {
			return r.followedBy(resultOf(err))
		}
		u.Groups = held
	}
	r.User = &u
	return r
}

// heldOf returns the names of those of a user's groups that the requirements list. One of each must
// be held. A directory that does not answer matters only if no other alternative permits.
func (l *login) heldOf(ctx context.Context, required []Requirement, user *verified) ([]string, error) {
	if l.groups == nil {
		return nil, asError(Result{Outcome: InternalError, Cause: errNoGroups})
	}
	held := []string{}
	for _, alternatives := range required {
		permitted := false
		var fault error
		for _, item := range alternatives {
			g, err := l.heldGroup(ctx, item, user)
			if err != nil {
				fault = err
			}
			if g == nil {
				continue
			}
			permitted = true
			if g.name != "" {
				held = append(held, g.name)
			}
		}
		switch {
		case permitted:
		case fault != nil:
			return nil, fault
		default:
			return nil, asError(Result{Outcome: NotPermitted, Cause: errNotInAskedGroup})
		}
	}
	slices.Sort(held)
	return slices.Compact(held), nil
}

// heldGroup returns that of a user's groups which a request requires, or nil. What the directory
// says of another spelling is remembered with the user.
func (l *login) heldGroup(ctx context.Context, item string, user *verified) (*group, error) {
	r := parseRequired(item)
	if g := r.exact(user.groups, l.groups.NameAttribute); g != nil {
		return g, nil
	}
	if known, ok := user.spellings.Load(item); ok {
		return known.(*group), nil
	}
	g, err := l.equivalent(ctx, r, user.groups)
	if g != nil {
		user.spellings.Store(item, g)
	}
	return g, err
}
