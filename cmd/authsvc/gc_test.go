package main

import (
	"net/http"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

// collected is the collector's percentage now.
func collected() int {
	p := debug.SetGCPercent(100)
	debug.SetGCPercent(p)
	return p
}

func TestGarbageIsCollectedSoonerWhileManyConnectionsAreOpen(t *testing.T) {
	before := collected()
	defer debug.SetGCPercent(before)
	for _, tt := range []struct{ usual, many int }{{100, gcPercentMany}, {60, gcPercentMany}, {10, 10}, {-1, -1}} {
		debug.SetGCPercent(tt.usual)
		c := newConnCount(new(gcPercent).heed)
		for open := 1; open < manyConns; open++ {
			c.changed(nil, http.StateNew)
		}
		require.Equal(t, tt.usual, collected())
		c.changed(nil, http.StateNew)
		require.Equal(t, tt.many, collected())
		for open := manyConns; open > fewConns; open-- {
			c.changed(nil, http.StateClosed)
		}
		require.Equal(t, tt.many, collected(), "not back and forth over one number")
		c.changed(nil, http.StateClosed)
		require.Equal(t, tt.usual, collected())
	}
}
