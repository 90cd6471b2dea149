package config

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

// Settings are every variable's effective value and where it came from, secrets masked.
func (c *Config) Settings() []Setting { return slices.Clone(c.settings) }

// Unused are warnings of variables that look like ours and are none. Warnings has them too.
func (c *Config) Unused() []string { return slices.Clone(c.unused) }

// WriteSettings writes every variable's effective value and where it came from, secrets masked.
func (c *Config) WriteSettings(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "VARIABLE\tVALUE\tSOURCE")
	for _, s := range c.settings {
		value := s.Value
		if value == "" {
			value = "(none)"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", s.Name, printable(value), printable(s.Source))
	}
	return t.Flush()
}

// printable quotes what would break a line or a column, or a terminal.
func printable(value string) string {
	if !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(value)
	}
	return value
}

func itoa(n int) string { return strconv.Itoa(n) }
