package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Report is all steps, in the order in which they ended.
type Report struct {
	OK       bool   `json:"ok"` // nothing failed
	Failed   int    `json:"failed"`
	Warnings int    `json:"warnings"`
	Steps    []Step `json:"steps"`
}

// Add takes a step in.
func (r *Report) Add(s Step) {
	switch s.Mark {
	case Failed:
		r.Failed++
	case Warn:
		r.Warnings++
	}
	r.OK = r.Failed == 0
	r.Steps = append(r.Steps, s)
}

// WriteJSON writes the report as one JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Text writes steps for a person.
type Text struct {
	W      io.Writer
	Colour bool
	Width  int // of a line, in columns; 0 is usualWidth
	server string
}

// usualWidth is that of lines which no terminal bounds.
const usualWidth = 110

// Write writes one step, under its server's heading.
func (t *Text) Write(s Step) {
	if s.Server != t.server {
		t.server = s.Server
		fmt.Fprintf(t.W, "\n%s\n", Printable(s.Server))
	}
	head := fmt.Sprintf("%-18s %8s  ", Printable(s.Name), took(s.TookMS))
	fmt.Fprintf(t.W, "  %s  ", t.paint(s.Mark, fmt.Sprintf("%-7s", s.Mark)))
	t.hang(markColumns, head, s.Finding)
	for _, line := range s.Details {
		fmt.Fprint(t.W, strings.Repeat(" ", markColumns))
		t.hang(markColumns, "- ", line)
	}
	if s.Remedy != "" {
		fmt.Fprint(t.W, strings.Repeat(" ", markColumns))
		t.hang(markColumns, "do: ", s.Remedy)
	}
}

// markColumns are those of a line up to the step's name.
const markColumns = 11

// hang writes head and text, which begin at column at, and has the lines that text is too long for begin below its first.
func (t *Text) hang(at int, head, text string) {
	indent := at + utf8.RuneCountInString(head)
	width := t.Width
	if width <= 0 {
		width = usualWidth
	}
	lines := wrap(Printable(text), max(width-indent, narrowest))
	fmt.Fprintln(t.W, head+strings.Join(lines, "\n"+strings.Repeat(" ", indent)))
}

// took is a duration for a person.
func took(ms float64) string {
	switch d := time.Duration(ms * float64(time.Millisecond)); {
	case ms <= 0:
		return ""
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", ms)
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}

// Summary says in the last lines what failed, and what to do.
func (t *Text) Summary(r *Report) {
	fmt.Fprintln(t.W)
	var odd []string
	for _, s := range r.Steps {
		if s.Mark == Warn && !slices.Contains(odd, s.Name) {
			odd = append(odd, s.Name)
		}
		if s.Mark != Failed {
			continue
		}
		at := s.Name
		if s.Server != "" {
			at = s.Server + " " + at
		}
		fmt.Fprintf(t.W, "%s ", t.paint(Failed, failedWord))
		t.hang(len(failedWord)+1, "", at+": "+s.Finding)
		fmt.Fprint(t.W, strings.Repeat(" ", len(failedWord)+1))
		t.hang(len(failedWord)+1, "do: ", s.Remedy)
	}
	switch {
	case r.Failed > 0:
	case len(odd) > 0:
		fmt.Fprintf(t.W, "%s, to look at: %s\n", t.paint(OK, "all well"), strings.Join(odd, ", "))
	default:
		fmt.Fprintln(t.W, t.paint(OK, "all well"))
	}
}

const failedWord = "FAILED"

// paint colours a text by a mark (ECMA-48, SGR), where that is wanted.
func (t *Text) paint(m Mark, text string) string {
	colour, ok := map[Mark]string{OK: "32", Warn: "33", Failed: "31", Skipped: "2"}[m]
	if !t.Colour || !ok {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// Printable replaces what would do something to a terminal: findings have words of the directory's in them.
func Printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strconv.IsPrint(r) {
			b.WriteRune(r)
		} else {
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}
