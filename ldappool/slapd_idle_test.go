package ldappool

import (
	"context"
	"sync"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// learnedLimit is what Trace.LimitLearned reports.
type learnedLimit struct {
	Server        string
	Idle, WasIdle time.Duration
}

// idleLog records learned limits and waits.
type idleLog struct {
	mu      sync.Mutex
	learnt  []learnedLimit
	longest time.Duration // a caller waited for a connection
}

func (d *idleLog) trace(c *Config) {
	c.Trace.LimitLearned = func(server string, idle, was time.Duration) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.learnt = append(d.learnt, learnedLimit{server, idle, was})
	}
	c.Trace.Acquired = func(_ context.Context, e AcquireEvent) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.longest = max(d.longest, e.Wait)
	}
}

func (d *idleLog) limits() []learnedLimit {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.learnt
}

func (d *idleLog) longestWait() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.longest
}

// burst has some logins at once, so that each lane opens more connections than it keeps. None may
// fail.
func burst(t *testing.T, p *Pool, logins int) {
	t.Helper()
	var all sync.WaitGroup
	for i := range logins {
		all.Go(func() {
			if err := login(t, p, i%10, i%4 == 0); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// loginsUntil does a login every 50 ms until over returns true. None of them may fail.
func loginsUntil(t *testing.T, p *Pool, over func() bool) {
	t.Helper()
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	for i := 0; !over() && !t.Failed(); i++ {
		if err := login(t, p, i%10, i%4 == 0); err != nil {
			t.Error(err)
		}
		<-pace.C
	}
}

func TestSlapd_IdleLimitIsLearnedAndThenRespected(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		limit  time.Duration
		secure func(*ldaptest.Slapd, *Config)
		long   bool // more of the same: not with -short
	}{
		{"1 s", time.Second, nil, false},
		{"2 s, ldaps", 2 * time.Second, func(s *ldaptest.Slapd, c *Config) { c.Servers = []string{s.TLSURL()} }, false},
		{"2 s", 2 * time.Second, nil, true},
		{"2 s, StartTLS", 2 * time.Second, func(_ *ldaptest.Slapd, c *Config) { c.StartTLS = true }, true},
		{"5 s", 5 * time.Second, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && c.long {
				t.Skip("half a minute")
			}
			s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10, IdleTimeout: c.limit, TLS: c.secure != nil})
			var d idleLog
			p := slapdPool(t, s, sizes(8, 2), d.trace, func(cfg *Config) {
				cfg.HealthCheckInterval = time.Minute // its pings would hide the limit
				if c.secure != nil {
					cfg.TLS = s.TLSConfig()
					c.secure(s, cfg)
				}
			})
			burst(t, p, 16)
			loginsUntil(t, p, func() bool { return len(d.limits()) > 0 })
			require.Positive(t, s.ClosedIdle(), "it was learnt from cuts")
			learnt := limitOf(p)
			require.Less(t, withMargin(learnt), c.limit)
			require.GreaterOrEqual(t, learnt, c.limit*2/5)

			// Connections near their limit at that moment end before the others are refreshed.
			settled := time.Now().Add(c.limit)
			loginsUntil(t, p, func() bool { return time.Now().After(settled) })
			cuts, lost := s.ClosedIdle(), p.Stat().Retired[RetiredPeerClosed]
			burst(t, p, 16)
			over := time.Now().Add(c.limit + c.limit/2 + time.Second) // slapd cuts a quarter and a second late at most
			loginsUntil(t, p, func() bool { return time.Now().After(over) })
			require.Equal(t, cuts, s.ClosedIdle(), "slapd's own count")
			require.Equal(t, lost, p.Stat().Retired[RetiredPeerClosed], "the pool's")
			require.Equal(t, ServerUsable, p.Stat().Servers[0].State)
		})
	}
}

func TestSlapd_SilentlyDroppedConnectionsCostOnePing(t *testing.T) {
	t.Parallel()
	const dropped = 1500 * time.Millisecond
	for _, secure := range []bool{false, true} {
		t.Run(map[bool]string{false: "ldap", true: "ldaps"}[secure], func(t *testing.T) {
			t.Parallel()
			s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10, TLS: secure})
			target := s.Addr()
			if secure {
				target = s.TLSAddr()
			}
			proxy := ldaptest.NewProxy(t, target)
			proxy.SetFaults(ldaptest.Faults{IdleDrop: dropped})
			var d idleLog
			p := slapdPool(t, s, sizes(16, 2), d.trace, func(c *Config) {
				c.Servers, c.HealthCheckInterval = []string{proxy.URL()}, time.Minute
				if secure {
					c.Servers, c.TLS = []string{proxy.TLSURL()}, s.TLSConfig()
				}
			})
			until(t, p, "warm connections", func(st *Stat) bool { return st.Search.Idle == 2 && st.Bind.Idle == 2 })
			burst(t, p, 8)
			for range 3 {
				ldaptest.Eventually(t, "every connection to be dropped, or refreshed in time", func() bool {
					return time.Since(p.Stat().Servers[0].Answered) > dropped+dropped/4 || len(d.limits()) > 0
				})
				burst(t, p, 8)
			}
			require.Positive(t, p.Stat().Retired[RetiredPing], "there was nothing to survive")
			require.LessOrEqual(t, d.longestWait(), pingTimeout+hedgeAfter+time.Second, "beyond a ping: a dial, on a loaded machine")
			t.Logf("the longest wait was %v", d.longestWait())
		})
	}
}
