package auth_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"authsvc/internal/auth"
)

// BenchmarkSleeper_Lateness measures how late a caller returns from a wait for a moment 50 ms after
// it began, by how long it works before the wait, with Go's timers and with the sleeper. With
// timers the lateness reveals the work.
func BenchmarkSleeper_Lateness(b *testing.B) {
	for name, until := range map[string]func(time.Time){
		"timer":   func(moment time.Time) { <-time.After(time.Until(moment)) },
		"sleeper": auth.NewSleeper(auth.Nanosleep),
	} {
		for work := 100 * time.Microsecond; work < time.Millisecond; work += 200 * time.Microsecond {
			b.Run(fmt.Sprintf("%s/work=%v", name, work), func(b *testing.B) {
				var late []time.Duration
				for b.Loop() {
					began := time.Now()
					for time.Since(began) < work {
					}
					moment := began.Add(50 * time.Millisecond)
					until(moment)
					late = append(late, time.Since(moment))
				}
				report(b, late)
			})
		}
	}
}

// BenchmarkSleeper_ManyCallers is the lateness of a thousand callers at once whose moments are 10
// µs apart.
func BenchmarkSleeper_ManyCallers(b *testing.B) {
	until := auth.NewSleeper(auth.Nanosleep)
	var late []time.Duration
	for b.Loop() {
		round := make([]time.Duration, 1000)
		start := time.Now().Add(50 * time.Millisecond)
		var all sync.WaitGroup
		for i := range round {
			all.Go(func() {
				moment := start.Add(time.Duration(i) * 10 * time.Microsecond)
				until(moment)
				round[i] = time.Since(moment)
			})
		}
		all.Wait()
		late = append(late, round...)
	}
	report(b, late)
}

func report(b *testing.B, late []time.Duration) {
	b.Helper()
	slices.Sort(late)
	b.ReportMetric(float64(late[len(late)/2].Microseconds()), "us-median")
	b.ReportMetric(float64(late[len(late)*9/10].Microseconds()), "us-90%")
}
