package metrics

import (
	"authsvc/internal/auth"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Counts is the counts and durations of logins, and the counts of answers to reverse proxies, since
// the start. They are read from the metrics, so reading them costs logins nothing.
type Counts struct {
	// Logins are the logins that ended, by status.
	Logins []uint64
	// Login has the durations of logins with a verdict or a fault; Wait, Search and Bind those of
	// their parts.
	Login, Wait, Search, Bind Histogram
	// Forwards are the answers to reverse proxies, by result; empty before CountForwards.
	Forwards []Forwards
}

// Forwards is the number of answers to reverse proxies with one result.
type Forwards struct {
	Result   string
	BySource map[auth.Source]uint64 // every source
}

// Total is the number of answers.
func (f Forwards) Total() (n uint64) {
	for _, count := range f.BySource {
		n += count
	}
	return n
}

// Histogram is a histogram of durations.
type Histogram struct {
	// Bounds are the upper bounds of the buckets, in seconds. It is shared and must not be changed.
	Bounds []float64
	// Counts are the numbers in each bucket; the last is above every bound.
	Counts []uint64
}

// Total is the number of durations.
func (h Histogram) Total() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// Counts returns the current counts.
func (m *Metrics) Counts() Counts {
	l := m.logins
	c := Counts{
		Logins: make([]uint64, len(auth.Outcomes())),
		Login:  l.histogram(l.duration[classVerdict], l.duration[classFault]),
		Wait:   l.histogram(l.wait),
		Search: l.histogram(l.search),
		Bind:   l.histogram(l.bind),

		Forwards: m.forward.counts(),
	}
	for status, counter := range l.outcomes {
		c.Logins[status] = uint64(metricOf(counter).GetCounter().GetValue())
	}
	return c
}

// histogram adds up histograms of the same bounds.
func (m *loginMetrics) histogram(observers ...prometheus.Observer) Histogram {
	h := Histogram{Bounds: m.bounds}
	h.Counts = make([]uint64, len(h.Bounds)+1)
	for _, o := range observers {
		counted := metricOf(o.(prometheus.Metric)).GetHistogram() // every histogram of a vector is a Metric
		below := uint64(0)
		for i, b := range counted.GetBucket()[:len(h.Bounds)] {
			h.Counts[i] += b.GetCumulativeCount() - below
			below = b.GetCumulativeCount()
		}
		h.Counts[len(h.Bounds)] += counted.GetSampleCount() - below
	}
	return h
}

// metricOf returns what a scrape would read of m. It cannot fail for counters and histograms.
func metricOf(m prometheus.Metric) *dto.Metric {
	var d dto.Metric
	_ = m.Write(&d)
	return &d
}
