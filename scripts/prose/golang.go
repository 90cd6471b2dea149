package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	maxComment = 100 // columns of a line that is a comment
	tabColumns = 4
)

// directive begins a comment that is read by a program.
var directive = regexp.MustCompile(`^//(go:|nolint|line |export |lint:|[a-z]+:[a-z])`)

// checkGo checks the comments of a Go file. Their length is checked if they begin their line.
func checkGo(name string, text []byte) ([]finding, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	outputs := exampleOutputs(file)
	lines := strings.Split(string(text), "\n")
	var found []finding
	for _, group := range file.Comments {
		if slices.Contains(outputs, group) {
			continue
		}
		first, paragraph := 0, []string(nil)
		flush := func() {
			found = append(found, checkPhrases(first, paragraph)...)
			paragraph = nil
		}
		for _, comment := range group.List {
			at := files.Position(comment.Pos()).Line
			for i, line := range strings.Split(comment.Text, "\n") {
				whole := lines[at+i-1]
				if c := columns(whole); c > maxComment && strings.HasPrefix(strings.TrimSpace(whole), "//") && breakable(whole) {
					found = append(found, finding{at + i, fmt.Sprintf("%d columns: wrap comments at %d", c, maxComment)})
				}
				said, plain := prose(line)
				if !plain {
					flush()
					continue
				}
				if paragraph == nil {
					first = at + i
				}
				paragraph = append(paragraph, said)
			}
		}
		flush()
	}
	return found, nil
}

// prose returns what a line of a comment says, and whether that is prose: neither empty, code nor a
// directive.
func prose(line string) (string, bool) {
	if directive.MatchString(line) {
		return "", false
	}
	line = strings.TrimPrefix(strings.TrimPrefix(line, "//"), "/*")
	said := strings.TrimSpace(line)
	code := strings.HasPrefix(line, "\t")
	return said, said != "" && !code
}

// exampleOutputs are the comments that examples are compared with.
func exampleOutputs(file *ast.File) (all []*ast.CommentGroup) {
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || !strings.HasPrefix(f.Name.Name, "Example") {
			continue
		}
		for _, group := range file.Comments {
			if f.Pos() < group.Pos() && group.End() < f.End() && outputs.MatchString(group.Text()) {
				all = append(all, group)
			}
		}
	}
	return all
}

var outputs = regexp.MustCompile(`(?im)^(unordered )?output:`)

// breakable reports whether a comment could be wrapped: it is no directive, no code, and has more
// than one word besides addresses.
func breakable(line string) bool {
	line = strings.TrimSpace(line)
	if directive.MatchString(line) || strings.HasPrefix(line, "//\t") {
		return false
	}
	line = webAddress.ReplaceAllString(line, "")
	return utf8.RuneCountInString(line) > maxComment || len(strings.Fields(line)) > 2
}

var webAddress = regexp.MustCompile(`https?://\S+`)

// columns is the width of a line.
func columns(line string) int {
	return utf8.RuneCountInString(line) + (tabColumns-1)*strings.Count(line, "\t")
}
