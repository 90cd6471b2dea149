package ldappool

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

func TestWaitReady_WaitsForTheFirstConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		h.refuse(false)
		p := m.start(t)
		began := time.Now()
		err := p.WaitReady(within(t, 5*time.Second))
		require.Equal(t, 5*time.Second, time.Since(began))
		require.ErrorIs(t, err, ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, errConnRefused, "it says why")
		time.AfterFunc(3*time.Second, h.accept)
		require.NoError(t, p.WaitReady(t.Context()))
		require.LessOrEqual(t, time.Since(began), 8*time.Second+probeLatest)
		require.True(t, p.Stat().Ready)
		require.NoError(t, p.WaitReady(within(t, 0)), "it stays ready")
	})
}

func TestWaitReady_EndsWithThePool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		m.hosts["one"].refuse(false)
		p := m.start(t)
		done := make(chan error, 1)
		go func() { done <- p.WaitReady(context.Background()) }()
		synctest.Wait()
		require.NoError(t, p.Close(t.Context()))
		require.ErrorIs(t, <-done, ErrClosed)
	})
}

func TestConfig_DialReceivesTheNameOfAServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p, err := New(Config{
			Servers: []string{"ldap://one"}, BindDN: ldaptest.ServiceDN, BindPassword: ldaptest.ServicePassword, Dial: m.dial,
		})
		require.NoError(t, err)
		defer m.end()
		mustSearch(t, p)
		closePool(t, p)
	})
}

func TestPolicy_AndBindRetryHaveNames(t *testing.T) {
	t.Parallel()
	require.Equal(t, "failover", Failover.String())
	require.Equal(t, "round-robin", RoundRobin.String())
	require.Equal(t, "no-response", RetryNoResponse.String())
	require.Equal(t, "unsent", RetryUnsent.String())
}
