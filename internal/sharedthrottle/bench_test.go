package sharedthrottle

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"authsvc/internal/redistest"
	"authsvc/internal/throttle"

	"github.com/stretchr/testify/require"
)

// BenchmarkLogin shows what the throttle costs a login, alone and shared: the times of Reserve, the
// CPU time of this process, and what the server does and gets.
func BenchmarkLogin(b *testing.B) {
	s := redistest.Start(b)
	limits := usual()
	limits.Failures, limits.AccountFailures = 1_000_000, 1_000_000 // nothing is refused
	local, err := throttle.New(limits)
	require.NoError(b, err)
	shared := newInstances(b, 1, limits, at(s), DefaultPatience)[0]
	for _, of := range []struct {
		name string
		throttle.Throttle
	}{{"local", local}, {"shared", shared}} {
		for _, v := range []throttle.Verdict{throttle.Succeeded, throttle.Failed} {
			b.Run(of.name+"/"+verdictOf(v), func(b *testing.B) {
				took := make([]time.Duration, 0, b.N)
				calls, bytes, cpu := figure(s, "stats", "total_commands_processed"), figure(s, "stats", "total_net_input_bytes"), cpuTime()
				for i := 0; b.Loop(); i++ {
					a := throttle.ByName(fmt.Sprint("user", i%1000))
					began := time.Now()
					r, err := of.Reserve(context.Background(), a, client0)
					took = append(took, time.Since(began))
					require.NoError(b, err)
					r.Settle(context.Background(), v)
				}
				n := float64(len(took))
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1000, "p50-µs")
				b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1000, "p99-µs")
				b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/n/1000, "cpu-µs/op")
				b.ReportMetric(float64(figure(s, "stats", "total_commands_processed")-calls)/n, "commands/op")
				b.ReportMetric(float64(figure(s, "stats", "total_net_input_bytes")-bytes)/n, "sent-bytes/op")
			})
		}
	}
}

// figure reads a number of INFO.
func figure(s *redistest.Server, section, name string) int {
	m := regexp.MustCompile(name + `:(\d+)`).FindStringSubmatch(s.Run("INFO", section))
	n, _ := strconv.Atoi(m[1])
	return n
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAccount shows the memory of an account that failed from one client, and of each further
// client.
func BenchmarkAccount(b *testing.B) {
	s := redistest.Start(b)
	limits := usual()
	limits.AccountFailures = 1_000_000
	i := newInstances(b, 1, limits, at(s), DefaultPatience)[0]
	fill := func(accounts, clients int) float64 {
		s.Run("FLUSHALL")
		before := figure(s, "memory", "used_memory")
		for a := range accounts {
			for c := range clients {
				i.Count(context.Background(), throttle.ByName(fmt.Sprint("user", a)), fmt.Sprintf("192.0.2.%d", c))
				if a%1000 == 0 && c == 0 { // the queue is bounded
					for len(i.settler.queue) > 0 {
						pause(time.Millisecond)
					}
				}
			}
		}
		for len(i.settler.queue) > 0 {
			pause(time.Millisecond)
		}
		pause(100 * time.Millisecond)
		return float64(figure(s, "memory", "used_memory")-before) / float64(accounts)
	}
	for b.Loop() {
		one, five := fill(20_000, 1), fill(20_000, 5)
		b.ReportMetric(one, "bytes/account")
		b.ReportMetric((five-one)/4, "bytes/client")
		b.ReportMetric(float64(i.Stat().Dropped), "dropped")
	}
}
