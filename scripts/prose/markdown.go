package main

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

const maxMarkdown = 120 // columns of a line that is more than one sentence

var (
	fence        = regexp.MustCompile("^\\s*(```|~~~)")
	listMark     = regexp.MustCompile(`^\s*([-*+]|\d+[.)])\s+`)
	codeSpan     = regexp.MustCompile("`[^`]*`")
	onlyLink     = regexp.MustCompile(`^!?\[[^\]]*\](\([^)]*\)|:\s*\S+)[.:,]?$`)
	sentenceEnd  = regexp.MustCompile(`[.!?:][)"'*_]*$`)
	nextSentence = regexp.MustCompile(`[.!?][)"'*_]*\s+["'(*_]*[A-Z0-9]`)
	linkTarget   = regexp.MustCompile(`\]\([^)]*\)`)
)

// checkMarkdown checks the lines of a Markdown file.
func checkMarkdown(lines []string) (found []finding) {
	code, indented := false, false
	first, paragraph := 0, []string(nil)
	flush := func() {
		found = append(found, checkPhrases(first, paragraph)...)
		paragraph = nil
	}
	blank := true
	for i, line := range lines {
		wasBlank := blank
		blank = strings.TrimSpace(line) == ""
		if fence.MatchString(line) {
			code = !code
			flush()
			continue
		}
		indented = strings.HasPrefix(line, "    ") && (wasBlank || indented) && !listMark.MatchString(line)
		if code || indented || blank {
			flush()
			continue
		}
		said := linkTarget.ReplaceAllString(codeSpan.ReplaceAllString(line, "`code`"), "]")
		if strings.HasPrefix(strings.TrimSpace(line), "|") {
			flush()
			found = append(found, checkPhrases(i+1, []string{said})...)
			continue
		}
		if n := utf8.RuneCountInString(line); n > maxMarkdown && !oneThing(line) {
			found = append(found, finding{i + 1, fmt.Sprintf("%d columns: wrap Markdown at %d, or write one sentence a line", n, maxMarkdown)})
		}
		if listMark.MatchString(line) {
			flush()
			said = listMark.ReplaceAllString(said, "")
		}
		if paragraph == nil {
			first = i + 1
		}
		paragraph = append(paragraph, strings.TrimSpace(said))
	}
	flush()
	return found
}

// oneThing reports whether a line is one sentence or one link.
func oneThing(line string) bool {
	line = strings.TrimSpace(listMark.ReplaceAllString(line, ""))
	if onlyLink.MatchString(line) {
		return true
	}
	line = codeSpan.ReplaceAllString(line, "C")
	return sentenceEnd.MatchString(line) && !nextSentence.MatchString(line) && startsSentence.MatchString(line)
}

var startsSentence = regexp.MustCompile("^[\"'(*_\\[]*[A-Z0-9]")
