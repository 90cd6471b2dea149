package throttle

import "sync"

// maxSpellings bounds a Spellings: with both halves of their maps about 5 MB.
const maxSpellings = 1 << 16

// Spellings remembers which account a name as typed led to, where that was found exhausted: the
// next time the directory need not be asked. It is bounded: when half of it is new, the older half
// goes, which costs a search each and nothing else. Its methods may be called by many goroutines at
// once.
type Spellings struct {
	mu         sync.Mutex
	young, old map[Account]Account // by the hash of the spelling; guarded by mu
}

// NewSpellings makes an empty one.
func NewSpellings() *Spellings { return &Spellings{young: map[Account]Account{}} }

// Get is the account that a spelling led to, where that is remembered.
func (s *Spellings) Get(name string) (Account, bool) {
	key := digest(kindSpelling, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.young[key]
	if !ok {
		a, ok = s.old[key]
	}
	return a, ok
}

// Put remembers it.
func (s *Spellings) Put(name string, a Account) {
	key := digest(kindSpelling, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.young) >= maxSpellings/2 {
		s.young, s.old = make(map[Account]Account, maxSpellings/2), s.young
	}
	s.young[key] = a
}
