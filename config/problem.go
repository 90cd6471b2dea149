package config

import (
	"fmt"
	"strings"
)

// Problem is one thing wrong with the environment.
type Problem struct {
	Variable string
	Text     string // what is wrong, and with which value unless that is a secret
	Example  string // a setting that would be right; may be empty
}

func (p Problem) String() string {
	s := p.Variable + ": " + p.Text
	if p.Example != "" {
		s += "; for example " + p.Example
	}
	return s
}

// Error is everything wrong with the environment.
type Error struct{ Problems []Problem }

// Error has a line for each problem.
func (e *Error) Error() string {
	lines := []string{"invalid configuration:"}
	for _, p := range e.Problems {
		lines = append(lines, "  "+p.String())
	}
	return strings.Join(lines, "\n")
}

// problems collects what is wrong, at most once a variable: what follows from one mistake is no
// other.
type problems struct{ found []Problem }

// add notes a problem of a variable of ours; the example is the reference's.
func (p *problems) add(variable, format string, args ...any) {
	example := ""
	if v, ok := lookup(variable); ok {
		example = variable + "=" + v.example
	}
	p.note(variable, example, fmt.Sprintf(format, args...))
}

func (p *problems) note(variable, example, text string) {
	if !p.has(variable) {
		p.found = append(p.found, Problem{variable, text, example})
	}
}

func (p *problems) has(variable string) bool {
	for _, f := range p.found {
		if f.Variable == variable {
			return true
		}
	}
	return false
}

// err is the problems as an error, or nil without any.
func (p *problems) err() error {
	if len(p.found) == 0 {
		return nil
	}
	return &Error{p.found}
}
