// Package readfile reads the small files that settings name: secrets, keys, certificates.
package readfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// MaxSize is the largest file that is read, in bytes.
const MaxSize = 4 << 20

// PipeWait is how long the writer of a pipe in a setting's file may take to write all of it.
const PipeWait = 5 * time.Second

var (
	// ErrTooLarge is returned for a file of more than MaxSize.
	ErrTooLarge = fmt.Errorf("larger than %d bytes", MaxSize)
	// ErrEmptyPipe is returned for the pipe has no data, because no process writes to it
	// or another has read it.
	ErrEmptyPipe = errors.New("the pipe has no data")
)

// Read returns the content of a file, which may be anything that somebody put at path. It takes
// little memory and time whatever that is; the writer of a pipe must have written all within wait.
// A file on a network file system whose server does not answer is beyond that: no read of it can be
// bounded.
func Read(path string, wait time.Duration) ([]byte, error) {
	// Without O_NONBLOCK the open would wait for a writer of the pipe.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() && info.Size() > MaxSize {
		return nil, &os.PathError{Op: "read", Path: path, Err: ErrTooLarge}
	}
	if err := f.SetReadDeadline(time.Now().Add(wait)); err != nil && !errors.Is(err, os.ErrNoDeadline) {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	switch {
	case err != nil:
		return nil, err // and no content, of which half may be missing
	case len(content) > MaxSize:
		return nil, &os.PathError{Op: "read", Path: path, Err: ErrTooLarge}
	case len(content) == 0 && info.Mode()&os.ModeNamedPipe != 0:
		return nil, &os.PathError{Op: "read", Path: path, Err: ErrEmptyPipe}
	}
	return content, nil
}
