// Package sampletest compares the outputs that a document shows with those of the program.
package sampletest

import (
	"flag"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the outputs in the documents instead of comparing them")

// Document is a file with parts that tests write. A part begins with a comment that names it and
// the command that writes it.
type Document struct {
	File string // its path
	// Command is what go test is run with to rewrite the parts.
	Command string

	mu sync.Mutex // locked while a test reads or writes the file
}

// Compare compares a part with the program's output. With -update it rewrites the part.
func (d *Document) Compare(t *testing.T, part, text string) {
	t.Helper()
	if t.Failed() {
		return // the output may be wrong
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	data, err := os.ReadFile(d.File)
	require.NoError(t, err)
	begin, end := "<!-- "+part+": written by go test "+d.Command+" -->\n", "<!-- end of "+part+" -->"
	before, after, found := strings.Cut(string(data), begin)
	require.True(t, found, "%s has no part %q", d.File, part)
	was, after, found := strings.Cut(after, end)
	require.True(t, found, "%s: no end of %q", d.File, part)
	if !*update {
		assert.Equal(t, was, text, "%s shows another output: look at the difference, and rewrite it with -update", d.File)
		return
	}
	require.NoError(t, os.WriteFile(d.File, []byte(before+begin+text+end+after), 0o600)) //nolint:gosec // the document itself
}
