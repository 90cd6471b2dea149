package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"authsvc/internal/visible"
)

// Report has all steps, in the order in which they ended.
type Report struct {
	OK       bool   `json:"ok"` // no step failed
	Failed   int    `json:"failed"`
	Warnings int    `json:"warnings"`
	Steps    []Step `json:"steps"`
}

// Add adds a step.
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

// names returns the names of the steps with a mark, each once.
func (r *Report) names(m Mark) (names []string) {
	for _, s := range r.Steps {
		if s.Mark == m && !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	return names
}

// passedServers returns the servers that answered and without a failed step.
func (r *Report) passedServers() (servers []string) {
	failed := map[string]bool{}
	for _, s := range r.Steps {
		failed[s.Server] = failed[s.Server] || s.Mark == Failed
	}
	for _, s := range r.Steps {
		if s.Name == "root DSE" && !failed[s.Server] {
			servers = append(servers, s.Server)
		}
	}
	return servers
}

// WriteJSON writes the report as one JSON object. Terminal control characters in its texts are
// escaped, because JSON leaves most of them unchanged.
func (r *Report) WriteJSON(w io.Writer) error {
	printable := *r
	printable.Steps = nil
	for _, s := range r.Steps {
		s.Server, s.Name, s.Finding, s.Remedy = Printable(s.Server), Printable(s.Name), Printable(s.Finding), Printable(s.Remedy)
		s.Details = slices.Clone(s.Details)
		for i, line := range s.Details {
			s.Details[i] = Printable(line)
		}
		printable.Steps = append(printable.Steps, s)
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(&printable)
}

// Text writes steps as text.
type Text struct {
	W      io.Writer
	Colour bool
	Width  int // of a line, in columns; 0 is usualWidth
	server string
}

// usualWidth is the width if the output is not a terminal.
const usualWidth = 110

// Write writes one step, under its server's heading.
func (t *Text) Write(s Step) {
	if s.Server != t.server {
		t.server = s.Server
		fmt.Fprintf(t.W, "\n%s\n", Printable(s.Server))
	}
	head := fmt.Sprintf("%-18s %8s  ", Printable(s.Name), took(s.TookMS))
	fmt.Fprintf(t.W, "  %s  ", t.paint(s.Mark, fmt.Sprintf("%-7s", s.Mark)))
	t.printIndented(markColumns, head, s.Finding)
	for _, line := range s.Details {
		fmt.Fprint(t.W, strings.Repeat(" ", markColumns))
		t.printIndented(markColumns, "- ", line)
	}
	if s.Remedy != "" {
		fmt.Fprint(t.W, strings.Repeat(" ", markColumns))
		t.printIndented(markColumns, "do: ", s.Remedy)
	}
}

// markColumns is the number of columns before the step's name.
const markColumns = 11

// printIndented writes head and text at column at. It wraps text with a hanging indent.
func (t *Text) printIndented(at int, head, text string) {
	indent := at + utf8.RuneCountInString(head)
	width := t.Width
	if width <= 0 {
		width = usualWidth
	}
	lines := wrap(Printable(text), max(width-indent, narrowest))
	fmt.Fprintln(t.W, head+strings.Join(lines, "\n"+strings.Repeat(" ", indent)))
}

// took formats a duration.
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

// Summary writes the failed steps with their remedies, then the servers without a failure, and the
// warnings.
func (t *Text) Summary(r *Report) {
	fmt.Fprintln(t.W)
	for _, s := range r.Steps {
		if s.Mark == Failed {
			t.failure(s)
		}
	}
	if r.Failed == 0 {
		fmt.Fprintln(t.W, t.paint(OK, "no check failed"))
	} else if servers := r.passedServers(); len(servers) > 0 {
		t.printIndented(0, "", "no failures at "+strings.Join(servers, ", "))
	}
	if r.Warnings > 0 {
		t.printIndented(0, "warnings: ", strings.Join(r.names(Warn), ", "))
	}
}

// failure writes a failed step again.
func (t *Text) failure(s Step) {
	const word = "FAILED"
	at := s.Name
	if s.Server != "" {
		at = s.Server + " " + at
	}
	fmt.Fprintf(t.W, "%s ", t.paint(Failed, word))
	t.printIndented(len(word)+1, "", at+": "+s.Finding)
	fmt.Fprint(t.W, strings.Repeat(" ", len(word)+1))
	t.printIndented(len(word)+1, "do: ", s.Remedy)
}

// paint colors a text by a mark (ECMA-48, SGR), if colors are on.
func (t *Text) paint(m Mark, text string) string {
	colour, ok := map[Mark]string{OK: "32", Warn: "33", Failed: "31", Skipped: "2"}[m]
	if !t.Colour || !ok {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// Printable escapes terminal control characters: findings contain text from the directory.
func Printable(s string) string {
	return visible.Escape(s, func(rune) bool { return false })
}
