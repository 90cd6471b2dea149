package auth

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"authsvc/internal/credcache"
	"authsvc/internal/throttle"

	"golang.org/x/sync/singleflight"
)

// maxGuesses is how many different passwords of one name and client may be compared with the
// accepted one before it is known what they came to. It bounds by how much the passwords compared
// can exceed what the throttle allows.
const maxGuesses = 3

var errTooManyGuesses = errors.New("other passwords of the same name are still being tried")

// remembered is what the directory has said of credentials.
type remembered struct {
	cache   *credcache.Cache[throttle.Account, *verified]
	flights singleflight.Group // logins under way, by their credentials

	mu      sync.Mutex
	guesses map[credcache.ID]*guesses // guarded by mu; those under way
}

// verified is a user whose credentials were accepted. It is shared; only spellings change.
type verified struct {
	User

	groups    *groupSet // nil if none are looked up
	spellings sync.Map  // of groups that the directory takes for one of these: text to *group; few, for the proxies set them
}

// guesses are the passwords of one name and client that are compared and not yet decided.
type guesses struct {
	requests map[string]int // by password, as Cache.Key has it
	ended    chan struct{}  // closed when one is decided
}

func newRemembered(cfg credcache.Config) *remembered {
	return &remembered{
		cache:   credcache.New[throttle.Account](cfg, (*verified).size),
		guesses: map[credcache.ID]*guesses{},
	}
}

// size is about how many bytes of memory a user takes.
func (v *verified) size() int {
	size := stringSize + len(v.Username) + len(v.DN) + textsSize(v.Groups)
	for name, values := range v.Attributes {
		size += stringSize + len(name) + textsSize(values)
	}
	if v.groups != nil {
		size += v.groups.size
	}
	return size
}

// beginGuess waits until a password may be compared. end may be called more than once.
func (l *login) beginGuess(ctx context.Context, id credcache.ID) (end func(), err error) {
	if l.cfg.Throttle == nil {
		return func() {}, nil // anybody may guess as often as they like
	}
	m, key := l.remembered, l.remembered.cache.Key(id, l.password)
	var timeout <-chan time.Time // set if it has to wait
	for {
		full := m.tryGuess(id, key)
		if full == nil {
			return sync.OnceFunc(func() { m.endGuess(id, key) }), nil
		}
		if timeout == nil {
			timeout = time.After(cmp.Or(l.cfg.ThrottleWait, l.cfg.Timeout))
		}
		select {
		case <-full:
		case <-timeout:
			return nil, errTooManyGuesses
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// tryGuess begins a guess, or returns what to wait for before the next try.
func (m *remembered) tryGuess(id credcache.ID, key string) (full <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.guesses[id]
	if g == nil {
		g = &guesses{map[string]int{}, make(chan struct{})}
		m.guesses[id] = g
	}
	if g.requests[key] == 0 && len(g.requests) == maxGuesses {
		return g.ended
	}
	g.requests[key]++
	return nil
}

func (m *remembered) endGuess(id credcache.ID, key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.guesses[id]
	if g.requests[key]--; g.requests[key] > 0 {
		return
	}
	delete(g.requests, key)
	close(g.ended)
	if len(g.requests) == 0 {
		delete(m.guesses, id)
		return
	}
	g.ended = make(chan struct{})
}

// attempt takes the steps of a login, and forgets what was remembered of an account that the
// directory keeps out.
func (l *login) attempt(ctx context.Context) Result {
	r := l.run(ctx)
	l.forget(r)
	return r
}

// forget drops what is remembered of an account that the directory keeps out.
func (l *login) forget(r Result) {
	if l.remembered != nil && r.Outcome.keepsOut() {
		l.remembered.cache.Drop(l.account())
	}
}

// attemptAndRemember is attempt, and remembers what the directory said of the credentials. All that
// a stranger sees as a wrong password is remembered as one: otherwise the repetition of a password
// would tell the names apart. user is nil unless the directory accepted them. dropped reports that
// what it said of the user counts no more for another request.
func (l *login) attemptAndRemember(ctx context.Context, c Credentials) (r Result, user *verified, dropped bool) {
	m := l.remembered
	if m == nil {
		r, user = l.verified(l.attempt(ctx))
		return r, user, false
	}
	id := m.cache.ID(c.Username, c.Client)
	ticket := m.cache.Begin(time.Now())
	defer m.cache.End()
	r, user = l.verified(l.attempt(ctx))
	switch {
	case user != nil:
		dropped = m.cache.Accept(time.Now(), ticket, id, l.account(), l.password, user)
	case r.Outcome.IsVerdict() && (l.throttleVerdict(r) == throttle.Failed || !r.PasswordSeen):
		if r.Outcome.keepsOut() { // its account was dropped just now, which ends the ticket
			ticket = m.cache.Begin(time.Now())
			defer m.cache.End()
		}
		m.cache.Reject(time.Now(), ticket, id, l.account(), l.password)
	}
	return r, user, dropped
}

// verified returns a login's result, and the user if the directory accepted the credentials.
func (l *login) verified(r Result) (Result, *verified) {
	if r.Outcome != OK {
		return r, nil
	}
	return r, &verified{User: *r.User, groups: l.groupsFound}
}

// Forget drops what is remembered of a user's credentials, or if username is empty, of everybody's.
// It returns how many accounts that were.
func (a *Authenticator) Forget(username string) (accounts int) {
	switch {
	case a.remembered == nil:
		return 0
	case username == "":
		return a.remembered.cache.DropAll()
	}
	return a.remembered.cache.DropIf(func(name string, user *verified) bool {
		return strings.EqualFold(name, username) || user != nil && strings.EqualFold(user.Username, username)
	})
}

// Remembered returns of how many names and clients the accepted credentials are remembered, and of
// how many only rejected ones.
func (a *Authenticator) Remembered() (accepted, rejected int) {
	if a.remembered == nil {
		return 0, 0
	}
	return a.remembered.cache.Len()
}
