package sharedthrottle

import (
	"log/slog"
	"sync"
	"time"

	"authsvc/internal/logsafe"
)

// breaker knows whether the server is asked. It begins open. Its methods may be called by many
// goroutines at once.
type breaker struct {
	log *slog.Logger

	mu     sync.Mutex
	up     chan struct{} // closed while the server is asked; guarded by mu, as what follows
	closed bool
	since  time.Time // the last change
	why    string    // the error that opened it, or the last one while it is open
	told   bool      // the log has a line
	late   int       // questions in a row that were not answered in time
}

func newBreaker(log *slog.Logger) *breaker {
	return &breaker{log: log, up: make(chan struct{}), since: time.Now()}
}

// asks reports whether the server is asked.
func (b *breaker) asks() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// asked returns a channel that is closed while the server is asked.
func (b *breaker) asked() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.up
}

// maxLate is how many questions in a row the server may answer too late. One is not a sign: this
// machine may have been busy.
const maxLate = 3

// answered records that the server has answered in time.
func (b *breaker) answered() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.late = 0
}

// fault opens the breaker, for late answers only after several.
func (b *breaker) fault(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if isTimeout(err) && b.closed {
		if b.late++; b.late < maxLate {
			return
		}
	}
	b.why = logsafe.Printable(err.Error(), logsafe.MaxShown)
	if b.closed {
		b.closed, b.since, b.up, b.told = false, time.Now(), make(chan struct{}), false
	}
	if !b.told {
		b.told = true
		b.log.Warn("shared throttle down", "error", b.why, "action", "this instance counts alone; the server is tried again every second")
	}
}

// recovered closes the breaker.
func (b *breaker) recovered() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		b.late = 0
		return
	}
	b.log.Info("shared throttle up", "down_seconds", time.Since(b.since).Round(100*time.Millisecond).Seconds())
	b.closed, b.since, b.why, b.late = true, time.Now(), "", 0
	close(b.up)
}

// state returns whether the server is asked, since when, and why not.
func (b *breaker) state() (up bool, since time.Time, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed, b.since, b.why
}
