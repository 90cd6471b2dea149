package ldappool

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// late makes a server answer every request that much later.
func late(h *host, by *atomic.Int64) {
	h.on(func(p *peer, _ *request) bool {
		select {
		case <-time.After(time.Duration(by.Load())):
		case <-p.host.net.over:
		}
		return false
	})
}

// loginTime does a login as the service does, a search and a bind, and returns how long it took.
func loginTime(t *testing.T, p *Pool) time.Duration {
	t.Helper()
	began := time.Now()
	_, err := p.Search(t.Context(), people())
	require.NoError(t, err, "after %v", time.Since(began))
	r, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
	require.NoError(t, err, "after %v", time.Since(began))
	require.Zero(t, r.Code)
	return time.Since(began)
}

// A login needs a search and a bind, each after a check or a dial. A dial needs two answers.
func TestLatency_SlowDirectoryServesEveryLogin(t *testing.T) {
	t.Parallel()
	for _, latency := range []time.Duration{300 * time.Millisecond, 600 * time.Millisecond, 900 * time.Millisecond} {
		for _, names := range [][]string{{"one"}, {"one", "two"}} {
			for _, pause := range []time.Duration{50 * time.Millisecond, 1100 * time.Millisecond, 10 * time.Minute} {
				t.Run(fmt.Sprintf("%v of %d servers, a login every %v", latency, len(names), pause), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						m := newFakeNet(names...)
						var by atomic.Int64
						by.Store(int64(latency))
						for _, name := range names {
							late(m.hosts[name], &by)
						}
						var seen changes
						p := m.start(t, probing, sizes(8, 2), seen.trace)
						time.Sleep(10 * time.Second)
						for range 5 {
							require.LessOrEqual(t, loginTime(t, p), 6*latency)
							time.Sleep(pause)
						}
						for _, name := range names {
							require.Equal(t, []ServerState{ServerUsable}, seen.to(m.hosts[name]))
						}
					})
				})
			}
		}
	}
}

func TestLatency_DirectoryThatBecomesSlowServesEveryLogin(t *testing.T) {
	t.Parallel()
	for _, latency := range []time.Duration{300 * time.Millisecond, 600 * time.Millisecond} {
		for _, names := range [][]string{{"one"}, {"one", "two"}} {
			t.Run(fmt.Sprintf("%v of %d servers", latency, len(names)), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					m := newFakeNet(names...)
					var by atomic.Int64
					for _, name := range names {
						late(m.hosts[name], &by)
					}
					p := m.start(t, probing, sizes(8, 2))
					for range 5 {
						loginTime(t, p)
						time.Sleep(2 * time.Second)
					}
					by.Store(int64(latency))
					for i := range 10 {
						took := loginTime(t, p)
						if i > 1 {
							require.LessOrEqual(t, took, 6*latency)
						}
						time.Sleep(2 * time.Second)
					}
					by.Store(0)
					for i := range 5 {
						if took := loginTime(t, p); i > 0 {
							require.Less(t, took, 10*time.Millisecond)
						}
						time.Sleep(2 * time.Second)
					}
				})
			})
		}
	}
}
