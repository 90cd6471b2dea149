package main

import (
	"authsvc/config"
	"authsvc/internal/sysres"
)

// leastConns is the number of connections that the main listener always accepts, however low the
// limit on file descriptors is.
const leastConns = 16

// connsWithin returns how many connections of callers a limit on file descriptors allows, in
// addition to those to the directory and of the admin listener.
func connsWithin(limit uint64, cfg *config.Config) int {
	others := uint64(cfg.Pool.MaxConns + sysres.SpareFiles) //nolint:gosec // config has it positive, and bounded
	if cfg.Admin.Addr != "" {
		others += adminConns
	}
	const most = 1 << 20 // more than HTTP_MAX_CONNS can be
	return int(min(max(limit, others+leastConns)-others, most))
}
