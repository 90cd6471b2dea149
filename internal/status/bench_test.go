package status

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/fanout"
	"authsvc/internal/journal"
	"authsvc/internal/metrics"
	"authsvc/ldappool"
)

// full is a page with all that it can have: five minutes of every outcome, twenty faults.
func full() *Page {
	m, j := metrics.New(metrics.Options{}), journal.New(slog.New(slog.DiscardHandler))
	stat := &ldappool.Stat{MaxConns: 32, Servers: []ldappool.ServerStat{{URL: serverA}, {URL: serverB}}}
	p := New(Config{Pool: func() *ldappool.Stat { return stat }, Counts: m.Counts, Faults: j.Faults})
	for i := range steps {
		for _, o := range auth.Outcomes() {
			fanout.Logins(m, j).LoginDone(context.Background(), auth.Credentials{}, auth.Result{Outcome: o, Phases: auth.Phases{Wait: 1, Search: time.Millisecond, Bind: time.Millisecond, Total: time.Second}})
		}
		p.history.record(sample{p.started.Add(time.Duration(i+1) * step), m.Counts()})
	}
	return p
}

// BenchmarkTick measures the cost of each second, for all pages together: nothing is rendered if
// nobody watches.
func BenchmarkTick(b *testing.B) {
	for _, c := range []struct {
		name    string
		watched bool
	}{{"nobody watches", false}, {"watched", true}} {
		b.Run(c.name, func(b *testing.B) {
			p := full()
			if c.watched {
				p.feed.join()
			}
			b.ReportAllocs()
			for b.Loop() {
				p.latest = nil
				p.tick()
			}
			if c.watched {
				b.ReportMetric(float64(len(p.latest.event)), "bytes/event")
			}
		})
	}
}
