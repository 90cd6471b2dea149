package throttle

import "sync"

// maxExhaustedNames bounds an ExhaustedNames: both maps together take about 5 MB.
const maxExhaustedNames = 1 << 16

// ExhaustedNames caches the exhausted account that a typed name led to, so that the next attempt
// needs no search. It is bounded: when the current half is full, the previous half is dropped,
// which only costs a search for each of its names. Its methods may be called by many goroutines at
// once.
type ExhaustedNames struct {
	mu                sync.Mutex
	current, previous map[Account]Account // by the hash of the typed name; guarded by mu
}

// NewExhaustedNames returns an empty cache.
func NewExhaustedNames() *ExhaustedNames { return &ExhaustedNames{current: map[Account]Account{}} }

// Get returns the account that a typed name led to, if it is cached.
func (s *ExhaustedNames) Get(name string) (Account, bool) {
	key := digest(kindSpelling, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.current[key]
	if !ok {
		a, ok = s.previous[key]
	}
	return a, ok
}

// Put caches the account of a typed name.
func (s *ExhaustedNames) Put(name string, a Account) {
	key := digest(kindSpelling, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.current) >= maxExhaustedNames/2 {
		s.current, s.previous = make(map[Account]Account, maxExhaustedNames/2), s.current
	}
	s.current[key] = a
}
