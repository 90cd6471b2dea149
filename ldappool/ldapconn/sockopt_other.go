//go:build !linux

package ldapconn

import "syscall"

// setUserTimeout does nothing: the option is Linux's. Elsewhere the deadlines of requests and TCP
// keep-alive must do.
func setUserTimeout(_, _ string, _ syscall.RawConn) error { return nil }
