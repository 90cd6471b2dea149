package demo

import (
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestIdleLimit_CutIsCountedAndLogged(t *testing.T) {
	t.Parallel()
	var log logBuffer
	d := start(t, Config{CutIdle: 20 * time.Millisecond, Logger: log.logger()})
	client := dialRaw(t, d)
	_, err := client.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET, "an orderly end is no reset")
	assert.EqualValues(t, 1, d.Cuts())
	assert.Contains(t, log.String(), "reset an idle connection")
	assert.Contains(t, log.String(), "client="+client.LocalAddr().String())
	assert.Contains(t, log.String(), "cuts=1")

	dialRaw(t, d)
	_, err = dialRaw(t, d).Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	assert.GreaterOrEqual(t, d.Cuts(), int64(2))
}

func TestIdleLimit_OnlyTimeWithoutTrafficCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = time.Minute
		last := time.Now()
		var traffic atomic.Pointer[time.Time]
		traffic.Store(&last)
		cut := make(chan time.Duration, 1)
		go func() {
			idle, ok := waitForIdle(limit, func() time.Time { return *traffic.Load() }, nil)
			assert.True(t, ok)
			cut <- idle
		}()
		for range 10 { // a byte each 59 s
			time.Sleep(limit - time.Second)
			now := time.Now()
			traffic.Store(&now)
			synctest.Wait()
			assert.Empty(t, cut)
		}
		assert.Equal(t, limit, <-cut)
		assert.Equal(t, limit, time.Since(*traffic.Load()))
	})
}

func TestIdleLimit_ClosedConnectionIsNoLongerWatched(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	close(done)
	_, ok := waitForIdle(time.Hour, time.Now, done)
	assert.False(t, ok)
}

func TestIdleLimit_ZeroDisablesTheWatch(t *testing.T) {
	t.Parallel()
	d := start(t, Config{})
	conn := connectAsService(t, d.URL())
	_, err := conn.Search(below(BaseDN, "(uid=bob)"))
	require.NoError(t, err)
	assert.Zero(t, d.Cuts())
}
