package credcache

import "time"

// Login is a login under way whose result may be stored.
type Login struct {
	began time.Time
	drops uint64 // before it
}

// Begin registers a login that is about to ask the directory. Each Begin is followed by one End.
func (c *Cache[A, V]) Begin(now time.Time) Login {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.logins++
	return Login{now, c.drops}
}

// End records that a login is over, after its result was stored if it is to be.
func (c *Cache[A, V]) End() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.logins--; c.logins == 0 {
		clear(c.dropped)
	}
}

// Accept stores that the directory accepted a password of an account. The time to live counts from
// the beginning of the login. Nothing is stored if the account was dropped since, which it reports.
func (c *Cache[A, V]) Accept(now time.Time, l Login, id ID, account A, password string, value V) (dropped bool) {
	mac, weight := c.password(id, password), c.weigh(value)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mayStoreLocked(l, account) {
		return true
	}
	if weight > c.maxWeight()/maxShare {
		return false
	}
	e := c.openLocked(now, id, account)
	if e.accepted.at.After(l.began) {
		return false // a login that began later has ended before this one
	}
	for i := range e.rejected {
		if e.rejected[i].is(mac) == 0 {
			continue
		}
		if e.rejected[i].at.After(l.began) {
			return false // likewise
		}
		e.rejected[i] = secret{}
	}
	c.weight += weight - e.weight
	e.accepted, e.value, e.weight = secret{mac, l.began}, value, weight
	c.placeLocked(e)
	c.boundLocked()
	return false
}

// Reject stores that the directory rejected a password of an account. If it is the one that was
// accepted, that counts no more.
func (c *Cache[A, V]) Reject(now time.Time, l Login, id ID, account A, password string) {
	mac := c.password(id, password)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mayStoreLocked(l, account) {
		return
	}
	e := c.openLocked(now, id, account)
	if e.accepted.is(mac) == 1 && !e.accepted.at.After(l.began) {
		c.forgetAcceptedLocked(e)
	}
	oldest := &e.rejected[0]
	for i := range e.rejected {
		if s := &e.rejected[i]; s.is(mac) == 1 {
			oldest = s
			break
		} else if s.at.Before(oldest.at) {
			oldest = s
		}
	}
	if !oldest.at.After(l.began) {
		*oldest = secret{mac, l.began}
	}
	c.placeLocked(e)
	c.boundLocked()
}

// Drop forgets an account: its state or its password has changed. A login of it that is under way
// is not stored.
func (c *Cache[A, V]) Drop(account A) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removeAccountLocked(account)
	if len(c.dropped) >= c.cfg.Size {
		c.dropLoginsLocked()
		return
	}
	c.drops++
	if c.logins > 0 {
		c.dropped[account] = c.drops
	}
}

// DropIf forgets every account of which a name as it was typed, or a user who is remembered as
// accepted, matches, and returns how many. value is the zero value without one. No login that is
// under way is stored.
func (c *Cache[A, V]) DropIf(matches func(name string, value V) bool) (accounts int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for account, entries := range c.accounts {
		for e := range entries {
			if matches(e.id.name, e.value) {
				c.removeAccountLocked(account)
				accounts++
				break
			}
		}
	}
	c.dropLoginsLocked()
	return accounts
}

// DropAll forgets everything, and returns how many accounts that were.
func (c *Cache[A, V]) DropAll() (accounts int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	accounts = len(c.accounts)
	clear(c.entries)
	clear(c.accounts)
	c.accepted.Init()
	c.rejected.Init()
	c.weight = 0
	c.dropLoginsLocked()
	return accounts
}

func (c *Cache[A, V]) removeAccountLocked(account A) {
	for e := range c.accounts[account] {
		c.removeLocked(e)
	}
}

// dropLoginsLocked keeps the logins that are under way from being stored.
func (c *Cache[A, V]) dropLoginsLocked() {
	c.drops++
	c.floor = c.drops
	clear(c.dropped)
}

// mayStoreLocked reports whether an account was not dropped since a login began.
func (c *Cache[A, V]) mayStoreLocked(l Login, account A) bool {
	return c.cfg.TTL > 0 && l.drops >= c.floor && l.drops >= c.dropped[account]
}

// maxWeight bounds the weight of all values.
func (c *Cache[A, V]) maxWeight() int { return max(c.cfg.Size, minSize) * meanBytes }

// findLocked returns the entry of an ID, unless nothing in it counts any more.
func (c *Cache[A, V]) findLocked(now time.Time, id ID) *entry[A, V] {
	place := c.entries[id.mac]
	if place == nil {
		return nil
	}
	e := place.Value.(*entry[A, V])
	if c.expireLocked(now, e) {
		return nil
	}
	return e
}

// expireLocked forgets what has expired of an entry, and reports whether the entry is gone.
func (c *Cache[A, V]) expireLocked(now time.Time, e *entry[A, V]) (gone bool) {
	if e.accepts() && within(now, e.accepted.at, c.cfg.TTL+c.cfg.Stale) == 0 {
		c.forgetAcceptedLocked(e)
	}
	counts := e.accepts()
	for i := range e.rejected {
		if within(now, e.rejected[i].at, c.cfg.FailureTTL) == 0 {
			e.rejected[i] = secret{}
		} else {
			counts = true
		}
	}
	if !counts {
		c.removeLocked(e)
	}
	return !counts
}

// openLocked returns the entry of an ID, empty if it was another account's. placeLocked must
// follow.
func (c *Cache[A, V]) openLocked(now time.Time, id ID, account A) *entry[A, V] {
	c.sweepLocked(now)
	e := c.findLocked(now, id)
	if e != nil && e.account != account { // the name has become another's
		c.removeLocked(e)
		e = nil
	}
	if e == nil {
		e = &entry[A, V]{id: id, account: account}
	}
	return e
}

// placeLocked puts an entry at the front of its list.
func (c *Cache[A, V]) placeLocked(e *entry[A, V]) {
	if place := c.entries[e.id.mac]; place != nil {
		c.accepted.Remove(place)
		c.rejected.Remove(place) // it is in one of them
	}
	l := &c.rejected
	if e.accepts() {
		l = &c.accepted
	}
	c.entries[e.id.mac] = l.PushFront(e)
	if c.accounts[e.account] == nil {
		c.accounts[e.account] = map[*entry[A, V]]struct{}{}
	}
	c.accounts[e.account][e] = struct{}{}
	c.used++
	e.used = c.used
	if len(c.accounts[e.account]) > maxClients {
		c.removeLocked(c.leastUsedLocked(e.account))
	}
}

// leastUsedLocked returns the entry of an account that was used least recently, one without an
// accepted password first.
func (c *Cache[A, V]) leastUsedLocked(account A) (least *entry[A, V]) {
	for e := range c.accounts[account] {
		if least == nil || !e.accepts() && least.accepts() || e.accepts() == least.accepts() && e.used < least.used {
			least = e
		}
	}
	return least
}

func (c *Cache[A, V]) touchLocked(e *entry[A, V]) {
	c.used++
	e.used = c.used
	place := c.entries[e.id.mac]
	c.accepted.MoveToFront(place)
	c.rejected.MoveToFront(place) // it is in one of them
}

func (c *Cache[A, V]) forgetAcceptedLocked(e *entry[A, V]) {
	var none V
	c.weight -= e.weight
	e.accepted, e.value, e.weight = secret{}, none, 0
	if c.entries[e.id.mac] != nil {
		c.placeLocked(e)
		c.boundRejectedLocked()
	}
}

func (c *Cache[A, V]) removeLocked(e *entry[A, V]) {
	place := c.entries[e.id.mac]
	c.accepted.Remove(place)
	c.rejected.Remove(place) // it is in one of them
	delete(c.entries, e.id.mac)
	delete(c.accounts[e.account], e)
	if len(c.accounts[e.account]) == 0 {
		delete(c.accounts, e.account)
	}
	c.weight -= e.weight
}

// boundLocked removes the entries that were used least recently while there are too many.
func (c *Cache[A, V]) boundLocked() {
	for c.accepted.Len() > c.cfg.Size || c.weight > c.maxWeight() {
		c.removeLocked(c.accepted.Back().Value.(*entry[A, V]))
	}
	c.boundRejectedLocked()
}

func (c *Cache[A, V]) boundRejectedLocked() {
	for c.rejected.Len() > c.cfg.Size {
		c.removeLocked(c.rejected.Back().Value.(*entry[A, V]))
	}
}

// sweepLocked removes what has expired, from time to time.
func (c *Cache[A, V]) sweepLocked(now time.Time) {
	if now.Sub(c.swept) < c.cfg.TTL+c.cfg.Stale {
		return
	}
	c.swept = now
	for _, place := range c.entries {
		c.expireLocked(now, place.Value.(*entry[A, V]))
	}
}
