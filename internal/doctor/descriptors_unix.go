//go:build unix

package doctor

import "syscall"

// descriptorLimit is how many files this process may have open: Go raises its own to the most that is allowed.
func descriptorLimit() (uint64, bool) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, false
	}
	return uint64(l.Max), true //nolint:unconvert // signed on some systems
}
