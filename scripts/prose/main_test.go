package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// proseOf runs the program on one file and returns its exit code and what it prints.
func proseOf(t *testing.T, name, text string) (code int, printed string) {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	var stdout, stderr strings.Builder
	code = run([]string{folder}, &stdout, &stderr)
	require.Empty(t, stderr.String())
	return code, strings.ReplaceAll(stdout.String(), folder+string(filepath.Separator), "")
}

// sentences has one for each phrase, by what is found in it.
var sentences = map[string]string{
	"tells whether":            "isOpen tells whether the connection is open.",
	"told if":                  "The caller cannot be sure until it has told if so.",
	"is told":                  "The observer is told of each login.",
	"as long as they do":       "The probes end, as long as they do none.",
	"has the pool look":        "maintain has the pool look at idle connections.",
	"have it answer":           "The test can have it answer late.",
	"has callers log":          "load has callers log in for a while.",
	"Who waits is rejected":    "The queue is full. Who waits is rejected.",
	"Whoever asks pays for it": "Whoever asks pays for it.",
	"anew":                     "The count begins anew.",
	"beside":                   "One dial runs beside another.",
	"heeds":                    "The pool heeds the limit.",
	"of late":                  "The pace of late decides.",
	"at the latest":            "It ends in a second at the latest.",
	"where there is none":      "find returns the entry, nil where there is none.",
	"speaks against":           "That speaks against the limit.",
	"to who has":               "The base is not shown to who has not bound.",
	"from whoever runs":        "Get the file from whoever runs the directory.",
	"looks whether":            "check looks whether the base exists.",
	"see to this":              "If it has expired, see to this machine's clock.",
	"seen from here":           "The index cannot be seen from here.",
	"anybody on the way":       "Passwords that anybody on the way can read.",
	"turned away":              "Callers are turned away.",
	"for so long":              "A connection was idle for so long.",
	"learnt":                   "The limit was learnt.",
	"has its like":             "The function has its like in the script.",
	"at the most":              "A login waits a second at the most.",
}

func TestProse_FindsEachPhraseInCommentsAndMarkdown(t *testing.T) {
	t.Parallel()
	used := map[int]bool{}
	for phrase, sentence := range sentences {
		for name, text := range map[string]string{
			"doc.go":      "// Package a is one.\n//\n// " + sentence + "\npackage a\n",
			"wrapped.go":  "package a\n\n//\n// " + strings.ReplaceAll(sentence, " ", "\n// ") + "\nvar a int\n",
			"trailing.go": "package a\n\nvar (\n\ta int\n\tb int // " + sentence + "\n)\n",
			"block.go":    "package a\n\n/*\n" + sentence + "\n*/\nvar a int\n",
			"text.md":     "# Title\n\n" + sentence + "\n",
			"list.md":     "- One.\n- " + sentence + "\n",
			"table.md":    "| a |\n|---|\n| " + sentence + " |\n",
			"wrapped.md":  strings.ReplaceAll(sentence, " ", "\n") + "\n",
		} {
			code, printed := proseOf(t, name, text)
			assert.Equal(t, 1, code, "%s: %s", name, sentence)
			assert.Contains(t, printed, `"`+phrase, "%s: %s", name, sentence)
			assert.Equal(t, 1, strings.Count(printed, "\n"), "%s", printed)
		}
		for i, p := range phrases {
			if p.pattern.MatchString(sentence) {
				used[i] = true
			}
		}
	}
	assert.Len(t, used, len(phrases), "a phrase without a sentence that has it")
}

func TestProse_NamesTheLine(t *testing.T) {
	t.Parallel()
	_, printed := proseOf(t, "a.go", "package a\n\n// One line of a comment, and another\n// that says what is\n// told of it.\nvar a int\n")
	assert.Equal(t, "a.go:4: \"is told\": write who gets what from whom: \"the caller gets\", \"the pool reports to\"\n", printed)
}

func TestProse_AcceptsOrdinarySentences(t *testing.T) {
	t.Parallel()
	ordinary := strings.Join([]string{
		"isOpen reports whether the connection is open. It has the most open connections.",
		"The group has a member that is a group. It waits for as long as it takes.",
		"Callers that wait are rejected. Who may ask? That is a setting: who may, and when.",
		"The rule tells users from services. Ask those who have one.",
		"At the most loaded server it waits for so long that callers give up.",
	}, "\n// ")
	code, printed := proseOf(t, "a.go", "// Package a is one.\n//\n// "+ordinary+"\npackage a\n\nvar a = \"is told\" // no comment\n")
	assert.Zero(t, code, printed)
	code, printed = proseOf(t, "a.md", "The setting `is told` is code.\n\n    it is told\n\n```\nit is told\n```\n\n"+
		"[A link](where-it-is-told.md#anew) leads on.\n")
	assert.Zero(t, code, printed)
}

func TestProse_LimitsTheLinesOfComments(t *testing.T) {
	t.Parallel()
	words := strings.TrimSpace(strings.Repeat("word ", 20)) // 99 columns
	for text, code := range map[string]int{
		"// " + words[3:]:   0, // 99 with the slashes
		"// " + words[2:]:   0,
		"// " + words[1:]:   1,
		"// " + words:       1,
		"\t// " + words[6:]: 0, // a tab is four columns
		"\t// " + words[5:]: 1,
		"// " + strings.ReplaceAll(words[2:], "word", "wörd"):                 0, // columns, not bytes
		"//\t" + words + words:                                                0, // code
		"//nolint:lll // " + words + words:                                    0, // a directive
		"// https://example.org/" + strings.Repeat("a", 99):                   0, // cannot be wrapped
		"// see https://example.org/" + strings.Repeat("a", 99) + " for more": 1,
	} {
		got, printed := proseOf(t, "a.go", "package a\n\nfunc f() {\n"+text+"\n}\n")
		assert.Equal(t, code, got, "%s\n%s", text, printed)
	}
	got, printed := proseOf(t, "a_test.go", "package a\n\nfunc Example() {\n\t// Output:\n\t// it is told "+words+"\n}\n")
	assert.Zero(t, got, printed)
}

func TestProse_LimitsTheLinesOfMarkdown(t *testing.T) {
	t.Parallel()
	words := strings.TrimSpace(strings.Repeat("word ", 25)) // 124 columns
	for text, code := range map[string]int{
		words[4:]:                                0, // 120
		words[3:]:                                1,
		"W" + words[1:] + ".":                    0, // one sentence
		"- W" + words[1:] + ":":                  0,
		"W" + words[1:] + ". Another.":           1, // two
		"w" + words[1:] + ".":                    1, // the rest of one
		"The file `a. B` has " + words + ".":     0,
		"| " + words + " |":                      0, // a table
		"    " + words:                           0, // code
		"```\n" + words + "\n```":                0,
		"- [" + words + "](https://example.org)": 0, // a link
		"[a]: https://example.org/" + strings.Repeat("a", 120): 0,
	} {
		got, printed := proseOf(t, "a.md", "# Title\n\n"+text+"\n")
		assert.Equal(t, code, got, "%s\n%s", text, printed)
	}
}

func TestProse_ReadsThePathsThatItIsGiven(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	bad := []byte("It is told.\n")
	require.NoError(t, os.MkdirAll(filepath.Join(folder, "testdata"), 0o700))
	require.NoError(t, os.MkdirAll(filepath.Join(folder, "b"), 0o700))
	for _, name := range []string{"a.md", "a.txt", filepath.Join("testdata", "c.md"), filepath.Join("b", "d.md")} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), bad, 0o600))
	}
	var stdout, stderr strings.Builder
	assert.Equal(t, 1, run([]string{folder, filepath.Join(folder, "a.md")}, &stdout, &stderr))
	assert.Equal(t, 3, strings.Count(stdout.String(), "\n"), stdout.String()) // a.md twice
	assert.Empty(t, stderr.String())
	assert.Equal(t, 2, run([]string{filepath.Join(folder, "absent")}, &stdout, &stderr))
	assert.Contains(t, stderr.String(), "absent")
	require.NoError(t, os.WriteFile(filepath.Join(folder, "broken.go"), []byte("package"), 0o600))
	assert.Equal(t, 2, run([]string{folder}, &stdout, &stderr))
}
