// Package credcache remembers which credentials a directory has accepted and rejected a moment ago,
// so that many requests with the same credentials cost one login. It knows no HTTP and no LDAP, has
// no clock and no goroutine.
//
// It keeps no password and nothing from which one can be computed without the random key of this
// process. A login asks it in two steps, between which the account's throttle is looked at:
//
//	id := cache.ID(name, client)
//	account, ok := cache.Account(now, id)          // which account a login of that name tries
//	verdict, user := cache.Verify(now, id, password) // what the directory said of that password
package credcache

import (
	"container/list"
	"crypto/rand"
	"crypto/subtle"
	"sync"
	"time"
)

const (
	// maxRejected is how many rejected passwords of a name and client are remembered.
	maxRejected = 4
	// maxClients is how many names and clients of one account are remembered, so that one account
	// cannot fill the cache.
	maxClients = 32
	// meanBytes times Config.Size, or minSize if that is more, bounds the weight of all values. One
	// value may have a sixteenth of that.
	meanBytes = 4 << 10
	minSize   = 256
	maxShare  = 16
)

// Config bounds a Cache.
type Config struct {
	TTL        time.Duration // how long an accepted password is known; 0 turns the cache off
	FailureTTL time.Duration // how long a rejected password is known; 0 is not at all
	Stale      time.Duration // how long after TTL an accepted password is still known as [Stale]
	Size       int           // names and clients with an accepted password, and as many without
}

// Verdict is what the directory said of a password.
type Verdict uint8

// Verdicts. The zero value permits nothing.
const (
	Unknown  Verdict = iota // nothing that still counts
	Rejected                // it was wrong within FailureTTL
	Stale                   // it was right, more than TTL ago
	Accepted                // it was right within TTL
)

// Cache holds values of V, which describe users that have logged in, each with its account A. Its
// methods may be called by several goroutines at once. Values are shared: nobody may change one.
type Cache[A comparable, V any] struct {
	cfg    Config
	weigh  func(V) int
	hashes hashes

	mu       sync.Mutex                      // guards what follows
	entries  map[[macSize]byte]*list.Element // by the MAC of their ID
	accepted list.List                       // of *entry[A, V] with an accepted password, the one used last at the front
	rejected list.List                       // of *entry[A, V] without one, likewise: a flood of wrong passwords evicts no right one
	accounts map[A]map[*entry[A, V]]struct{}
	weight   int       // of all values
	used     uint64    // of the entry that was used last
	swept    time.Time // when expired entries were removed last

	logins  int          // under way
	drops   uint64       // so far
	dropped map[A]uint64 // accounts and their last drop, while logins are under way
	floor   uint64       // logins from before this drop are not stored
}

// entry is what is known of a name and client.
type entry[A comparable, V any] struct {
	id       ID
	account  A
	accepted secret // the zero value is none
	value    V      // with accepted
	weight   int    // of value
	rejected [maxRejected]secret
	guessed  [maxRejected]secret // that got no verdict
	used     uint64
}

// accepts reports whether a password is remembered as accepted.
func (e *entry[A, V]) accepts() bool { return !e.accepted.at.IsZero() }

// secret is a password that the directory has judged.
type secret struct {
	mac [macSize]byte
	at  time.Time // when its login began; zero: there is none
}

// New makes a Cache. weigh returns about how many bytes a value holds.
func New[A comparable, V any](cfg Config, weigh func(V) int) *Cache[A, V] {
	c := &Cache[A, V]{
		cfg: cfg, weigh: weigh,
		entries: map[[macSize]byte]*list.Element{}, accounts: map[A]map[*entry[A, V]]struct{}{}, dropped: map[A]uint64{},
	}
	key := make([]byte, macSize)
	_, _ = rand.Read(key) // it never fails
	c.hashes.init(key)
	return c
}

// ID identifies a name that a client typed.
type ID struct {
	mac  [macSize]byte
	name string
}

// ID returns the ID of a name and client.
func (c *Cache[A, V]) ID(name, client string) ID {
	return ID{c.hashes.sum("id", name, client), name}
}

// Account returns the account that the name led to when the client last logged in with it, if that
// still counts for anything. accepts reports whether a password of it is remembered as accepted.
func (c *Cache[A, V]) Account(now time.Time, id ID) (account A, accepts, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.findLocked(now, id)
	if e == nil {
		return account, false, false
	}
	return e.account, e.accepts(), true
}

// Guess remembers that a password was compared and got no verdict, and reports whether it is the
// first time within FailureTTL. If the password is not remembered, it is the first time.
func (c *Cache[A, V]) Guess(now time.Time, id ID, password string) (first bool) {
	mac := c.password(id, password)
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.findLocked(now, id)
	if e == nil {
		return true
	}
	oldest := &e.guessed[0]
	for i := range e.guessed {
		g := &e.guessed[i]
		if g.is(mac)&within(now, g.at, c.cfg.FailureTTL) == 1 {
			return false
		}
		if g.at.Before(oldest.at) {
			oldest = g
		}
	}
	*oldest = secret{mac, now}
	return true
}

// Verify returns what the directory said of a password, with the user if it was right. It takes as
// long for a right password as for a wrong one.
func (c *Cache[A, V]) Verify(now time.Time, id ID, password string) (verdict Verdict, value V) {
	mac := c.password(id, password)
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.findLocked(now, id)
	if e == nil {
		return Unknown, value
	}
	isAccepted, isRejected := e.accepted.is(mac), 0
	for i := range e.rejected {
		isRejected |= e.rejected[i].is(mac) & within(now, e.rejected[i].at, c.cfg.FailureTTL)
	}
	switch {
	case isAccepted&within(now, e.accepted.at, c.cfg.TTL) == 1:
		c.touchLocked(e)
		return Accepted, e.value
	case isAccepted&within(now, e.accepted.at, c.cfg.TTL+c.cfg.Stale) == 1:
		return Stale, e.value
	case isRejected == 1:
		c.touchLocked(e)
		return Rejected, value
	}
	return Unknown, value
}

// Key returns what identifies the credentials of an ID and password, and reveals neither.
func (c *Cache[A, V]) Key(id ID, password string) string {
	mac := c.password(id, password)
	return string(mac[:])
}

// Len returns the number of names and clients with an accepted password, and without.
func (c *Cache[A, V]) Len() (accepted, rejected int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.accepted.Len(), c.rejected.Len()
}

func (c *Cache[A, V]) password(id ID, password string) [macSize]byte {
	return c.hashes.sum("password", string(id.mac[:]), password)
}

// is returns 1 if the secret is a password's, in constant time, and 0 otherwise.
func (s *secret) is(mac [macSize]byte) int { return subtle.ConstantTimeCompare(s.mac[:], mac[:]) }

// within returns 1 if now is less than ttl after a time that is not zero.
func within(now, at time.Time, ttl time.Duration) int {
	if !at.IsZero() && now.Sub(at) < ttl {
		return 1
	}
	return 0
}
