//go:build !unix

package sysres

// FileLimit is how many file descriptors the process may have: there is no limit.
func FileLimit() (limit uint64, ok bool) { return 0, false }
