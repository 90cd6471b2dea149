package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
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
	server string
}

// Write writes one step, under its server's heading.
func (t *Text) Write(s Step) {
	if s.Server != t.server {
		t.server = s.Server
		fmt.Fprintf(t.W, "\n%s\n", Printable(s.Server))
	}
	took := ""
	if s.TookMS > 0 {
		took = fmt.Sprintf("%.1f ms", s.TookMS)
	}
	fmt.Fprintf(t.W, "  %s  %-16s %10s  %s\n", t.mark(s.Mark), Printable(s.Name), took, Printable(s.Finding))
	const indent = "                                        "
	for _, line := range s.Details {
		fmt.Fprintf(t.W, "%s- %s\n", indent, Printable(line))
	}
	if s.Remedy != "" {
		fmt.Fprintf(t.W, "%sdo: %s\n", indent, Printable(s.Remedy))
	}
}

// Summary says in the last lines what failed, and what to do.
func (t *Text) Summary(r *Report) {
	fmt.Fprintln(t.W)
	if r.Failed == 0 {
		fmt.Fprintf(t.W, "%s", t.paint(OK, "all well"))
		if r.Warnings > 0 {
			fmt.Fprintf(t.W, ", %d to look at", r.Warnings)
		}
		fmt.Fprintln(t.W)
		return
	}
	for _, s := range r.Steps {
		if s.Mark != Failed {
			continue
		}
		at := s.Name
		if s.Server != "" {
			at = s.Server + " " + at
		}
		fmt.Fprintf(t.W, "%s %s: %s\n       do: %s\n", t.paint(Failed, "FAILED"), Printable(at), Printable(s.Finding), Printable(s.Remedy))
	}
}

func (t *Text) mark(m Mark) string { return t.paint(m, fmt.Sprintf("%-7s", m)) }

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
