package main

import "authsvc/config"

// spareDescriptors are for what is neither a caller's connection nor one to the directory: listeners, the admin listener's
// callers, files with secrets, lookups, idle connections of callers.
const spareDescriptors = 64

// descriptorsNeeded is how many file descriptors the settings can need: a login under way has its caller's connection and
// one to the directory, one that waits has its caller's.
func descriptorsNeeded(cfg *config.Config) uint64 {
	return uint64(2*cfg.Pool.MaxConns + cfg.Pool.MaxWaiters + spareDescriptors) //nolint:gosec // config has them positive, and bounded
}
