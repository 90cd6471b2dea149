package status

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// A chart is two units wide for each step and so high. Its like is in status.js.
const (
	sparkWidth  = 2 * steps
	sparkHeight = 24
)

// peak is the largest of values.
func peak(values ...[]float64) float64 {
	most := 0.0
	for _, v := range values {
		most = max(most, slices.Max(append(v[:len(v):len(v)], 0)))
	}
	return most
}

// line is the path of values whose largest is to be at the top, the latest at the right.
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

// area is line, with what is below it.
func area(values []float64, top float64) string {
	if len(values) == 0 {
		return ""
	}
	left := sparkWidth - 2*float64(len(values)-1)
	return line(values, top) + "L" + point(sparkWidth, sparkHeight) + "L" + point(left, sparkHeight) + "Z"
}

// times is the path of durations in seconds, by powers of ten. Where nothing was timed it is
// interrupted.
func times(values []float64) string {
	var b strings.Builder
	for i, v := range values {
		if v == 0 {
			continue
		}
		at := point(sparkWidth-2*float64(len(values)-1-i), level(decades(v), decades(slowest)))
		if i == 0 || values[i-1] == 0 {
			b.WriteString("M" + at + "h0") // a dot, where nothing comes after it
		} else {
			b.WriteString("L" + at)
		}
	}
	return b.String()
}

// The bounds of what is shown of durations, in seconds.
const (
	fastest = 0.0001
	slowest = 10
)

// decades is how many powers of ten v is above the fastest.
func decades(v float64) float64 { return math.Log10(min(max(v, fastest), slowest) / fastest) }

// level is how far from the top v is drawn; 1 is left for the line's own width.
func level(v, top float64) float64 {
	if top == 0 {
		return sparkHeight - 1
	}
	return rounded(sparkHeight-1-v/top*(sparkHeight-2), 10)
}

func point(x, y float64) string {
	return strconv.FormatFloat(x, 'f', -1, 64) + " " + strconv.FormatFloat(y, 'f', -1, 64)
}
