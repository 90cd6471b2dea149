//go:build !linux

package ldappool

import "syscall"

// setUserTimeout is Linux's; elsewhere the deadline of each request and TCP keep-alive have to do.
func setUserTimeout(_, _ string, _ syscall.RawConn) error { return nil }
