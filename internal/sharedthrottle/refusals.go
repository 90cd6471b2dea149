package sharedthrottle

import (
	"sync"
	"time"

	"authsvc/internal/throttle"
)

// maxRefusals bounds what refusals remember: at most two maps of half of it.
const maxRefusals = 1 << 16

// refusals remember which budgets the server said are exhausted, and until when, so that the next
// attempt on them is refused without a question, and a cache of credentials answers nobody whom the
// server would refuse. Its methods may be called by many goroutines at once.
type refusals struct {
	mu                sync.Mutex
	current, previous map[throttle.Account]refusal // by the budget's key; guarded by mu
}

type refusal struct {
	home  throttle.Account
	until time.Time
}

func newRefusals() *refusals { return &refusals{current: map[throttle.Account]refusal{}} }

// put remembers an exhausted budget.
func (r *refusals) put(home, key throttle.Account, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.current) >= maxRefusals/2 {
		r.current, r.previous = map[throttle.Account]refusal{}, r.current
	}
	r.current[key] = refusal{home, until}
}

// left returns how long a budget is still exhausted, as far as is known.
func (r *refusals) left(key throttle.Account, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.current[key]
	if !ok {
		known = r.previous[key]
	}
	return max(0, known.until.Sub(now))
}

// forget forgets the budgets of an account.
func (r *refusals) forget(home throttle.Account) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, known := range []map[throttle.Account]refusal{r.current, r.previous} {
		for key, of := range known {
			if of.home == home {
				delete(known, key)
			}
		}
	}
}
