//go:build !linux

package main

// hideInput does nothing: term.ReadPassword stops the terminal from showing what is typed.
func hideInput(int) bool { return false }
