package core

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPace_IsThatOfTheLastUsesWithoutTheLongest(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	now := time.Unix(1e9, 0)
	for _, c := range []struct {
		name string
		held []time.Duration
		then time.Duration // until it is asked for
		want time.Duration
	}{
		{"nothing yet", nil, 0, 0},
		{"too little to tell", []time.Duration{ms, ms, ms}, 0, 0},
		{"a few", []time.Duration{2 * ms, 4 * ms, 6 * ms, 100 * ms}, 0, 4 * ms},
		{"one that hung", []time.Duration{ms, ms, ms, 5000 * ms, ms, ms}, 0, ms},
		{"slow all the time", []time.Duration{ms * 900, ms * 900, ms * 900, ms * 900}, 0, 900 * ms},
		{"from long ago", []time.Duration{ms, ms, ms, ms}, holdTimesExpire + 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var p holdTimes
			for _, held := range c.held {
				p.record(held, now)
			}
			require.Equal(t, c.want, p.mean(now.Add(c.then)))
		})
	}
}
