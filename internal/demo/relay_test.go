package demo

import (
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAnIdleClientIsResetAndTheCutIsCountedAndLogged(t *testing.T) {
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

func TestOnlyTimeWithoutTrafficCountsAsIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = time.Minute
		cut := make(chan time.Duration, 1)
		r := newRelay(nil, nil)
		r.idle = &idleWatch{limit: limit, cut: func(idle time.Duration) { cut <- idle }}
		var watch sync.WaitGroup
		watch.Go(func() { r.watch(make(chan struct{})) })

		for range 10 { // a byte each 59 s
			time.Sleep(limit - time.Second)
			r.lastTraffic.Store(int64(time.Since(r.born)))
			synctest.Wait()
			assert.Empty(t, cut)
		}
		last := time.Now()
		watch.Wait()
		assert.Equal(t, limit, time.Since(last))
		assert.Equal(t, limit, <-cut)
	})
}

func TestTrafficInEitherDirectionIsNoted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(nil, nil)
		from := &observed{readerFunc(func(p []byte) (int, error) { return len(p), nil }), r}
		time.Sleep(time.Second)
		_, err := from.Read(make([]byte, 1))
		require.NoError(t, err)
		assert.EqualValues(t, time.Second, r.lastTraffic.Load())
		time.Sleep(time.Second)
		_, _ = from.Read(nil)
		assert.EqualValues(t, time.Second, r.lastTraffic.Load(), "no byte is no traffic")
	})
}

// readerFunc is an io.Reader.
type readerFunc func(p []byte) (int, error)

// Read implements io.Reader.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestAConnectionWithoutALimitIsNotWatched(t *testing.T) {
	t.Parallel()
	d := start(t, Config{})
	conn := connectAsService(t, d.URL())
	_, err := conn.Search(below(BaseDN, "(uid=bob)"))
	require.NoError(t, err)
	assert.Zero(t, d.Cuts())
}
