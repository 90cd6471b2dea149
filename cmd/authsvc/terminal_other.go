//go:build !linux

package main

// hideInput does nothing: term.ReadPassword stops the terminal from showing what is typed, a moment
// after the prompt.
func hideInput(int) {}
