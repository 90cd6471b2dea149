package metrics

import (
	"authsvc/internal/auth"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Counts is what has been counted of logins since the start. It is read off the metrics themselves:
// a login pays nothing for whoever looks at them.
type Counts struct {
	// Logins are the logins that ended, by status.
	Logins []uint64
	// Login times the logins that the directory decided or that ended in a fault, Wait, Search and
	// Bind their parts.
	Login, Wait, Search, Bind Histogram
}

// Histogram is how long things took.
type Histogram struct {
	// Bounds are the upper bounds of the buckets, in seconds. It is shared and only to be read.
	Bounds []float64
	// Counts are what fell into each bucket, and at last what was beyond every bound.
	Counts []uint64
}

// Total is how many things were timed.
func (h Histogram) Total() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// Counts reads what has been counted so far.
func (m *Metrics) Counts() Counts {
	l := m.logins
	c := Counts{
		Logins: make([]uint64, len(auth.Outcomes())),
		Login:  l.histogram(l.duration[classVerdict], l.duration[classFault]),
		Wait:   l.histogram(l.wait),
		Search: l.histogram(l.search),
		Bind:   l.histogram(l.bind),
	}
	for status, counter := range l.outcomes {
		c.Logins[status] = uint64(read(counter).GetCounter().GetValue())
	}
	return c
}

// histogram adds up histograms of the same bounds.
func (m *loginMetrics) histogram(observers ...prometheus.Observer) Histogram {
	h := Histogram{Bounds: m.bounds}
	h.Counts = make([]uint64, len(h.Bounds)+1)
	for _, o := range observers {
		counted := read(o.(prometheus.Metric)).GetHistogram() // as every histogram of a vector is
		below := uint64(0)
		for i, b := range counted.GetBucket()[:len(h.Bounds)] {
			h.Counts[i] += b.GetCumulativeCount() - below
			below = b.GetCumulativeCount()
		}
		h.Counts[len(h.Bounds)] += counted.GetSampleCount() - below
	}
	return h
}

// read is what a scrape would read of m, which never fails for the kinds that are used here.
func read(m prometheus.Metric) *dto.Metric {
	var d dto.Metric
	_ = m.Write(&d)
	return &d
}
