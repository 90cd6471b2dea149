package auth

import (
	"time"

	"golang.org/x/sys/unix"
)

// Nanosleep sleeps for d by nanosleep(2), for [Config].Sleep. It occupies an operating system
// thread. A signal may end it early.
func Nanosleep(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil) // EINTR: the caller looks at the clock again
}
