package status

import (
	"authsvc/internal/metrics"
	"math"
	"time"
)

// The last minutes are kept in steps.
const (
	step  = 5 * time.Second
	steps = 60
)

// sample is the counts at a moment.
type sample struct {
	at     time.Time
	counts metrics.Counts
}

// history is the samples at the ends of steps, the earliest first. The last step is extended until
// it is long enough.
type history struct{ ends []sample }

// record adds a sample.
func (h *history) record(s sample) {
	if n := len(h.ends); n >= 2 && s.at.Sub(h.ends[n-2].at) <= step+interval/2 {
		h.ends[n-1] = s
		return
	}
	if len(h.ends) > steps {
		h.ends = append(h.ends[:0], h.ends[1:]...)
	}
	h.ends = append(h.ends, s)
}

// latest is the last sample.
func (h *history) latest() metrics.Counts { return h.ends[len(h.ends)-1].counts }

// perSecond returns the rate of a count in each step, and its increase over all steps.
func (h *history) perSecond(count func(*metrics.Counts) uint64) (rates []float64, grown uint64) {
	rates = make([]float64, 0, steps)
	for i := 1; i < len(h.ends); i++ {
		n := count(&h.ends[i].counts) - count(&h.ends[i-1].counts)
		grown += n
		rates = append(rates, round(float64(n)/h.ends[i].at.Sub(h.ends[i-1].at).Seconds(), 100))
	}
	return rates, grown
}

// quantiles returns quantile q of the durations in each step, in seconds; 0 for a step without any.
func (h *history) quantiles(q float64, of func(*metrics.Counts) metrics.Histogram) []float64 {
	all := make([]float64, 0, steps)
	for i := 1; i < len(h.ends); i++ {
		all = append(all, quantile(q, difference(of(&h.ends[i-1].counts), of(&h.ends[i].counts))))
	}
	return all
}

// recent returns the durations in all steps.
func (h *history) recent(of func(*metrics.Counts) metrics.Histogram) metrics.Histogram {
	return difference(of(&h.ends[0].counts), of(&h.ends[len(h.ends)-1].counts))
}

// difference returns the durations between two histograms.
func difference(earlier, later metrics.Histogram) metrics.Histogram {
	d := metrics.Histogram{Bounds: later.Bounds, Counts: make([]uint64, len(later.Counts))}
	for i := range d.Counts {
		d.Counts[i] = later.Counts[i] - earlier.Counts[i]
	}
	return d
}

// quantile estimates quantile q as Prometheus' histogram_quantile does: evenly within its bucket. A
// quantile above every bound is reported as the last bound.
func quantile(q float64, h metrics.Histogram) float64 {
	rank, below := q*float64(h.Total()), 0.0
	if rank == 0 {
		return 0
	}
	for i, bound := range h.Bounds {
		n := float64(h.Counts[i])
		if below+n >= rank && n > 0 {
			lower := 0.0
			if i > 0 {
				lower = h.Bounds[i-1]
			}
			return round(lower+(bound-lower)*(rank-below)/n, 1e6)
		}
		below += n
	}
	return h.Bounds[len(h.Bounds)-1]
}

// round rounds v to a multiple of 1/parts. It rounds a half up, as Math.round does.
func round(v, parts float64) float64 { return math.Floor(v*parts+0.5) / parts }
