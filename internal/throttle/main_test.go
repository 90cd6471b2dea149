package throttle_test

import (
	"context"
	"testing"
	"time"

	"authsvc/internal/throttle"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// usual is the service's default.
func usual() throttle.Config {
	return throttle.Config{Failures: 10, AccountFailures: 100, Window: 5 * time.Minute, MaxWait: 2 * time.Second}
}

func newMemory(t testing.TB, cfg throttle.Config) *throttle.Memory {
	t.Helper()
	m, err := throttle.New(cfg)
	require.NoError(t, err)
	return m
}

// try makes an attempt that comes to v.
func try(m *throttle.Memory, a throttle.Account, client string, v throttle.Verdict) error {
	r, err := m.Reserve(context.Background(), a, client)
	if err == nil {
		r.Settle(context.Background(), v)
	}
	return err
}

// kept is what m keeps now: its Stat without the attempts refused so far.
func kept(m *throttle.Memory) throttle.Stat {
	s := m.Stat()
	s.Refused = throttle.Stat{}.Refused
	return s
}

// refusal is the refusal that err is.
func refusal(t testing.TB, err error) *throttle.Refusal {
	t.Helper()
	var r *throttle.Refusal
	require.ErrorAs(t, err, &r)
	return r
}
