//go:build unix

package sysres

import "syscall"

// FileLimit is how many file descriptors the process may have. Go has raised the soft limit to the
// hard one, less one, by now: it does so at the start of any program that uses package os, since Go
// 1.19 (syscall/rlimit.go).
func FileLimit() (limit uint64, ok bool) {
	var r syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r)
	return uint64(r.Cur), err == nil //nolint:unconvert // FreeBSD has it signed
}
