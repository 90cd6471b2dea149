package core

import (
	"testing"
	"time"

	"authsvc/ldappool/internal/health"

	"github.com/stretchr/testify/require"
)

// twoServers is a pool of two usable servers, in calm weather.
func twoServers(t *testing.T) *world {
	t.Helper()
	w := newWorld(1, true)
	w.noFailures = true
	w.do("configuration", func() {
		w.core.SetConfig(w.now, Config{
			MaxConns: 8, MinIdleConns: 1, MaxWaiters: 10, MaxWait: 2 * time.Second, MaxIdleTime: time.Hour,
			MaxLifetime: 10 * time.Hour, HealthCheckInterval: time.Hour,
		})
		w.core.SetServers(w.now, []Endpoint{{URL: "ldap://one"}, {URL: "ldap://two", Tier: 1}}, Lookups{})
	})
	w.finishAll()
	w.pass(10 * time.Second)
	for _, s := range w.core.servers {
		require.Equal(t, health.Usable, s.Health.State, "%v %v", w.err, w.log)
	}
	return w
}

// inUse makes a caller take a connection to the first server.
func inUse(t *testing.T, w *world) *Request {
	t.Helper()
	r := &Request{Lane: Search, Began: w.now, Deadline: w.now.Add(w.core.cfg.MaxWait)}
	w.acquire(r)
	if c := w.any(w.checks); c != nil {
		w.finishCheck(c, 0)
	}
	require.NotNil(t, r.Conn)
	require.Equal(t, "ldap://one", r.Conn.Server.URL)
	return r
}

func TestWatchdog_TakesDownAServerThatAnswersNothingWhileAnotherIsUsable(t *testing.T) {
	t.Parallel()
	w := twoServers(t)
	r := inUse(t, w)
	w.noFailures = false // nothing is answered from here
	one := r.Conn.Server
	w.pass(2*CheckTimeout - WatchInterval)
	require.Equal(t, health.Usable, one.Health.State)
	w.pass(3 * WatchInterval)
	require.Equal(t, health.Down, one.Health.State)
	require.NoError(t, w.err)
}

func TestWatchdog_DoesNotTakeItsOwnLatenessForTheServersSilence(t *testing.T) {
	t.Parallel()
	w := twoServers(t)
	r := inUse(t, w)
	w.noFailures = false
	one := r.Conn.Server
	w.pass(WatchInterval)
	w.now = w.now.Add(6 * CheckTimeout) // this process stands still
	w.do("tick", func() { w.core.Tick(w.now) })
	require.Equal(t, health.Usable, one.Health.State, "the process was stalled and not the server")
	w.pass(CheckTimeout - WatchInterval)
	require.False(t, one.checkPending)
	w.pass(2 * WatchInterval)
	require.True(t, one.checkPending || len(w.dials) > 0, "and then it looked for long enough")
	w.pass(2 * CheckTimeout)
	require.Equal(t, health.Down, one.Health.State)
	require.NoError(t, w.err)
}

func TestWatchdog_WaitsForTheOnlyServer(t *testing.T) {
	t.Parallel()
	w := twoServers(t)
	w.do("servers", func() { w.core.SetServers(w.now, []Endpoint{{URL: "ldap://one"}}, Lookups{}) })
	inUse(t, w)
	w.noFailures = false
	w.pass(10 * CheckTimeout)
	require.Equal(t, health.Usable, w.core.servers[0].Health.State)
	require.NoError(t, w.err)
}
