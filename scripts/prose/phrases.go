package main

import (
	"regexp"
	"strings"
)

// phrase is a wording that the project does not use, with what it uses instead.
type phrase struct {
	pattern *regexp.Regexp
	instead string
}

// doing are verbs that are not nouns too, or hardly ever.
const doing = `do|wait|ask|send|come|serve|take|give|say|know|see|make|read|keep|wake|happen|refuse|speak|` +
	`begin|become|bind|log|look|go|use|find|start|run|write|show|close|end|fail|search|listen|stop|` +
	`answer|pass|try|ping|dial|count|accept|return|hold|leave|get|let|call|put|tell`

// someone is whom one can make do something.
const someone = `(it|them|him|her|(a|an|the|its|their|each|every|one|another|all|both) [a-z-]+|[a-z]+s|upkeep)`

var phrases = []phrase{
	{words(`(tell|tells|telling|told) (whether|if)`), `"reports whether", "says whether", "checks whether"`},
	{words(`(is|are|was|were|be|been|being) told`), `who gets what from whom: "the caller gets", "the pool reports to"`},
	{words(`as long as (it|they|there|none|nobody) (do|does|did|is|are|was|were|has|have|had)`), `"while"`},
	{words(`(has|have|had|having) ` + someone + ` (` + doing + `)`), `"makes", "lets", "wakes", or the agent as the subject`},
	{regexp.MustCompile(`(?:^|[.:|] )Who(ever)? [^?.:;|]*[.:;]`), `a noun as the subject: "a caller that"`},
	{words(`anew`), `"again"`},
	{words(`beside`), `"in addition to", "besides", "next to"`},
	{words(`heed(s|ed|ing)?`), `"use", "follow", "read"`},
	{words(`of late`), `"recently"`},
	{words(`at the (latest|soonest)`), `a bound: "at most", "no earlier than"`},
	{words(`where there (is|are) (none|no)`), `"if there is no" and the noun`},
	{words(`(speak|speaks) (for|against)`), `"counts as evidence"`},
	{words(`(to|by|for|from|of) who(ever)? (has|have|had|is|are|was|runs?|asks?|waits?|may|can)`), `a noun: "clients that", "the administrator"`},
	{words(`look(s|ed|ing)? whether`), `"check whether"`},
	{words(`sees? to (it|its|this|that|the|whether)`), `"check", "correct"`},
	{words(`(seen|told) from here`), `what cannot be read, and by whom`},
	{words(`any(body|one) (on the way|between)`), `"an attacker on the network"`},
	{words(`turn(s|ed)? away`), `"reject"`},
	{regexp.MustCompile(`(?i)\bfor so long(?:[.,;:)|]|$)`), `"for this time", or the time`},
	{words(`learnt`), `"learned", "detected"`},
	{words(`(has|have|had) (its|their) like`), `"corresponds to"`},
	{regexp.MustCompile(`(?i)\bat the (most|least)(?:[.,;:)|]|$)`), `"at most", "at least"`},
}

// words finds a pattern between word boundaries, in either case.
func words(pattern string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)\b(` + pattern + `)\b`)
}

// checkPhrases looks for phrases in a paragraph: lines of text of which the first has a number.
func checkPhrases(first int, lines []string) (found []finding) {
	text := strings.Join(lines, " ")
	for _, p := range phrases {
		for _, at := range p.pattern.FindAllStringIndex(text, -1) {
			line, rest := first, at[0]
			for _, l := range lines {
				if rest <= len(l) {
					break
				}
				rest -= len(l) + 1
				line++
			}
			found = append(found, finding{line, `"` + strings.Trim(text[at[0]:at[1]], " .:;|") + `": write ` + p.instead})
		}
	}
	return found
}
