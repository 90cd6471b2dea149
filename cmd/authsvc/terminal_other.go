//go:build !linux

package main

import (
	"io"
	"os"
)

// On other systems the program knows nothing of terminals: it uses no colours, and a password must
// come through a pipe.

func isTerminal(io.Writer) bool { return false }

func terminalWidth(io.Writer) int { return 0 }

func hideInput(*os.File) (restore func(), ok bool) { return nil, false }
