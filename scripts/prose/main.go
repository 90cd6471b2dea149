// Prose finds wordings and lines in comments and in Markdown that the project does not use.
//
//	go run ./scripts/prose PATH...
//
// It reads the .go and .md files that it is given, and those below the folders that it is given. It
// prints a line for each finding, and ends with 1 if there are any.
package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run checks the paths and returns the exit code: 0 without findings, 1 with some, 2 if a path
// cannot be read.
func run(paths []string, stdout, stderr io.Writer) int {
	code := 0
	for _, path := range paths {
		err := filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error { //nolint:gosec // whoever runs it names the paths
			switch {
			case err != nil:
				return err
			case entry.IsDir() && entry.Name() == "testdata" && file != path:
				return filepath.SkipDir
			case entry.IsDir():
				return nil
			}
			found, err := check(file)
			for _, f := range found {
				fmt.Fprintf(stdout, "%s:%d: %s\n", file, f.line, f.text)
				code = 1
			}
			return err
		})
		if err != nil {
			fmt.Fprintln(stderr, "prose:", err)
			return 2
		}
	}
	return code
}

// finding is one thing that is wrong.
type finding struct {
	line int
	text string
}

// check reads one file. Files of other kinds have no findings.
func check(file string) ([]finding, error) {
	ext := filepath.Ext(file)
	if ext != ".go" && ext != ".md" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if ext == ".md" {
		return checkMarkdown(strings.Split(string(text), "\n")), nil
	}
	return checkGo(file, text)
}
