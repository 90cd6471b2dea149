// Package memtest measures the memory that a test's code takes, for tests that bound it.
package memtest

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

// Usage is what a function took of the heap.
type Usage struct {
	Peak  uint64 // most bytes at one time beyond those before it; garbage counts until it is collected
	Total uint64 // bytes of all allocations
}

const heapObjects = "/memory/classes/heap/objects:bytes"

// Measure runs f and reports its use of the heap. What other goroutines allocate meanwhile counts
// too, so the test must not be parallel.
func Measure(f func()) Usage {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() {
		sample := []metrics.Sample{{Name: heapObjects}}
		most := uint64(0)
		tick := time.NewTicker(200 * time.Microsecond)
		defer tick.Stop()
		for {
			metrics.Read(sample)
			most = max(most, sample[0].Value.Uint64())
			select {
			case <-stop:
				peak <- most
				return
			case <-tick.C:
			}
		}
	}()
	f()
	close(stop)
	most := <-peak
	runtime.ReadMemStats(&after)
	return Usage{Peak: max(most, before.HeapAlloc) - before.HeapAlloc, Total: after.TotalAlloc - before.TotalAlloc}
}

// Bound runs f, which decodes input bytes, and fails the test if it allocates more than fixed and
// perByte for each of them. It is for fuzz targets.
func Bound(t testing.TB, input, fixed, perByte int, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	limit := uint64(fixed) + uint64(perByte)*uint64(input) //nolint:gosec // none is negative
	if took := after.TotalAlloc - before.TotalAlloc; took > limit {
		t.Fatalf("%d bytes of input took %d bytes of memory, more than %d", input, took, limit)
	}
}
