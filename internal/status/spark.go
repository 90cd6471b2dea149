package status

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// The size of a chart: two units for each step. status.js has the same.
const (
	sparkWidth  = 2 * steps
	sparkHeight = 24
)

// peak returns the largest of values.
func peak(values ...[]float64) float64 {
	most := 0.0
	for _, v := range values {
		most = max(most, slices.Max(append(v[:len(v):len(v)], 0)))
	}
	return most
}

// line returns the path of values, scaled so that top is at the top, with the latest at the right.
func line(values []float64, top float64) string {
	var b strings.Builder
	for i, v := range values {
		if i == 0 {
			b.WriteByte('M')
		} else {
			b.WriteByte('L')
		}
		b.WriteString(point(sparkWidth-2*float64(len(values)-1-i), level(v, top)))
	}
	return b.String()
}

// area returns the path of the area below line.
func area(values []float64, top float64) string {
	if len(values) == 0 {
		return ""
	}
	left := sparkWidth - 2*float64(len(values)-1)
	return line(values, top) + "L" + point(sparkWidth, sparkHeight) + "L" + point(left, sparkHeight) + "Z"
}

// times returns the path of durations in seconds on a logarithmic scale, with gaps for
// steps without any.
func times(values []float64) string {
	var b strings.Builder
	for i, v := range values {
		if v == 0 {
			continue
		}
		at := point(sparkWidth-2*float64(len(values)-1-i), level(decades(v), decades(slowest)))
		if i == 0 || values[i-1] == 0 {
			b.WriteString("M" + at + "h0") // a dot, if nothing follows
		} else {
			b.WriteString("L" + at)
		}
	}
	return b.String()
}

// The range of durations that is shown, in seconds.
const (
	fastest = 0.0001
	slowest = 10
)

// decades returns how many powers of ten v is above fastest.
func decades(v float64) float64 { return math.Log10(min(max(v, fastest), slowest) / fastest) }

// level returns the distance of v from the top of the chart; 1 is reserved for the width of the
// line.
func level(v, top float64) float64 {
	if top == 0 {
		return sparkHeight - 1
	}
	return round(sparkHeight-1-v/top*(sparkHeight-2), 10)
}

func point(x, y float64) string {
	return strconv.FormatFloat(x, 'f', -1, 64) + " " + strconv.FormatFloat(y, 'f', -1, 64)
}
