package ldaptest

import (
	"testing"
	"time"
)

const (
	// patience bounds every wait for another process or the network. It is
	// generous because a loaded machine must not fail a test.
	patience = time.Minute
	// pollEvery is how often something is asked that cannot report by itself.
	pollEvery = 5 * time.Millisecond
)

// Eventually polls cond until it holds, and fails the test with what after
// a minute. It is for things that nothing reports: another process's log, a
// counter that a server's goroutine moves. Where there is a channel, wait on
// that.
func Eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	if !poll(nil, cond) {
		tb.Fatalf("waited %v in vain for: %s", patience, what)
	}
}

// poll asks cond until it holds, stop is closed, or patience ends. It says
// whether cond held; a nil stop never closes.
func poll(stop <-chan struct{}, cond func() bool) bool {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if cond() {
			return true
		}
		select {
		case <-tick.C:
		case <-stop:
			return false
		case <-deadline.C:
			return false
		}
	}
}
