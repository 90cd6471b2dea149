package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// program builds authsvc, and returns what runs it.
func program(t *testing.T) func(args ...string) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "authsvc")
	out, err := exec.Command("go", "build", "-o", path, "authsvc/cmd/authsvc").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return func(args ...string) (string, error) {
		out, err := exec.Command(path, args...).Output()
		return string(out), err
	}
}

// rendered returns the page as man shows it, and fails if groff warns of anything.
func rendered(t *testing.T, roff string) string {
	t.Helper()
	cmd := exec.Command("groff", "-man", "-Tascii", "-P-cbou", "-rLL=400n", "-ww")
	cmd.Stdin = strings.NewReader(roff)
	var out, warned bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &warned
	require.NoError(t, cmd.Run(), warned.String())
	require.Empty(t, warned.String())
	return out.String()
}

// requireLint fails if mandoc finds anything.
func requireLint(t *testing.T, roff string) {
	t.Helper()
	cmd := exec.Command("mandoc", "-T", "lint", "-W", "style")
	cmd.Stdin = strings.NewReader(roff)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Empty(t, string(out))
}

// section returns the lines below a heading, up to the next heading of the same indent or less.
func section(t *testing.T, text, heading string) string {
	t.Helper()
	m := regexp.MustCompile(`(?ms)^( *)` + regexp.QuoteMeta(heading) + `[^\n]*\n(.*?)(^ {0,3}\S|\z)`).FindStringSubmatch(text)
	require.NotNil(t, m, "no section %q", heading)
	return m[2]
}

func TestManpage_DescribesEveryCommandOptionAndVariable(t *testing.T) {
	t.Parallel()
	said := program(t)
	var roff bytes.Buffer
	require.NoError(t, write(&roff, said, "1.2.3", "2026-01-02"))
	text := rendered(t, roff.String())
	assert.Contains(t, text, "authsvc 1.2.3")
	assert.Contains(t, text, "2026-01-02")
	assert.Contains(t, section(t, text, "NAME"), "authsvc - answers over HTTP whether an LDAP user has a given password\n")

	requireLint(t, roff.String())

	usage, err := said("help")
	require.NoError(t, err)
	commands := regexp.MustCompile(`(?m)^  ([a-z]+) `).FindAllStringSubmatch(usage, -1)
	require.Greater(t, len(commands), 5)
	options := 0
	for _, m := range commands {
		assert.Contains(t, section(t, text, "SYNOPSIS"), "authsvc "+m[1])
		described := section(t, text, m[1]+": ")
		help, err := said(m[1], "-h")
		require.NoError(t, err)
		for _, option := range regexp.MustCompile(`(?m)^  (-\S+.*)$`).FindAllStringSubmatch(help, -1) {
			assert.Regexp(t, `(?m)^ +`+regexp.QuoteMeta(option[1])+`(\s|$)`, described, "%s", m[1])
			options++
		}
		words := strings.Fields(strings.Join(strings.Split(help, "\n")[1:], " "))
		assert.Equal(t, words, strings.Fields(described), "%s: not a word more or less than in its help", m[1])
	}
	assert.Greater(t, options, 15)

	reference, err := said("config", "-reference")
	require.NoError(t, err)
	variables := regexp.MustCompile("(?m)^\\| `([A-Z_]+)`").FindAllStringSubmatch(reference, -1)
	require.Greater(t, len(variables), 50)
	_, environment, _ := strings.Cut(text, "\nENVIRONMENT\n")
	for _, m := range variables {
		assert.Regexp(t, `(?m)^ +`+m[1]+`(,|\n)`, environment)
	}
}

func TestEscape_EveryCharacterMeansItself(t *testing.T) {
	t.Parallel()
	const text = `\7b -x 'quoted' "quoted" ^~` + "` %s"
	p := &page{}
	p.line(".TH A 1 b c d\n.SH NAME\na \\- b\n.SH TEXT")
	p.paragraphs(text + "\n\n.PP is no request\n\n'br neither, " + strings.Repeat("x", 60) + " .SH")
	assert.Equal(t, []string{text, ".PP is no request", "'br neither, " + strings.Repeat("x", 60) + " .SH"},
		strings.Split(strings.TrimSpace(strings.ReplaceAll(section(t, rendered(t, p.b.String()), "TEXT"), "\n\n       ", "\n")), "\n"))
}

func TestInline_ConvertsMarkdown(t *testing.T) {
	t.Parallel()
	assert.Equal(t, `see groups: \fB(\e|a)\fR or | b`, inline("see [groups](groups.md):\n`(\\\\|a)` or \\| b"))
}

func TestManpage_RefusesHelpThatItCannotRead(t *testing.T) {
	t.Parallel()
	for help, message := range map[string]string{
		"no usage": "begins with",
		"usage: authsvc serve\n\nA.\n  -x\ty\n z": "describes none",
	} {
		c := command{name: "serve"}
		require.ErrorContains(t, c.parseHelp(help), message)
	}
	_, _, err := parseUsage("nothing")
	require.ErrorContains(t, err, "names no command")
	require.ErrorContains(t, (&page{}).variables("| a | b |"), "four cells")
}
