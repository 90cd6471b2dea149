package main

import "runtime/debug"

// Go's collector lets garbage grow in proportion to what lives, and a thousand callers' connections and stacks live long:
// what is nothing at a few connections becomes the larger part of the memory at many. So from manyConns on it collects
// sooner, and below fewConns as it did before: by GOGC, or Go's 100.
const (
	manyConns = 256
	fewConns  = 128

	gcPercentMany = 15
)

// gcPercent sets how much garbage may grow over what lives, by the number of open connections. Its zero value is ready.
type gcPercent struct {
	many  bool
	usual int // what it was before
}

// heed takes note that so many connections are open. It is called under connCount's lock.
func (g *gcPercent) heed(open int) {
	switch {
	case !g.many && open >= manyConns:
		g.many = true
		if g.usual = debug.SetGCPercent(gcPercentMany); g.usual < gcPercentMany {
			debug.SetGCPercent(g.usual) // off, or sooner still
		}
	case g.many && open < fewConns:
		g.many = false
		debug.SetGCPercent(g.usual)
	}
}
