package status

import (
	"bytes"
	_ "embed"
	"html/template"
	"strings"
)

//go:embed page.html
var pageHTML string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"span": span, "limit": limit, "latency": latency, "rate": rate, "count": count, "clock": clock, "instant": instant,
	"last": last, "words": words, "peak": peak, "line": line, "area": area, "times": times, "symbol": symbol, "number": number,
}).Parse(pageHTML))

// view is the data of the template.
type view struct {
	snapshot
	Summary       string    // the status as a sentence
	Set, Defaults []Setting // the configuration: settings that were set, and defaults
}

// render returns the page of s.
func render(s snapshot, settings []Setting) []byte {
	v := view{snapshot: s, Summary: summary(s)}
	for _, one := range settings {
		if one.Source == "default" || strings.HasPrefix(one.Source, "preset ") {
			v.Defaults = append(v.Defaults, one)
		} else {
			v.Set = append(v.Set, one)
		}
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, v); err != nil {
		panic(err) // the template's fields are those of view
	}
	return b.Bytes()
}

// summary returns the status as a sentence. It has a counterpart in status.js.
func summary(s snapshot) string {
	usable := 0
	for _, one := range s.Servers {
		if one.State == "usable" {
			usable++
		}
	}
	switch s.Status {
	case statusOK:
		return "Logins work; every directory server is usable."
	case statusDegraded:
		return "Logins work; " + count(int64(usable)) + " of " + count(int64(len(s.Servers))) + " directory servers are usable."
	case statusDraining:
		return "The service is shutting down: it accepts no new connections."
	}
	return "No directory server is usable; logins get status 11."
}

// symbol returns the shape of a state, which is shown next to its name.
func symbol(state string) string {
	switch state {
	case "ok", "usable", "up":
		return "●"
	case "degraded", "suspect":
		return "▲"
	case "draining":
		return "◼"
	}
	return "✕"
}

// number converts n for count.
func number(n any) int64 {
	switch n := n.(type) {
	case int:
		return int64(n)
	case uint64:
		return int64(n) //nolint:gosec // counts are far below 2^63
	case int64:
		return n
	}
	return 0
}
