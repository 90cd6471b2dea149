// Package sysres reads what the system allows this process, memory and file descriptors, and what
// its settings need of it.
package sysres

// SpareFiles is the number of file descriptors for what is neither a caller's connection nor one to
// the directory: listeners, files with secrets, logs, lookups.
const SpareFiles = 64

// FilesNeeded is how many file descriptors the settings can need. A login under way has its
// caller's connection and one to the directory, one that waits has its caller's.
func FilesNeeded(maxConns, maxWaiters int) uint64 {
	return uint64(2*max(maxConns, 0) + max(maxWaiters, 0) + SpareFiles)
}
