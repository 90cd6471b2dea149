//go:build unix

package readfile_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"authsvc/internal/readfile"

	"github.com/stretchr/testify/require"
)

func TestRead_TakesBoundedTimeAndMemory(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.WriteFile(at("file"), []byte("content"), 0o600))
	require.NoError(t, os.Symlink("file", at("link")))
	require.NoError(t, os.Symlink("loop", at("loop")))
	require.NoError(t, syscall.Mkfifo(at("pipe"), 0o600))
	require.NoError(t, syscall.Mkfifo(at("silent"), 0o600))
	silent, err := os.OpenFile(at("silent"), os.O_RDWR, 0)
	require.NoError(t, err)
	defer silent.Close()
	require.NoError(t, os.WriteFile(at("largest"), make([]byte, readfile.MaxSize), 0o600))
	require.NoError(t, os.WriteFile(at("larger"), make([]byte, readfile.MaxSize+1), 0o600))
	require.NoError(t, os.WriteFile(at("huge"), nil, 0o600))
	require.NoError(t, os.Truncate(at("huge"), 1<<40)) // sparse
	for _, c := range []struct {
		path string
		size int
		err  error
	}{
		{at("file"), len("content"), nil},
		{at("link"), len("content"), nil},
		{at("largest"), readfile.MaxSize, nil},
		{at("pipe"), 0, readfile.ErrEmptyPipe},
		{"/dev/null", 0, nil},
		{at("silent"), 0, os.ErrDeadlineExceeded},
		{at("larger"), 0, readfile.ErrTooLarge},
		{at("huge"), 0, readfile.ErrTooLarge},
		{"/dev/zero", 0, readfile.ErrTooLarge},
		{at("loop"), 0, syscall.ELOOP},
		{at("none"), 0, fs.ErrNotExist},
		{at("file") + "/x", 0, syscall.ENOTDIR},
		{dir, 0, syscall.EISDIR},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		content, err := readfile.Read(c.path, 10*time.Millisecond)
		runtime.ReadMemStats(&after)
		require.Len(t, content, c.size, c.path)
		require.ErrorIs(t, err, c.err, c.path)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16*readfile.MaxSize), c.path)
	}
}

// TestRead_WaitsForThePipesWriter: a shell gives its reader such a pipe for <(command).
func TestRead_WaitsForThePipesWriter(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	kept, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // what is written stays in the pipe
	require.NoError(t, err)
	defer kept.Close()
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	go func() {
		_, _ = w.WriteString("sec")
		_, _ = w.WriteString("ret")
		_ = w.Close()
	}()
	content, err := readfile.Read(path, time.Minute)
	require.NoError(t, err)
	require.Equal(t, "secret", string(content))
}
