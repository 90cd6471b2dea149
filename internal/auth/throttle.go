package auth

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"

	"authsvc/internal/ldapname"
	"authsvc/internal/throttle"
)

// checkThrottle fails if the client, or the typed name, is known to be exhausted. Then the
// directory is not used.
func (l *login) checkThrottle(ctx context.Context) error {
	if err := l.checkAccount(ctx, throttle.AnyAccount); err != nil {
		return err
	}
	if account, known := l.exhaustedNames.Get(l.username); known {
		return l.checkAccount(ctx, account)
	}
	return nil
}

// checkAccount fails if the client has no attempts left on an account.
func (l *login) checkAccount(ctx context.Context, account throttle.Account) error {
	if l.cfg.Throttle == nil {
		return nil
	}
	if err := l.cfg.Throttle.Check(ctx, account, l.client); err != nil {
		return asError(judgeThrottle(err))
	}
	return nil
}

// maxReservations is the largest number of budgets of a login.
const maxReservations = 4

// reservations are the reserved attempts; nil after the last.
type reservations [maxReservations]throttle.Reservation

// settle settles the attempts.
func (all *reservations) settle(ctx context.Context, v throttle.Verdict) {
	for _, r := range all {
		if r != nil {
			r.Settle(ctx, v)
		}
	}
}

// reserve reserves an attempt in each budget that an attempt on an account counts for, before the
// password is tried. The client's budget over all accounts is first, so that a client whose
// attempts wait for it does not delay other clients.
func (l *login) reserve(ctx context.Context, account throttle.Account) (reserved reservations, err error) {
	if l.cfg.Throttle == nil {
		return reserved, nil
	}
	asked := time.Now()
	defer func() { l.phases.Throttle += time.Since(asked) }()
	wait := throttle.ForOneLogin(ctx)
	if l.cfg.ThrottleWait > 0 {
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeout(wait, l.cfg.ThrottleWait)
		defer cancel()
	}
	accounts, n := l.accounts(account)
	for i, account := range accounts[:n] {
		r, err := l.cfg.Throttle.Reserve(wait, account, l.client)
		if err != nil {
			var refused *throttle.Refusal
			if errors.As(err, &refused) && refused.Exhausted && account != throttle.AnyAccount {
				l.exhaustedNames.Put(l.username, account)
			}
			reserved.settle(ctx, throttle.Refunded)
			return reservations{}, asError(judgeThrottle(err))
		}
		reserved[i] = r
	}
	return reserved, nil
}

// accounts returns the n accounts that an attempt on an account counts for. The first is
// AnyAccount. In uniform mode the typed name counts even if there is an entry. Otherwise two names
// that have the same key, but are different to the directory, would share a budget only if neither
// has an entry. See successKeepsCount for the last account.
func (l *login) accounts(account throttle.Account) (all [maxReservations]throttle.Account, n int) {
	add := func(a throttle.Account) {
		all[n] = a
		n++
	}
	add(throttle.AnyAccount)
	if l.clock != nil && account != l.typedAccount() {
		add(l.typedAccount())
	}
	add(account)
	if l.successKeepsCount() {
		add(throttle.ByAmbiguousName(l.nameKey()))
	}
	return all, n
}

// account is whose failures an attempt is counted with: the entry's, or if none was searched for or
// found, the typed name's, so that names without an entry are treated like others.
func (l *login) account() throttle.Account {
	if l.identity.user.DN == "" || l.cfg.DNTemplate != "" {
		return l.typedAccount()
	}
	return throttle.ByEntry(l.identity.user.DN)
}

// typedAccount returns the account of the typed name, whether it has an entry or not.
func (l *login) typedAccount() throttle.Account { return throttle.ByName(l.nameKey()) }

// nameKey returns the same key for all spellings of the typed name that the directory may treat as
// one name. At Active Directory every account has three names, and two of them contain a name of
// the domain. They have one key as soon as the domain's names are known. With different keys, they
// would share a budget only if there is an entry.
func (l *login) nameKey() string {
	if l.comparesNumber {
		return strings.NewReplacer(" ", "", "-", "").Replace(ldapname.CountKeyAD(l.username))
	}
	key := l.cfg.Dialect.NameKey(l.username)
	if d := l.cachedDomain.Load(); d != nil && l.filter != nil {
		key = d.AccountKey(key)
	}
	return key
}

// successKeepsCount reports whether a success clears no count. With a DN template the directory
// returns no entry, and all spellings of a name share one count. Some of them may be another
// entry's (𝐔ser and user at OpenLDAP). The owner of one entry must not clear the count of the other
// with their own password. Spellings in ASCII differ only in case and spaces: they are one entry,
// and its success clears the count. Failures under all other spellings are counted a second time,
// in a count that no success clears. If names may be compared as telephone numbers, spellings with
// spaces and hyphens are treated like these.
func (l *login) successKeepsCount() bool {
	if l.comparesNumber && strings.ContainsAny(l.username, " -") {
		return true
	}
	return l.cfg.DNTemplate != "" && strings.ContainsFunc(l.username, func(r rune) bool { return r > unicode.MaxASCII })
}

// settle settles the login's attempts according to its result.
func (l *login) settle(ctx context.Context, reserved *reservations, r *Result, unanswered bool) {
	v := l.throttleVerdict(*r)
	switch {
	case unanswered:
		v = throttle.Unanswered
	case v == throttle.Succeeded && l.successKeepsCount():
		v = throttle.Refunded
	}
	reserved.settle(ctx, v)
}

// throttleVerdict returns the throttle's verdict for a result. It depends on the visible result: in
// uniform mode a locked account must become exhausted like any other.
func (a *Authenticator) throttleVerdict(r Result) throttle.Verdict {
	switch a.visibleResult(r).Outcome {
	case OK:
		return throttle.Succeeded
	case InvalidUser, InvalidPassword:
		return throttle.Failed
	}
	return throttle.Refunded
}

// throttleVerdict returns the throttle's verdict for a result. A reverse proxy answers a stranger
// alike for all accounts, whatever mode there is, so they are counted alike.
func (l *login) throttleVerdict(r Result) throttle.Verdict {
	if l.forwarded && r.Outcome.keepsOut() && !r.PasswordSeen {
		return throttle.Failed
	}
	return l.Authenticator.throttleVerdict(r)
}

// judgeThrottle returns the result of an attempt that the throttle did not allow: TooManyAttempts
// if the throttle refused it, InternalError if the throttle failed.
func judgeThrottle(err error) Result {
	var refused *throttle.Refusal
	if errors.As(err, &refused) {
		return Result{Outcome: TooManyAttempts, RetryAfter: refused.RetryAfter, Cause: err}
	}
	return Result{Outcome: InternalError, Cause: err}
}
