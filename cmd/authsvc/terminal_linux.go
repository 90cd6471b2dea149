package main

import "golang.org/x/sys/unix"

// hideInput stops a terminal from showing what is typed, until its state is restored.
func hideInput(fd int) {
	state, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return
	}
	state.Lflag &^= unix.ECHO
	_ = unix.IoctlSetTermios(fd, unix.TCSETS, state) // term.ReadPassword tries again
}
