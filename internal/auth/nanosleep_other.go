//go:build !linux

package auth

import "time"

// Nanosleep is time.Sleep on systems where the precision of Go's timers was not measured.
func Nanosleep(d time.Duration) { time.Sleep(d) }
