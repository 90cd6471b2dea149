package ldappool

import (
	"authsvc/ldappool/internal/discovery"
	"context"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// journal keeps the events of every hook. Each hook calls Stat, which would deadlock were the
// pool's lock held.
type journal struct {
	pool     atomic.Pointer[Pool]
	mu       sync.Mutex
	acquired []AcquireEvent
	operated []OperationEvent
	dialed   []DialEvent
	pinged   []PingEvent
	retired  []RetireEvent
	changed  []ServerEvent
}

func note[E any](j *journal, events *[]E, e E) {
	if p := j.pool.Load(); p != nil {
		p.Stat()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	*events = append(*events, e)
}

func (j *journal) trace(c *Config) {
	c.Trace = Trace{
		Acquired:      func(_ context.Context, e AcquireEvent) { note(j, &j.acquired, e) },
		Operated:      func(_ context.Context, e OperationEvent) { note(j, &j.operated, e) },
		Dialed:        func(e DialEvent) { note(j, &j.dialed, e) },
		Pinged:        func(e PingEvent) { note(j, &j.pinged, e) },
		Retired:       func(e RetireEvent) { note(j, &j.retired, e) },
		ServerChanged: func(e ServerEvent) { note(j, &j.changed, e) },
	}
}

// start makes a pool that the journal follows.
func (j *journal) start(t *testing.T, m *fakeNet, changes ...func(*Config)) *Pool {
	t.Helper()
	p := m.start(t, append(changes, j.trace)...)
	j.pool.Store(p)
	return p
}

func TestTrace_ShowsALoginStepByStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		var j journal
		m.hosts["one"].on(func(*peer, *request) bool { time.Sleep(time.Millisecond); return false })
		p := j.start(t, m, sizes(4, -1))
		mustSearch(t, p)
		mustBind(t, p)
		synctest.Wait()
		const ms, one = time.Millisecond, "ldap://one"
		require.Equal(t, []ServerEvent{{Server: one, From: ServerSuspect, To: ServerUsable}}, j.changed)
		require.Equal(t, []DialEvent{
			{Lane: SearchLane, Server: one, Took: ms, Probe: true},
			{Lane: BindLane, Server: one, Took: ms},
		}, j.dialed)
		require.Equal(t, []AcquireEvent{{Lane: SearchLane, Wait: ms}, {Lane: BindLane, Wait: ms}}, j.acquired)
		require.Equal(t, []OperationEvent{
			{Op: "search", Server: one, Took: ms},
			{Op: "bind", Server: one, Took: ms},
		}, j.operated)
		require.Empty(t, j.pinged)
		require.Empty(t, j.retired)

		// A wrong password is an answer.
		_, err := p.Bind(t.Context(), ldaptest.UserDN(1), "wrong")
		require.NoError(t, err)
		require.Equal(t, OperationEvent{Op: "bind", Server: one, Took: ms, Code: 49}, j.operated[2])
	})
}

func TestTrace_ShowsPingsAndRetirements(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		var j journal
		p, h := j.start(t, m, sizes(4, -1)), m.hosts["one"]
		mustBind(t, p)
		time.Sleep(4 * time.Second)
		mustBind(t, p)
		require.Equal(t, []PingEvent{{Lane: BindLane, Server: "ldap://one", Idle: 4 * time.Second}}, j.pinged)
		time.Sleep(time.Second)
		user := lastUser(h)
		for _, peer := range h.open() {
			if peer.number == user {
				peer.cut()
			}
		}
		synctest.Wait()
		require.Len(t, j.retired, 1)
		e := j.retired[0]
		require.ErrorContains(t, e.Err, "closed by the peer")
		e.Err = nil
		require.Equal(t, RetireEvent{
			Lane: BindLane, Server: "ldap://one", Reason: RetiredPeerClosed, Age: 5 * time.Second, Idle: time.Second,
		}, e)
	})
}

func TestTrace_ShowsBothTriesOfARetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		var j journal
		p := j.start(t, m)
		loseFirst(m.hosts["one"], "search", func(p *peer, _ *request) { p.cut() })
		mustSearch(t, p)
		require.Len(t, j.operated, 2)
		require.ErrorIs(t, j.operated[0].Err, ErrConnLost)
		require.False(t, j.operated[0].Retry)
		require.NoError(t, j.operated[1].Err)
		require.True(t, j.operated[1].Retry)
		require.Len(t, j.acquired, 2)
	})
}

func TestTrace_ShowsFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		h.refuse(false)
		var j journal
		p := j.start(t, m)
		synctest.Wait()
		_, err := p.Search(t.Context(), people())
		require.Len(t, j.acquired, 1)
		require.Equal(t, err.Error(), j.acquired[0].Err.Error())
		require.ErrorIs(t, j.dialed[0].Err, errConnRefused)
		require.True(t, j.dialed[0].Probe)
		require.Len(t, j.changed, 1)
		require.Equal(t, ServerDown, j.changed[0].To)
		require.ErrorIs(t, j.changed[0].Err, errConnRefused)
		require.Empty(t, j.operated)
	})
}

func TestTrace_IsOptional(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p, err := newPool(Config{Servers: []string{"ldap://one"}, BindDN: ldaptest.ServiceDN, BindPassword: ldaptest.ServicePassword, Dial: m.dial}, discovery.Lookups{})
		require.NoError(t, err)
		mustBind(t, p)
		mustSearch(t, p)
		time.Sleep(time.Minute)
		m.hosts["one"].refuse(true)
		time.Sleep(time.Minute)
		closePool(t, p)
		m.end()
	})
}

func TestStat_IsASnapshot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t)
		time.Sleep(2 * time.Second)
		before := p.Stat()
		copied := *before
		copied.Servers, copied.Retired = slices.Clone(before.Servers), maps.Clone(before.Retired)
		mustBind(t, p)
		m.hosts["one"].refuse(true)
		time.Sleep(time.Second)
		require.Equal(t, copied, *before, "it changed")
		// Nor does the pool change with it.
		after := p.Stat()
		after.Retired[RetiredClosed] = 100
		after.Servers[0].URL = "ldap://elsewhere"
		require.Zero(t, p.Stat().Retired[RetiredClosed])
		require.Equal(t, "ldap://one", p.Stat().Servers[0].URL)
	})
}

func TestStat_HasEveryReason(t *testing.T) {
	t.Parallel()
	m := newFakeNet()
	p := m.start(t)
	s := p.Stat()
	require.Len(t, s.Retired, len(RetireReasons()))
	require.Len(t, s.Retired, 14, "a new reason belongs into RetireReasons()")
	require.Zero(t, reflect.ValueOf(s.Bind).FieldByName("Waiting").Int())
}

func TestStat_CountersAddUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		p := m.start(t, sizes(8, 2))
		time.Sleep(5 * time.Second)
		for i := range 30 {
			h := m.hosts[[]string{"one", "two"}[i%2]]
			switch i % 5 {
			case 0:
				h.refuse(true)
			case 1:
				m.hosts["one"].accept()
				m.hosts["two"].accept()
			case 2:
				h.abortAll()
			case 3:
				loseFirst(h, "bind", func(p *peer, _ *request) { p.cut() })
			}
			use(t.Context(), t, p, i)
			time.Sleep(time.Duration(i) * 100 * time.Millisecond)
			require.NoError(t, p.audit())
		}
		synctest.Wait()
		s := p.Stat()
		gone := int64(0)
		for _, n := range s.Retired {
			gone += n
		}
		open := int64(s.Search.Idle + s.Search.InUse + s.Bind.Idle + s.Bind.InUse)
		require.Equal(t, open, s.Dials-s.DialErrors-gone-int64(s.Search.Dialing+s.Bind.Dialing))
		require.EqualValues(t, open, s.Servers[0].Conns+s.Servers[1].Conns)
		require.Positive(t, s.DialErrors)
	})
}

func TestStat_RefusedCountsCallersThatLeftWithoutAConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(1, 1), func(c *Config) { c.MaxWaiters = 1 })
		g, first := exhaust(t, m, p)
		waits := bindLater(t.Context(), p)
		synctest.Wait()
		_, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1)) // too many wait
		require.ErrorIs(t, err, ErrOverloaded)
		require.ErrorIs(t, <-waits, ErrOverloaded) // too long
		g.open()
		require.NoError(t, <-first)
		m.hosts["one"].refuse(true)
		synctest.Wait()
		_, err = p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1)) // nothing there
		require.ErrorIs(t, err, ErrUnavailable)
		require.EqualValues(t, 3, p.Stat().Refused)
	})
}

func TestServerState_HasNames(t *testing.T) {
	t.Parallel()
	for state, name := range map[ServerState]string{ServerSuspect: "suspect", ServerUsable: "usable", ServerDown: "down", 9: "unknown"} {
		require.Equal(t, name, state.String())
	}
}
