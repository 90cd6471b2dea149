//go:build unix

package sysres

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFilesNeeded_CountsCallersAndTheDirectory(t *testing.T) {
	t.Parallel()
	require.EqualValues(t, 2*32+1000+SpareFiles, FilesNeeded(32, 1000))
	require.EqualValues(t, 2+SpareFiles, FilesNeeded(1, -1), "nobody waits")
}

func TestFileLimit_IsTheSoftLimit(t *testing.T) {
	t.Parallel()
	limit, ok := FileLimit()
	require.True(t, ok)
	var r syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r))
	require.Positive(t, limit)
	require.LessOrEqual(t, limit, r.Max)
}
