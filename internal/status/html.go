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

// view is what the template draws.
type view struct {
	snapshot
	Says          string    // the status as a sentence
	Set, Defaults []Setting // the configuration, what somebody set apart
}

// draw makes the page of s.
func draw(s snapshot, settings []Setting) []byte {
	v := view{snapshot: s, Says: says(s)}
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

// says returns the status as a sentence. status.js has its counterpart.
func says(s snapshot) string {
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

// symbol is a state as a shape, next to its word.
func symbol(state string) string {
	switch state {
	case "ok", "usable":
		return "●"
	case "degraded", "suspect":
		return "▲"
	case "draining":
		return "◼"
	}
	return "✕"
}

// number is n for count, whatever its type.
func number(n any) int64 {
	switch n := n.(type) {
	case int:
		return int64(n)
	case uint64:
		return int64(n) //nolint:gosec // a count does not come so far
	case int64:
		return n
	}
	return 0
}
