package main

import (
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// Go knows nothing of the memory that its container may have: the garbage that it lets grow would have the kernel kill the
// process. So GOMEMLIMIT, where nobody set it, is so much of that. The rest is for what Go does not count: the binary, and sockets' buffers.
const memoryShare = 0.9

// heedMemory has the collector keep to the container's limit. (GOMAXPROCS follows the container's CPUs by itself, since Go 1.25.)
func heedMemory(environ []string, root fs.FS, log *slog.Logger) {
	for _, v := range environ {
		if value, ok := strings.CutPrefix(v, "GOMEMLIMIT="); ok && value != "" {
			return // the runtime has taken it
		}
	}
	if bytes, ok := memoryMax(root); ok {
		limit := int64(memoryShare * float64(bytes))
		debug.SetMemoryLimit(limit)
		log.Info("memory limit follows the container's", "container_bytes", bytes, "go_bytes", limit)
	}
}

// memoryMax is the least memory.max of the process's control group and those that it is in; false where none is set, or
// control groups are not version 2 (Linux, Documentation/admin-guide/cgroup-v2.rst).
func memoryMax(root fs.FS) (least int64, ok bool) {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	least = math.MaxInt64
	for line := range strings.Lines(string(groups)) {
		group, v2 := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !v2 {
			continue
		}
		// In a container the path may be the host's, and not be there; its root always is.
		for group = path.Join("/", group); ; group = path.Dir(group) {
			text, err := fs.ReadFile(root, path.Join("sys/fs/cgroup", group, "memory.max"))
			if bytes, e := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && e == nil && bytes > 0 {
				least = min(least, bytes) // "max" is no number, and no limit
			}
			if group == "/" {
				break
			}
		}
	}
	return least, least < math.MaxInt64
}

// heedLimits takes note of what the process may have, and says where that is less than its settings can need.
func (s *service) heedLimits(environ []string) {
	heedMemory(environ, os.DirFS("/"), s.log)
	needed := descriptorsNeeded(s.cfg)
	if limit, ok := descriptorLimit(); ok && limit < needed {
		s.log.Warn("file descriptor limit below what the settings can need: raise it (ulimit -n, LimitNOFILE), or lower LDAP_POOL_MAX_WAITERS",
			"limit", limit, "needed", needed)
	}
}
