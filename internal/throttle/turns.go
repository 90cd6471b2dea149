package throttle

import (
	"context"
	"slices"
	"sync"
	"time"

	"authsvc/internal/clientaddr"
)

// Turns serializes the attempts on each account. Unlike a [Throttle] it counts nothing: an
// account's turn is free or taken. Its methods may be called by many goroutines at once.
//
// The turn passes to the attempt that has waited longest, but attempts of other clients go before
// those of the same client. So a client with many attempts on an account delays the account's owner
// by only one of them.
type Turns struct {
	maxWait time.Duration

	mu    sync.Mutex
	queue map[Account][]waitingTurn // of each account whose turn is taken; guarded by mu
}

// waitingTurn is an attempt that waits for its turn.
type waitingTurn struct {
	client  string
	granted chan struct{} // closed when it has the turn
}

// NewTurns returns Turns in which an attempt waits for at most maxWait.
func NewTurns(maxWait time.Duration) *Turns {
	return &Turns{maxWait: maxWait, queue: map[Account][]waitingTurn{}}
}

// Take takes the account's turn for a client and reports whether it had to wait for it. The caller
// must call release once. If the turn does not come within the maximum wait, or before ctx ends,
// the error is a *Refusal.
func (t *Turns) Take(ctx context.Context, account Account, client string) (release func(), waited bool, err error) {
	client = clientaddr.Network(client)
	release = func() { t.release(account, client) }
	t.mu.Lock()
	waiting, taken := t.queue[account]
	if !taken {
		t.queue[account] = nil
		t.mu.Unlock()
		return release, false, nil
	}
	granted := make(chan struct{})
	t.queue[account] = append(waiting, waitingTurn{client, granted})
	t.mu.Unlock()

	timer := time.NewTimer(t.maxWait)
	defer timer.Stop()
	select {
	case <-granted:
		return release, true, nil
	case <-timer.C:
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.queue[account], func(w waitingTurn) bool { return w.granted == granted })
	if i < 0 { // granted meanwhile
		return release, true, nil
	}
	t.queue[account] = slices.Delete(t.queue[account], i, i+1)
	return nil, true, &Refusal{RetryAfter: time.Second, Limit: "one attempt in progress per account at a time"}
}

// release passes a client's turn to the next attempt.
func (t *Turns) release(account Account, client string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	waiting := t.queue[account]
	if len(waiting) == 0 {
		delete(t.queue, account)
		return
	}
	next := max(0, slices.IndexFunc(waiting, func(w waitingTurn) bool { return w.client != client }))
	close(waiting[next].granted)
	t.queue[account] = slices.Delete(waiting, next, next+1)
}
