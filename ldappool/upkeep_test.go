package ldappool

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// retirements collects the events of the Retired hook.
type retirements struct {
	mu  sync.Mutex
	all []RetireEvent
}

func (r *retirements) trace(c *Config) {
	c.Trace.Retired = func(e RetireEvent) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.all = append(r.all, e)
	}
}

// of are those for that reason so far.
func (r *retirements) of(reason RetireReason) []RetireEvent {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []RetireEvent
	for _, e := range r.all {
		if e.Reason == reason {
			found = append(found, e)
		}
	}
	return found
}

func TestMaintenance_KeepsMinIdleConnsInEachLane(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name            string
		change          func(*Config)
		search, bind    int
		searchesPlanned bool
	}{
		{"by default two", func(*Config) {}, 2, 2, true},
		{"three", sizes(32, 3), 3, 3, true},
		{"not above the lane's share", sizes(4, 10), 2, 2, true},
		{"not above the lane's share of an odd number", sizes(5, 10), 2, 2, true},
		{"none but what the first probe left", sizes(32, -1), 1, 0, true},
		{"not for searches that nobody does", func(c *Config) { c.BindOnly, c.BindDN, c.BindPassword = true, "", "" }, 0, 2, false},
		{"with one connection in all", func(c *Config) { c.BindOnly, c.MaxConns = true, 1 }, 0, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet()
				p := m.start(t, c.change)
				time.Sleep(2 * time.Second)
				s := p.Stat()
				require.Equal(t, LaneStat{Idle: c.search}, s.Search)
				require.Equal(t, LaneStat{Idle: c.bind}, s.Bind)
				service := len(m.hosts["one"].bindsOf(ldaptest.ServiceDN))
				require.Equal(t, c.searchesPlanned, service > 0)
			})
		})
	}
}

func TestMaintenance_MaxIdleTimeEndsAnUnusedConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		var retired retirements
		p := m.start(t, sizes(32, -1), retired.trace, func(c *Config) { c.MaxIdleTime = time.Minute })
		fill(t, m, p, 5)
		// Two of the five are used, the pings of upkeep are no use.
		for range 11 {
			time.Sleep(5 * time.Second)
			mustBind(t, p)
		}
		require.Equal(t, 5, p.Stat().Bind.Idle)
		time.Sleep(30 * time.Second)
		require.Equal(t, 1, p.Stat().Bind.Idle)
		for _, e := range retired.of(RetiredMaxIdle) {
			require.Greater(t, e.Age, time.Minute)
			require.LessOrEqual(t, e.Age, time.Minute+15*time.Second)
			require.Less(t, e.Idle, 15*time.Second+time.Second, "it was pinged meanwhile")
		}
		// The search connection, never used, and four of the bind lane.
		require.Len(t, retired.of(RetiredMaxIdle), 5)
	})
}

func TestMaintenance_ReplacesAMinIdleConnectionAfterMaxIdleTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, func(c *Config) { c.MaxIdleTime = time.Minute })
		for range 40 {
			time.Sleep(15 * time.Second)
			s := p.Stat()
			require.LessOrEqual(t, 2-s.Bind.Idle, 2)
			require.GreaterOrEqual(t, s.Bind.Idle+s.Bind.Dialing, 0)
		}
		time.Sleep(2 * time.Second)
		require.Equal(t, 2, p.Stat().Bind.Idle)
		require.Equal(t, 2, p.Stat().Search.Idle)
		require.GreaterOrEqual(t, p.Stat().Retired[RetiredMaxIdle], int64(4*8))
	})
}

func TestMaintenance_MaxLifetimeHasATenthOfJitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		var retired retirements
		p := m.start(t, sizes(32, 10), retired.trace, func(c *Config) {
			c.MaxLifetime, c.MaxIdleTime, c.HealthCheckInterval = 10*time.Minute, 10*time.Hour, 5*time.Second
		})
		time.Sleep(12*time.Minute + 5*time.Second)
		ages := retired.of(RetiredMaxLifetime)
		require.Len(t, ages, 20)
		ends := map[time.Duration]bool{}
		for _, e := range ages {
			ends[e.Age] = true
		}
		require.Greater(t, len(ends), 5, "connections born together must not end together")
		for _, e := range ages {
			require.GreaterOrEqual(t, e.Age, 9*time.Minute)
			require.LessOrEqual(t, e.Age, 10*time.Minute+6*time.Second) // when upkeep comes by
		}
		time.Sleep(5 * time.Second)
		synctest.Wait() // for a check at this moment
		require.Equal(t, 10, p.Stat().Bind.Idle)
	})
}

func TestMaintenance_DialsMissingConnectionsWithinSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(64, 30))
		time.Sleep(12 * time.Second)
		require.Equal(t, 30, p.Stat().Search.Idle)
		require.Equal(t, 30, p.Stat().Bind.Idle)
	})
}

func TestMaintenance_RetiresAnExpiredConnectionAfterUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(4, -1), func(c *Config) { c.MaxLifetime = 10 * time.Second })
		mustBind(t, p)
		time.Sleep(8500 * time.Millisecond)
		g := hold(m.hosts["one"], "bind")
		done := bindLater(t.Context(), p)
		g.await(t)
		time.Sleep(2 * time.Second)
		g.open()
		require.NoError(t, <-done)
		synctest.Wait()
		require.Zero(t, p.Stat().Bind.Idle)
		require.EqualValues(t, 1, p.Stat().Bind.Acquired-1)
	})
}

func TestMaintenance_PingsIdleConnectionsOneAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := m.start(t, sizes(32, 4))
		time.Sleep(2 * time.Second)
		// A ping takes 10 ms: were there two at once, one would find another under way.
		var mu sync.Mutex
		underway, most := 0, 0
		h.on(func(_ *peer, r *request) bool {
			if r.kind == "ping" {
				mu.Lock()
				underway++
				most = max(most, underway)
				mu.Unlock()
				time.Sleep(10 * time.Millisecond)
				mu.Lock()
				underway--
				mu.Unlock()
			}
			return false
		})
		before := len(h.requests("ping"))
		time.Sleep(60 * time.Second)
		pinged := map[int]int{}
		for _, s := range h.requests("ping")[before:] {
			pinged[s.peer]++
		}
		require.Len(t, pinged, 8, "every idle connection is pinged")
		for peer, n := range pinged {
			require.InDelta(t, 3, n, 1, "connection %d", peer)
		}
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, 1, most)
		require.Zero(t, p.Stat().Retired[RetiredPing])
	})
}

func TestMaintenance_PingsOnlyIdleConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := m.start(t, sizes(4, -1), func(c *Config) { c.HealthCheckInterval = time.Second })
		g := hold(h, "bind")
		done := bindLater(t.Context(), p)
		g.await(t)
		user := lastUser(h)
		time.Sleep(4 * time.Second)
		for _, s := range h.requests("ping")[1:] {
			require.NotEqual(t, user, s.peer)
		}
		g.open()
		require.NoError(t, <-done)
	})
}

func TestIdle_DeadConnectionIsRetiredAtOnce(t *testing.T) {
	t.Parallel()
	for name, kill := range map[RetireReason]func(p *peer){
		RetiredPeerClosed: func(p *peer) { p.cut() },
		RetiredNotice:     func(p *peer) { p.write(ldaptest.NoticeOfDisconnection(52, "going down")) },
		RetiredProtocol:   func(p *peer) { p.write(ldaptest.BindResponse(7, 0, "")) },
	} {
		t.Run(string(name), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet()
				p := m.start(t, sizes(32, 3))
				time.Sleep(2 * time.Second)
				began := time.Now()
				for _, peer := range m.hosts["one"].open() {
					kill(peer)
				}
				synctest.Wait()
				require.EqualValues(t, 6, p.Stat().Retired[name])
				require.Zero(t, time.Since(began))
				// Nothing is wrong with the server: what is missing is replaced, and callers are
				// served.
				time.Sleep(2100 * time.Millisecond)
				require.Equal(t, 3, p.Stat().Bind.Idle)
				require.Equal(t, 3, p.Stat().Search.Idle)
				require.Equal(t, ServerUsable, p.Stat().Servers[0].State)
			})
		})
	}
}

func TestMaintenance_DialsOnceASecondIfEveryIdleConnectionIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		h.on(func(p *peer, r *request) bool {
			p.answer(r)
			p.cut()
			return true
		})
		m.start(t, sizes(32, 2))
		time.Sleep(30 * time.Second)
		require.InDelta(t, 4*30, len(h.attempts()), 10, "four connections, once a second")
	})
}

func TestMaintenance_FindsABlackHoledConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := m.start(t, sizes(32, 2))
		time.Sleep(2 * time.Second)
		victim := h.open()[0]
		h.on(func(p *peer, _ *request) bool { return p == victim })
		time.Sleep(16 * time.Second)
		require.EqualValues(t, 1, p.Stat().Retired[RetiredPing])
		time.Sleep(2 * time.Second)
		s := p.Stat()
		require.Equal(t, ServerUsable, s.Servers[0].State, "one probe has settled that it is not the server")
		require.Equal(t, 2, s.Search.Idle)
		require.Equal(t, 2, s.Bind.Idle)
	})
}

func TestMaintenance_PingsDelayNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := m.start(t, sizes(32, 2))
		time.Sleep(2 * time.Second)
		h.on(func(_ *peer, r *request) bool {
			if r.kind == "ping" {
				time.Sleep(400 * time.Millisecond)
			}
			return false
		})
		mustBind(t, p) // after a slow ping of its own
		h.on(func(_ *peer, r *request) bool {
			if r.kind == "ping" {
				time.Sleep(400 * time.Millisecond)
			}
			return false
		})
		for range 100 {
			time.Sleep(200 * time.Millisecond)
			began := time.Now()
			mustBind(t, p)
			require.Zero(t, time.Since(began))
		}
	})
}

func TestMaintenance_FirstCallerMayWaitForItsPing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(1, 1), func(c *Config) { c.MaxWaiters, c.HealthCheckInterval = -1, 10*time.Second })
		mustSearch(t, p)
		m.hosts["one"].on(func(_ *peer, r *request) bool {
			if r.kind == "ping" {
				time.Sleep(100 * time.Millisecond)
			}
			return false
		})
		time.Sleep(10*time.Second + 50*time.Millisecond)
		synctest.Wait()
		require.Equal(t, 1, p.Stat().Search.InUse, "the ping is under way")
		mustSearch(t, p)
	})
}
