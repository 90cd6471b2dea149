package sysres

import (
	"bytes"
	"log/slog"
	"math"
	"runtime/debug"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
)

// files are a file system that holds so.
func filesOf(content map[string]string) fstest.MapFS {
	root := fstest.MapFS{}
	for name, text := range content {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return root
}

func TestMemory_LowestLimitOfTheControlGroupsCounts(t *testing.T) {
	t.Parallel()
	const self, groups = "proc/self/cgroup", "sys/fs/cgroup/"
	tests := []struct {
		name  string
		files map[string]string
		want  int64 // 0: none
	}{
		{"a container with a namespace of its own", map[string]string{self: "0::/\n", groups + "memory.max": "268435456\n"}, 268435456},
		{"a container that sees the host's path", map[string]string{self: "0::/docker/abc\n", groups + "memory.max": "268435456\n"}, 268435456},
		{"a unit within a slice with less", map[string]string{
			self: "0::/system.slice/authsvc.service\n", groups + "system.slice/authsvc.service/memory.max": "900\n", groups + "system.slice/memory.max": "500\n",
		}, 500},
		{"a unit within a slice without a limit", map[string]string{
			self: "0::/system.slice/authsvc.service\n", groups + "system.slice/authsvc.service/memory.max": "900\n", groups + "system.slice/memory.max": "max\n",
		}, 900},
		{"a path from outside of the namespace", map[string]string{self: "0::/../../x\n", groups + "x/memory.max": "77\n"}, 77},
		{"no limit", map[string]string{self: "0::/\n", groups + "memory.max": "max\n"}, 0},
		{"nonsense", map[string]string{self: "0::/\n", groups + "memory.max": "-1\n"}, 0},
		{"control groups of version 1", map[string]string{self: "4:memory:/x\n", groups + "memory/x/memory.limit_in_bytes": "1000\n"}, 0},
		{"no Linux", nil, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, ok := memoryMax(filesOf(test.files))
			assert.Equal(t, test.want > 0, ok)
			if ok {
				assert.Equal(t, test.want, got)
			}
		})
	}
}

// TestMemory_GOMEMLIMITFollowsTheContainerUnlessItIsSet is not parallel: the limit is the whole
// process's.
func TestMemory_GOMEMLIMITFollowsTheContainerUnlessItIsSet(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	debug.SetMemoryLimit(math.MaxInt64)
	var logs bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logs, nil))
	container := filesOf(map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "4000000000\n"})
	FollowMemoryLimit([]string{"GOMEMLIMIT=off"}, container, log)
	FollowMemoryLimit(nil, filesOf(nil), log)
	assert.Equal(t, int64(math.MaxInt64), debug.SetMemoryLimit(-1))
	assert.Empty(t, logs.String())
	FollowMemoryLimit([]string{"GOMEMLIMIT="}, container, log)
	assert.Equal(t, int64(3600000000), debug.SetMemoryLimit(-1))
	assert.Contains(t, logs.String(), "container_bytes=4000000000 go_bytes=3600000000")
}
