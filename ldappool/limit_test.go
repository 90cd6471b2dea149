package ldappool

import (
	"authsvc/ldappool/internal/core"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// cutter is a server's, or a firewall's, limit on connections.
type cutter struct {
	idle, age time.Duration // how long one may be quiet, and live; 0: for ever
	every     time.Duration // how often it looks
	silent    bool          // what it ends stays open, and nothing is answered any more

	mu       sync.Mutex
	ended    int                // guarded by mu
	off      bool               // guarded by mu
	silenced map[*peer]struct{} // guarded by mu
}

// watch has c end the connections of h until the test ends.
func (c *cutter) watch(h *host) {
	c.silenced = map[*peer]struct{}{}
	if c.silent {
		h.on(func(p *peer, _ *request) bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			_, is := c.silenced[p]
			return is
		})
	}
	h.net.serve.Go(func() {
		for {
			select {
			case <-h.net.over:
				return
			case <-time.After(c.every):
				c.look(h)
			}
		}
	})
}

func (c *cutter) look(h *host) {
	for _, p := range h.open() {
		h.mu.Lock()
		quiet, age := time.Since(p.quiet), time.Since(p.born)
		h.mu.Unlock()
		c.mu.Lock()
		_, known := c.silenced[p]
		over := !c.off && !known && (c.idle > 0 && quiet > c.idle || c.age > 0 && age > c.age)
		if over {
			c.ended++
			c.silenced[p] = struct{}{}
		}
		c.mu.Unlock()
		if over && !c.silent {
			p.cut()
		}
	}
}

// cuts are the connections ended so far.
func (c *cutter) cuts() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// stop lifts the limit.
func (c *cutter) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off = true
}

// limitOf is what the pool knows of the first server's limits.
func limitOf(p *Pool) time.Duration { return p.Stat().Servers[0].IdleLimit }

func TestLimit_IsLearnedAndThenRespected(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		idle, every time.Duration
		silent      bool
	}{
		{"exact, 900 s", 900 * time.Second, time.Second, false},
		{"exact, 60 s", time.Minute, 100 * time.Millisecond, false},
		{"exact, 10 s", 10 * time.Second, 50 * time.Millisecond, false},
		{"slapd's 5 s", 5 * time.Second, 1300 * time.Millisecond, false},
		{"slapd's 2 s", 2 * time.Second, time.Second, false},
		{"slapd's 1 s", time.Second, time.Second, false},
		{"400 ms", 400 * time.Millisecond, 10 * time.Millisecond, false},
		{"100 ms", 100 * time.Millisecond, 20 * time.Millisecond, false},
		{"dropped silently after 7 s", 7 * time.Second, 50 * time.Millisecond, true},
		{"dropped silently after 3 s", 3 * time.Second, 50 * time.Millisecond, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet()
				limit := &cutter{idle: c.idle, every: c.every, silent: c.silent}
				var told []learnedLimit
				p := m.start(t, func(cfg *Config) {
					cfg.MaxIdleTime, cfg.MaxLifetime = time.Hour, 10*time.Hour
					if c.idle > time.Minute/2 {
						cfg.HealthCheckInterval = time.Hour // or its pings would keep the connections
					}
					cfg.Trace.LimitLearned = func(server string, idle, was time.Duration) {
						told = append(told, learnedLimit{server, idle, was})
					}
				})
				limit.watch(m.hosts["one"])
				// Bursts, as logins come.
				bursts := 5
				if c.silent {
					bursts = 20 // each tells of what the ones before had left
				}
				for range bursts {
					use(t.Context(), t, p, 10)
					time.Sleep(max(3*time.Second, c.idle*3/2))
				}
				learnt := limitOf(p)
				require.Positive(t, learnt)
				require.Less(t, withMargin(learnt), c.idle)
				require.GreaterOrEqual(t, learnt, c.idle*2/5)
				synctest.Wait()
				require.NotEmpty(t, told)
				require.Equal(t, learnt, told[len(told)-1].Idle)
				ended := limit.cuts()
				rounds := 100
				if c.idle < time.Second {
					rounds = 5 // in which there are as many pings
				}
				for range rounds {
					use(t.Context(), t, p, 10)
					time.Sleep(3 * time.Second)
				}
				require.Equal(t, ended, limit.cuts(), "cut in %d s", 3*rounds)
				synctest.Wait() // for a ping under way
				for _, l := range []LaneStat{p.Stat().Search, p.Stat().Bind} {
					require.GreaterOrEqual(t, l.Idle, 2, "kept warm")
				}
			})
		})
	}
}

func TestLimit_RandomCutsTeachNothing(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*host, *rand.Rand){
		"restarts that refuse connections": func(h *host, _ *rand.Rand) {
			h.refuse(true)
			time.Sleep(2 * time.Second)
			h.accept()
		},
		"restarts that nobody notices": func(h *host, _ *rand.Rand) { h.abortAll() },
		"single kills": func(h *host, random *rand.Rand) {
			if open := h.open(); len(open) > 0 {
				open[random.IntN(len(open))].cut()
			}
		},
		"load shedding": func(h *host, _ *rand.Rand) {
			for i, p := range h.open() {
				if i%2 == 0 {
					p.cut()
				}
			}
		},
		"a pause": func(h *host, _ *rand.Rand) {
			h.pause()
			time.Sleep(5 * time.Second)
			h.resume()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // to be the same again
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet()
				h := m.hosts["one"]
				p := m.start(t, func(c *Config) {
					c.Trace.LimitLearned = func(_ string, idle, _ time.Duration) { t.Errorf("learnt: %v", idle) }
				})
				stop := make(chan struct{})
				var callers sync.WaitGroup
				callers.Go(func() {
					for i := 0; ; i++ {
						select {
						case <-stop:
							return
						case <-time.After(time.Duration(1+i*i%7) * time.Second):
							_, _ = p.Search(t.Context(), people())
						}
					}
				})
				for range 12 {
					time.Sleep(time.Duration(20+random.IntN(200)) * time.Second)
					fault(h, random)
				}
				close(stop)
				callers.Wait()
			})
		})
	}
}

func TestLimit_IsForgottenAfterSomeHoursAndLearnedAgainIfItHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		limit := &cutter{idle: 10 * time.Second, every: 50 * time.Millisecond}
		var mu sync.Mutex
		var told []learnedLimit
		p := m.start(t, func(c *Config) {
			c.Trace.LimitLearned = func(server string, idle, was time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, learnedLimit{server, idle, was})
			}
		})
		limit.watch(m.hosts["one"])
		time.Sleep(2 * time.Minute)
		learned := limitOf(p)
		require.Positive(t, learned)
		time.Sleep(core.IdleLimitExpires + 2*time.Minute)
		require.InDelta(t, learned, limitOf(p), float64(time.Second), "it holds")
		limit.stop()
		time.Sleep(core.IdleLimitExpires + 2*time.Minute)
		require.Zero(t, limitOf(p), "it holds no more")
		mu.Lock()
		defer mu.Unlock()
		require.Zero(t, told[len(told)-1].Idle)
		require.Positive(t, told[len(told)-1].WasIdle)
	})
}
