package app

import (
	"fmt"
	"testing"

	"authsvc/config"
	"authsvc/internal/sysres"

	"github.com/stretchr/testify/assert"
)

func TestFlood_LeavesDescriptorsForTheDirectory(t *testing.T) {
	t.Parallel()
	cfg := &config.Config{Pool: config.Pool{MaxConns: 100}, Admin: config.Admin{Addr: "127.0.0.1:0"}}
	for limit, want := range map[uint64]int{
		0: leastConns, 256: leastConns, 1024: 1024 - 100 - adminConns - sysres.SpareFiles, 1 << 62: 1 << 20,
	} {
		assert.Equal(t, want, connsWithin(limit, cfg), fmt.Sprint(limit))
	}
	cfg.Admin.Addr = ""
	assert.Equal(t, 1024-100-sysres.SpareFiles, connsWithin(1024, cfg))
}
