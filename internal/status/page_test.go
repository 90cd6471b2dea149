package status

import (
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/journal"
	"authsvc/ldappool"

	"github.com/stretchr/testify/require"
)

func TestSnapshot_IsMadeOnlyOnRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTestService()
		p := running(t, w)
		time.Sleep(time.Hour)
		require.Zero(t, w.looks)
		for range 100 {
			read(t, p)
			get(t, p, pathPage)
		}
		require.Equal(t, 1, w.looks, "one for all who ask at one time")
		time.Sleep(interval)
		read(t, p)
		require.Equal(t, 2, w.looks)
	})
}

func TestSnapshot_HasServersAndConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTestService()
		began := time.Now().UTC()
		p := New(w.config())
		time.Sleep(90 * time.Second)
		w.stat.Servers = append(w.stat.Servers, ldappool.ServerStat{
			URL: serverB, State: ldappool.ServerDown, Since: time.Now().Add(-10 * time.Second), LastErr: &ldappool.OpError{Op: "bind", Kind: ldappool.ErrTimeout},
			BreakerOpen: true, IdleLimit: time.Minute, AgeLimit: time.Hour,
		})
		w.stat.Search = ldappool.LaneStat{InUse: 1, Idle: 2, Dialing: 3, Waiting: 4, Outdated: 5}
		w.stat.Retired = map[ldappool.RetireReason]int64{"ping_failed": 2, "peer_closed": 7, "max_idle": 0}
		w.faults = []journal.Fault{{Server: serverB, What: "dial", Text: "connection refused", Count: 3, First: began, Last: began.Add(time.Minute)}}
		s := read(t, p)
		require.Equal(t, service{"v1.2.3", "abc1234", began, 90}, s.Service)
		require.Equal(t, []server{
			{Address: serverA, State: "usable", Since: began, StateFor: 90, Connections: 3},
			{
				Address: serverB, State: "down", Since: began.Add(80 * time.Second), StateFor: 10, LastError: "bind: " + ldappool.ErrTimeout.Error(),
				BreakerOpen: true, IdleLimit: 60, AgeLimit: 3600,
			},
		}, s.Servers)
		require.Equal(t, []lane{{"search", 1, 2, 3, 4, 5}, {Lane: "bind"}}, s.Pool.Lanes)
		require.Equal(t, 32, s.Pool.MaxConns)
		require.Equal(t, []retired{{"peer_closed", 7}, {"ping_failed", 2}}, s.Retired)
		require.Equal(t, []fault{{serverB, "dial", "connection refused", 3, began, began.Add(time.Minute), 30}}, s.Faults)
		require.NotNil(t, s.Throttle.Shared)
		s.Throttle.Shared.Since, s.Throttle.Shared.StateFor = time.Time{}, 0
		require.Equal(t, &throttleState{5, 1, 2, []refused{{"account", 3}, {"client", 4}}, &shared{
			Server: "redis 192.0.2.9:6379", State: "down", LastError: "connection refused", Dropped: 7,
		}}, s.Throttle)
		require.Equal(t, w.config().Settings, s.Configuration)
	})
}

func TestSnapshot_HasForwardedRequestsAndTheirCache(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTestService()
		p := running(t, w)
		count := func(result int, source auth.Source, n uint64) {
			w.change(func() { w.counts.Forwards[result].BySource[source] += n })
		}
		time.Sleep(2500 * time.Millisecond)
		count(0, auth.FromDirectory, 4)
		count(0, auth.FromCache, 20)
		count(0, auth.FromStale, 1)
		count(2, auth.FromDirectory, 2)
		time.Sleep(time.Second)
		synctest.Wait()
		s := read(t, p)
		require.Equal(t, []forwarded{
			{"allowed", 25, 25, []float64{8.33}}, // in three seconds of the first step
			{"fault", 2, 2, []float64{0.67}},     // and none was denied
		}, s.Forward.Requests)
		require.Equal(t, &credentialsCache{Hits: 20, Misses: 6, Stale: 1, Accepted: 6, Rejected: 7, Limit: 10_000}, s.Forward.Cache)

		c := w.config()
		c.Remembered = nil
		off := New(c)
		require.Nil(t, read(t, off).Forward.Cache)
		require.Contains(t, get(t, off, pathPage).Body.String(), `<tr><th scope="row">off</th><td class="n">–</td></tr>`)
	})
}
