package status

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Each of these functions has a counterpart in status.js.

// span formats seconds in the two largest units: 12s, 3m 20s, 2h 5m, 3d 4h.
func span(seconds float64) string {
	s := int64(math.Floor(seconds))
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm %ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh %dm", s/3600, s%3600/60)
	}
	return fmt.Sprintf("%dd %dh", s/86400, s%86400/3600)
}

// limit formats a limit in seconds; – if none is known.
func limit(seconds float64) string {
	if seconds == 0 {
		return "–"
	}
	return span(seconds)
}

// latency formats seconds with three digits: 0.42 ms, 12.3 ms, 1.25 s; – if nothing was measured.
func latency(seconds float64) string {
	ms := seconds * 1000
	switch {
	case seconds == 0:
		return "–"
	case ms < 10:
		return fixed(ms, 2) + " ms"
	case ms < 100:
		return fixed(ms, 1) + " ms"
	case ms < 1000:
		return fixed(ms, 0) + " ms"
	}
	return fixed(seconds, 2) + " s"
}

// rate formats a rate per second: 0, 0.4, 12.5, 1,250.
func rate(perSecond float64) string {
	if perSecond == 0 {
		return "0"
	}
	if perSecond < 100 {
		return fixed(perSecond, 1)
	}
	return count(int64(round(perSecond, 1)))
}

// fixed formats v with so many decimals.
func fixed(v float64, digits int) string {
	return strconv.FormatFloat(round(v, math.Pow10(digits)), 'f', digits, 64)
}

// count formats n with commas between thousands.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// clock formats the time of day, and instant the full time for programs.
func clock(t time.Time) string   { return t.UTC().Format("15:04:05") + " UTC" }
func instant(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// last is the last of values, or 0.
func last(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	return values[len(values)-1]
}

// words formats a code as words: peer_closed is peer closed.
func words(code string) string { return strings.ReplaceAll(code, "_", " ") }
