package main

import "golang.org/x/sys/unix"

// hideInput stops a terminal from showing what is typed until its state is restored, and reports
// whether it could. Unlike term.ReadPassword it is done before the prompt, which a program may
// answer immediately, and changes nothing after a signal has ended the wait.
func hideInput(fd int) bool {
	state, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return false
	}
	state.Lflag &^= unix.ECHO
	return unix.IoctlSetTermios(fd, unix.TCSETS, state) == nil
}
