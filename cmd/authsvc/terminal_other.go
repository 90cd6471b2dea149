//go:build !linux

package main

import (
	"io"
	"os"
)

// Elsewhere nothing is known of terminals: no colours, and a password comes through a pipe.

func isTerminal(io.Writer) bool { return false }

func terminalWidth(io.Writer) int { return 0 }

func hideInput(*os.File) (restore func(), ok bool) { return nil, false }
