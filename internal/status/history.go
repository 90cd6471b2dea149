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

// sample is what had been counted at a moment.
type sample struct {
	at     time.Time
	counts metrics.Counts
}

// history is the samples at the ends of steps, the earliest first. The last step goes on until it
// is long enough.
type history struct{ ends []sample }

// note takes one more sample.
func (h *history) note(s sample) {
	if n := len(h.ends); n >= 2 && s.at.Sub(h.ends[n-2].at) <= step+pace/2 {
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

// perSecond is how fast a count grew in each step, and by how much in all of them.
func (h *history) perSecond(count func(*metrics.Counts) uint64) (rates []float64, grown uint64) {
	rates = make([]float64, 0, steps)
	for i := 1; i < len(h.ends); i++ {
		n := count(&h.ends[i].counts) - count(&h.ends[i-1].counts)
		grown += n
		rates = append(rates, rounded(float64(n)/h.ends[i].at.Sub(h.ends[i-1].at).Seconds(), 100))
	}
	return rates, grown
}

// quantiles are quantile q of what was timed in each step, in seconds; 0 where nothing was.
func (h *history) quantiles(q float64, of func(*metrics.Counts) metrics.Histogram) []float64 {
	all := make([]float64, 0, steps)
	for i := 1; i < len(h.ends); i++ {
		all = append(all, quantile(q, between(of(&h.ends[i-1].counts), of(&h.ends[i].counts))))
	}
	return all
}

// recent is what was timed in all of the steps.
func (h *history) recent(of func(*metrics.Counts) metrics.Histogram) metrics.Histogram {
	return between(of(&h.ends[0].counts), of(&h.ends[len(h.ends)-1].counts))
}

// between is what was timed after one histogram and until another.
func between(earlier, later metrics.Histogram) metrics.Histogram {
	d := metrics.Histogram{Bounds: later.Bounds, Counts: make([]uint64, len(later.Counts))}
	for i := range d.Counts {
		d.Counts[i] = later.Counts[i] - earlier.Counts[i]
	}
	return d
}

// quantile estimates quantile q as Prometheus' histogram_quantile does: evenly within its bucket.
// What lies beyond every bound is reported as the last bound.
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
			return rounded(lower+(bound-lower)*(rank-below)/n, 1e6)
		}
		below += n
	}
	return h.Bounds[len(h.Bounds)-1]
}

// rounded is v to so many parts of one. A half goes up, as Math.round has it.
func rounded(v, parts float64) float64 { return math.Floor(v*parts+0.5) / parts }
