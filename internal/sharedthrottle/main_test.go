package sharedthrottle

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"authsvc/internal/ldaptest"
	"authsvc/internal/throttle"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// user and other are accounts, client is who tries them.
var (
	user  = throttle.ByName("user")
	other = throttle.ByName("other")
)

const client0 = "192.0.2.1"

// usual is the service's default, with a longer wait: attempts that are undecided for half of it no
// longer count in full, and the machine may be busy.
func usual() throttle.Config {
	return throttle.Config{Failures: 10, AccountFailures: 100, Window: 5 * time.Minute, MaxWait: patient}
}

// logBuffer keeps a log.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(line)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// instance is one of several throttles that share a server.
type instance struct {
	*Throttle
	log *logBuffer
}

// patient is for instances that wait for the server on a busy machine too.
const patient = 10 * time.Second

// newInstance makes an instance, whether its server is there or not.
func newInstance(t testing.TB, limits throttle.Config, s Server, patience time.Duration) *instance {
	t.Helper()
	local, err := throttle.New(limits)
	require.NoError(t, err)
	log := new(logBuffer)
	shared, err := New(local, Config{
		Server: s, Prefix: "authsvc", MaxWait: limits.MaxWait, MaxAttempt: 5 * time.Second, Patience: patience, Log: slog.New(slog.NewJSONHandler(log, nil)),
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = shared.Close(ctx) // its server may be away
	})
	return &instance{shared, log}
}

// newInstances makes instances, and waits until all of them ask the server.
func newInstances(t testing.TB, n int, limits throttle.Config, s Server, patience time.Duration) []*instance {
	t.Helper()
	all := make([]*instance, n)
	for i := range all {
		all[i] = newInstance(t, limits, s, patience)
	}
	for _, i := range all {
		i.waitUp(t)
	}
	return all
}

func (i *instance) waitUp(t testing.TB) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of an instance: %s", i.log)
		}
	})
	ldaptest.Eventually(t, "the server is asked", func() bool { return i.Stat().Up })
}

func (i *instance) waitDown(t testing.TB) {
	t.Helper()
	ldaptest.Eventually(t, "the server is not asked", func() bool { return !i.Stat().Up })
}

// try makes an attempt that comes to v.
func (i *instance) try(a throttle.Account, v throttle.Verdict) error {
	r, err := i.Reserve(context.Background(), a, client0)
	if err == nil {
		r.Settle(context.Background(), v)
	}
	return err
}

// refusalOf is the refusal that err is.
func refusalOf(t testing.TB, err error) *throttle.Refusal {
	t.Helper()
	var r *throttle.Refusal
	require.ErrorAs(t, err, &r)
	return r
}
