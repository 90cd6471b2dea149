//go:build !linux

package ldapconn

import "syscall"

// setUserTimeout does nothing, because only Linux has the option. Other systems rely on request
// deadlines and TCP keep-alive.
func setUserTimeout(_, _ string, _ syscall.RawConn) error { return nil }
