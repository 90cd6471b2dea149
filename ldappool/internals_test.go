package ldappool

import (
	"context"
	"testing"
	"time"

	"authsvc/ldappool/internal/core"
	"authsvc/ldappool/internal/discovery"
	"authsvc/ldappool/internal/health"
	"authsvc/ldappool/internal/limits"

	"github.com/stretchr/testify/require"
)

// What the tests know of the pool's limits.
const (
	pingAfter        = core.CheckAfter
	pingTimeout      = core.CheckTimeout
	minPing          = core.MinCheck
	hedgeAfter       = core.HedgeAfter
	dialHedgeAfter   = core.DialHedgeAfter
	maxDials         = core.MaxDials
	maxBinds         = core.MaxServiceBinds
	warmInterval     = core.WarmInterval
	silentAfter      = 2 * core.CheckTimeout
	checkSilentAfter = core.CheckTimeout
	watchInterval    = core.WatchInterval
	deadOnArrival    = maxDeadOnArrival
	breakerWindow    = health.BreakerWindow
	breakerLatest    = health.BreakerMaxPause
	stableAfter      = health.StableAfter
	probeSoonest     = health.ProbeMin
	probeLatest      = health.ProbeMax
	refusalPause     = health.RefusalMin
	refusalLatest    = health.RefusalMax
	resolveEvery     = discovery.Interval
	minIdle          = 20 * time.Millisecond
)

func withMargin(limit time.Duration) time.Duration { return limits.WithMargin(limit) }

// The reasons for which connections are closed.
const (
	RetiredPeerClosed  RetireReason = "peer_closed"
	RetiredNotice      RetireReason = "notice"
	RetiredProtocol    RetireReason = "protocol"
	RetiredTimeout     RetireReason = "timeout"
	RetiredCanceled    RetireReason = "canceled"
	RetiredPing        RetireReason = "ping_failed"
	RetiredMaxIdle     RetireReason = "max_idle"
	RetiredMaxLifetime RetireReason = "max_lifetime"
	RetiredReplaced    RetireReason = "replaced"
	RetiredIdleLimit   RetireReason = "idle_limit"
	RetiredAgeLimit    RetireReason = "age_limit"
	RetiredServerDown  RetireReason = "server_down"
	RetiredRebalanced  RetireReason = "rebalanced"
	RetiredClosed      RetireReason = "pool_closed"
)

// held is a connection that a test has taken as a caller does.
type held struct {
	*conn
	pool *Pool
}

// mustAcquire takes a connection of a lane.
func mustAcquire(t testing.TB, p *Pool, l core.Lane) held {
	t.Helper()
	now := time.Now()
	c, _, err := p.acquire(context.Background(), "test", &core.Request{Lane: l, Began: now, Deadline: now.Add(p.config().MaxWait)})
	require.NoError(t, err)
	return held{c, p}
}

// release gives it back.
func (h held) release() {
	h.pool.update(func(now time.Time) { h.pool.core.Released(now, h.core, core.Outcome{Answered: true}) })
}

// serverOf is what the core knows of a server.
func serverOf(p *Pool, i int) *core.Server {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.core.Servers()[i]
}

// suspectGrace is how long a suspect server counts as usable.
const suspectGrace = 2 * time.Second
