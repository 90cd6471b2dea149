package ldappool

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// tally is how a lane's callers fared.
type tally struct {
	mu              sync.Mutex
	done, refused   int
	longest, queued time.Duration // waits: of all, and of those rejected immediately
}

// ask does one operation and notes what came of it: anything but an answer and an honest refusal
// fails the test. It returns how long a refused caller should wait.
func (s *tally) ask(t *testing.T, do func(context.Context) (*Result, error)) time.Duration {
	t.Helper()
	began := time.Now()
	r, err := do(context.Background())
	took := time.Since(began)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.done++
		s.longest = max(s.longest, r.Wait)
		return 0
	}
	var op *OpError
	if !errors.Is(err, ErrOverloaded) || !errors.As(err, &op) {
		t.Error(err)
		return 0
	}
	s.refused++
	s.longest = max(s.longest, op.Wait)
	if op.Queue > 0 {
		s.queued = max(s.queued, took)
	}
	return max(op.Queue, 100*time.Millisecond)
}

func bindOf(p *Pool) func(context.Context) (*Result, error) {
	return func(ctx context.Context) (*Result, error) {
		r, err := p.Bind(ctx, ldaptest.UserDN(1), ldaptest.Password(1))
		if err != nil {
			return nil, err
		}
		return &r.Result, nil
	}
}

func searchOf(p *Pool) func(context.Context) (*Result, error) {
	return func(ctx context.Context) (*Result, error) {
		r, err := p.Search(ctx, people())
		if err != nil {
			return nil, err
		}
		return &r.Result, nil
	}
}

// overload has so many callers of each lane ask for a while, against a directory that takes 20 ms
// for each request.
func overload(t *testing.T, conns, searchers, binders int) (searches, binds *tally) {
	t.Helper()
	m := newFakeNet()
	m.hosts["one"].on(func(p *peer, r *request) bool {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-p.host.net.over:
		}
		return false
	})
	p := m.start(t, sizes(conns, -1))
	searches, binds = &tally{}, &tally{}
	until := time.Now().Add(20 * time.Second)
	var callers sync.WaitGroup
	loop := func(s *tally, do func(context.Context) (*Result, error)) {
		callers.Go(func() {
			for time.Now().Before(until) {
				time.Sleep(s.ask(t, do))
			}
		})
	}
	for range searchers {
		loop(searches, searchOf(p))
	}
	for range binders {
		loop(binds, bindOf(p))
	}
	callers.Wait()
	_, most := m.used()
	require.LessOrEqual(t, most, conns)
	return searches, binds
}

func TestPressure_FiveHundredCallersInBothLanesAreServedOrOverloaded(t *testing.T) {
	t.Parallel()
	for _, conns := range []int{2, 3, 4} {
		t.Run("MaxConns "+itoa(conns), func(t *testing.T) {
			t.Parallel()
			alone := map[Lane]int{}
			synctest.Test(t, func(t *testing.T) { s, _ := overload(t, conns, 250, 0); alone[SearchLane] = s.done })
			synctest.Test(t, func(t *testing.T) { _, b := overload(t, conns, 0, 250); alone[BindLane] = b.done })
			synctest.Test(t, func(t *testing.T) {
				searches, binds := overload(t, conns, 250, 250)
				for lane, s := range map[Lane]*tally{SearchLane: searches, BindLane: binds} {
					t.Logf("%s: %d of %d alone, %d refused, longest wait %v", lane, s.done, alone[lane], s.refused, s.longest)
					require.GreaterOrEqual(t, 100*s.done, 33*alone[lane], "the %s lane starves", lane)
					require.LessOrEqual(t, s.longest, 2*time.Second)
					require.Zero(t, s.queued, "who is told what the queue needs is told at once")
					require.Positive(t, s.refused, "nothing was tested")
				}
			})
		})
	}
}

func TestPressure_FiveHundredCallersOverSocketsAreServedOrOverloaded(t *testing.T) {
	t.Parallel()
	for _, conns := range []int{2, 3, 4} {
		t.Run("MaxConns "+itoa(conns), func(t *testing.T) {
			t.Parallel()
			server := ldaptest.NewServer(t, handlerExcept(func(*ldaptest.Conn, ldaptest.Request) bool {
				<-time.After(20 * time.Millisecond) // the directory's work
				return false
			}))
			p := pooled(t, asService(Config{Servers: []string{server.URL()}, MaxConns: conns}))
			var searches, binds tally
			var callers sync.WaitGroup
			for range 250 {
				callers.Go(func() { searches.ask(t, searchOf(p)) })
				callers.Go(func() { binds.ask(t, bindOf(p)) })
			}
			callers.Wait()
			for lane, s := range map[Lane]*tally{SearchLane: &searches, BindLane: &binds} {
				t.Logf("%s: %d served, %d refused, longest wait %v", lane, s.done, s.refused, s.longest)
				require.Equal(t, 250, s.done+s.refused)
				require.Positive(t, s.done, "the %s lane starves", lane)
				require.Less(t, s.longest, 4*time.Second, "far longer than MaxWait")
			}
		})
	}
}

func TestPressure_ManyCallersAfterACutGetFewDialsAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const takes = 100 * time.Millisecond // a dial, of which the ping is the part that takes time
		m := newFakeNet()
		h := m.hosts["one"]
		p := m.start(t, sizes(32, -1), func(c *Config) { c.BindOnly = true })
		synctest.Wait()
		h.abortAll()
		time.Sleep(time.Millisecond)
		delayed(h, "ping", takes, func(*peer) bool { return true })
		began := time.Now()
		before := len(h.attempts())
		for _, done := range bindsLater(t.Context(), p, 200) {
			require.NoError(t, <-done)
		}
		at := map[time.Time]int{}
		for _, when := range h.attempts()[before:] {
			at[when]++
			require.LessOrEqual(t, at[when], maxDials)
		}
		require.Equal(t, maxDials, at[began], "as many as may be, at once")
		binds := h.bindsOf(ldaptest.UserDN(1))
		require.Len(t, binds, 200)
		last := slices.MaxFunc(binds, func(a, b seen) int { return a.at.Compare(b.at) })
		require.Equal(t, began.Add(takes), last.at, "callers wait for dials that nobody needs any more")
	})
}
