package auth

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// told is what the caller is told of a result. In uniform mode, whatever the directory says without having seen the right
// password is a wrong password.
func (a *Authenticator) told(r Result) Result {
	if a.grid != nil && r.Outcome != OK && r.Outcome.IsVerdict() && !r.PasswordSeen {
		r.Outcome, r.RetryAfter = InvalidPassword, 0
	}
	return r
}

// tell gives r to the caller as it may be told and, in uniform mode, when. caller ends when nobody waits any more.
func (a *Authenticator) tell(caller context.Context, began time.Time, r Result) Result {
	told := a.told(r)
	if a.grid == nil {
		return told
	}
	if r.Outcome == InvalidPassword {
		a.grid.learn(r.Phases.Total - r.Phases.Throttle)
	}
	if told.Outcome == InvalidPassword || told.Outcome == TooManyAttempts {
		a.grid.wait(caller, began)
	}
	return told
}

// Bounds of the grid.
const (
	// maxGrid is the coarsest it may get, unless it was configured so: an answer waits no longer than this.
	maxGrid = 5 * time.Second
	// recentAnswers are those that it is made from, so many at the most, and none older than recentTime.
	recentAnswers = 512
	recentTime    = 10 * time.Minute
	// relook is after how many of them the grid may get finer, relookTime after which time.
	relook     = 64
	relookTime = time.Minute
)

// grid has failures answered at its points: multiples of delay since the request began, of which only those are used
// that lie above the recent 99th percentile of a wrong password's answer, with half as much again for what is rarer. So an
// answer's time tells nothing of how long the directory took, nor whether it was asked twice.
type grid struct {
	delay time.Duration
	most  int
	step  atomic.Int64 // in delays, at least 1

	mu     sync.Mutex
	recent []tookDelays // guarded by mu, as below
	next   int
	looked time.Time // when the grid was last made of all of recent
}

// tookDelays is how many delays an answer took, rounded up, and when that was.
type tookDelays struct {
	n  int
	at time.Time
}

func newGrid(delay time.Duration) *grid {
	g := &grid{delay: delay, most: max(1, int(maxGrid/delay))}
	g.step.Store(1)
	return g
}

// learn takes in how long a wrong password's answer took. The grid gets coarser as soon as it must, and finer when it
// is looked at again.
func (g *grid) learn(took time.Duration) {
	now := time.Now()
	it := tookDelays{min(g.most, max(1, int((took+took/2+g.delay-1)/g.delay))), now}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.recent) < recentAnswers {
		g.recent = append(g.recent, it)
	} else {
		g.recent[g.next] = it
	}
	g.next = (g.next + 1) % recentAnswers
	step := int(g.step.Load())
	finer := step > 1 && (g.next%relook == 0 || now.Sub(g.looked) >= relookTime)
	if it.n <= step && !finer {
		return // what lies above step is what lay above it before
	}
	sorted := make([]int, 0, len(g.recent))
	for _, r := range g.recent {
		if now.Sub(r.at) < recentTime {
			sorted = append(sorted, r.n)
		}
	}
	slices.Sort(sorted)
	percentile := sorted[len(sorted)-1-len(sorted)/100]
	if percentile > step || finer {
		g.looked = now
		g.step.Store(int64(percentile))
	}
}

// wait waits for the next point of the grid of a request that began then, or for caller's end.
func (g *grid) wait(caller context.Context, began time.Time) {
	step := time.Duration(g.step.Load()) * g.delay
	took := time.Since(began)
	timer := time.NewTimer(step - took%step)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-caller.Done():
	}
}
