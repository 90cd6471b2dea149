package throttle_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"authsvc/internal/throttle"

	"github.com/stretchr/testify/require"
)

func BenchmarkReserveAndSettle(b *testing.B) {
	for name, v := range map[string]throttle.Verdict{"right": throttle.Succeeded, "wrong": throttle.Failed} {
		b.Run(name, func(b *testing.B) {
			cfg := usual()
			cfg.Failures, cfg.AccountFailures = 1e6, 1e6 // no attempt is rejected
			m := newMemory(b, cfg)
			ctx := context.Background()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				a := throttle.ByName(fmt.Sprintf("%p", pb))
				for pb.Next() {
					r, err := m.Reserve(ctx, a, "192.0.2.1")
					if err == nil {
						r.Settle(ctx, v)
					}
				}
			})
		})
	}
}

func BenchmarkRefused(b *testing.B) {
	m := newMemory(b, usual())
	for range 10 {
		require.NoError(b, try(m, user, "192.0.2.1", throttle.Failed))
	}
	b.Run("reserve", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = m.Reserve(context.Background(), user, "192.0.2.1")
		}
	})
	b.Run("check", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = m.Check(context.Background(), user, "192.0.2.1")
		}
	})
}

func BenchmarkAccount(b *testing.B) {
	b.Run("name", func(b *testing.B) {
		for b.Loop() {
			throttle.ByName("Some.User")
		}
	})
	b.Run("entry", func(b *testing.B) {
		for b.Loop() {
			throttle.ByEntry("uid=some.user,ou=people,dc=example,dc=org")
		}
	})
}

// BenchmarkMillion shows what a million names from one address, and one name from a million
// addresses, cost.
func BenchmarkMillion(b *testing.B) {
	const million = 1_000_000
	for name, at := range map[string]func(i int) (throttle.Account, string){
		"names":     func(i int) (throttle.Account, string) { return throttle.ByName(fmt.Sprint("user", i)), "192.0.2.1" },
		"addresses": func(i int) (throttle.Account, string) { return user, fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff) },
		"both": func(i int) (throttle.Account, string) {
			return throttle.ByName(fmt.Sprint("user", i)), fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff)
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				cfg := usual()
				cfg.AccountFailures = 1e6
				before := heapInUse()
				m := newMemory(b, cfg)
				for i := range million {
					a, client := at(i)
					_ = try(m, a, client, throttle.Failed)
				}
				s := m.Stat()
				b.ReportMetric(float64(heapInUse()-before)/1e6, "MB")
				b.ReportMetric(float64(s.Entries), "entries")
				b.ReportMetric(float64(s.Forgotten), "forgotten")
				runtime.KeepAlive(m)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/million, "ns/try")
		})
	}
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// TestMemory_IsBoundedForAnyNamesAndAddresses: the bound that DefaultEntries
// states.
func TestMemory_IsBoundedForAnyNamesAndAddresses(t *testing.T) { //nolint:paralleltest // it measures the heap
	const names, bound = 300_000, 40 << 20 // a third is enough to fill it; BenchmarkMillion has them all
	cfg := usual()
	cfg.Window = 24 * time.Hour // so that nothing is given back meanwhile, however slow the machine is
	before := heapInUse()
	m := newMemory(t, cfg)
	for i := range names {
		_ = try(m, throttle.ByName(fmt.Sprint("user", i)), fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff), throttle.Failed)
	}
	used := heapInUse() - before
	s := m.Stat()
	t.Logf("%.1f MB for %d entries, %d forgotten", float64(used)/1e6, s.Entries, s.Forgotten)
	require.LessOrEqual(t, s.Entries, throttle.DefaultEntries)
	require.Positive(t, s.Forgotten)
	require.Less(t, used, uint64(bound))
	runtime.KeepAlive(m)
}
