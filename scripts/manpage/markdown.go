package main

import (
	"fmt"
	"regexp"
	"strings"
)

// variableRow is a row of the reference: names, default, meaning and example.
var variableRow = regexp.MustCompile(`^\| (.+?) \| (.+?) \| (.+) \| (.+?) \|$`)

// reference writes the reference of the settings, which is in Markdown: a title, paragraphs and
// lists, and then sections with a table each.
func (p *page) reference(text string) error {
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		title, section := strings.CutPrefix(block, "## ")
		switch {
		case section:
			p.line(".SS %s", quote(title))
		case strings.HasPrefix(block, "# "):
		case strings.HasPrefix(block, "| "):
			if err := p.variables(block); err != nil {
				return err
			}
		case strings.HasPrefix(block, "- "):
			for item := range strings.SplitSeq("\n"+block, "\n- ") {
				if item != "" {
					p.line(`.IP \(bu 2`)
					p.text(inline(item))
				}
			}
		default:
			p.text(inline(block))
		}
	}
	return nil
}

// variables writes the rows of a table of variables.
func (p *page) variables(table string) error {
	for row := range strings.SplitSeq(table, "\n") {
		if strings.HasPrefix(row, "| variable |") || strings.HasPrefix(row, "|---") {
			continue
		}
		m := variableRow.FindStringSubmatch(row)
		if m == nil {
			return fmt.Errorf("the reference has a row that is not one of four cells: %q", row)
		}
		p.line(".TP")
		p.line("%s", inline(m[1]))
		meaning := inline(m[3])
		if m[2] != "none" {
			meaning += " Default: " + inline(m[2]) + "."
		}
		p.text(meaning)
	}
	return nil
}

var (
	code = regexp.MustCompile("`([^`]+)`")
	link = regexp.MustCompile(`\[([^\]]+)\]\([^)]+\)`)
)

// inline converts a paragraph of Markdown: code becomes bold, and a link its text.
func inline(text string) string {
	text = strings.ReplaceAll(strings.Join(strings.Fields(text), " "), `\|`, "|")
	var b strings.Builder
	last := 0
	for _, at := range code.FindAllStringSubmatchIndex(text, -1) {
		b.WriteString(escape(link.ReplaceAllString(text[last:at[0]], "$1")))
		b.WriteString(`\fB` + escape(text[at[2]:at[3]]) + `\fR`)
		last = at[1]
	}
	b.WriteString(escape(link.ReplaceAllString(text[last:], "$1")))
	return b.String()
}
