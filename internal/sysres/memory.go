package sysres

import (
	"io/fs"
	"log/slog"
	"math"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// memoryShare is the share of the container's memory limit that becomes GOMEMLIMIT, unless that is
// set. Go does not read the container's limit. Its garbage could grow until the kernel kills the
// process. The rest is for memory that Go does not count: the binary, and sockets' buffers.
const memoryShare = 0.9

// FollowMemoryLimit makes the garbage collector keep to the container's memory limit. root is the
// root of the file system. (GOMAXPROCS follows the container's CPUs by itself, since Go 1.25.)
func FollowMemoryLimit(environ []string, root fs.FS, log *slog.Logger) {
	for _, v := range environ {
		if value, ok := strings.CutPrefix(v, "GOMEMLIMIT="); ok && value != "" {
			return // the runtime has taken it
		}
	}
	if bytes, ok := memoryMax(root); ok {
		limit := int64(memoryShare * float64(bytes))
		debug.SetMemoryLimit(limit)
		log.Info("memory limit set from the container's", "container_bytes", bytes, "go_bytes", limit)
	}
}

// memoryMax returns the lowest memory.max of the process's control group and the groups that
// contain it. It returns false if none is set, or if control groups are not version 2 (Linux,
// Documentation/admin-guide/cgroup-v2.rst).
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
		// In a container the path may be the host's and not exist here. The root always exists.
		for group = path.Join("/", group); ; group = path.Dir(group) {
			text, err := fs.ReadFile(root, path.Join("sys/fs/cgroup", group, "memory.max"))
			if bytes, e := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && e == nil && bytes > 0 {
				least = min(least, bytes) // "max" is not a number, and means no limit
			}
			if group == "/" {
				break
			}
		}
	}
	return least, least < math.MaxInt64
}
