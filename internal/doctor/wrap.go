package doctor

import (
	"strings"
	"unicode/utf8"
)

// narrowest is the minimum width of a wrapped text.
const narrowest = 30

// wrap breaks a text at its spaces into lines of at most width columns. A word that is longer, a DN
// or a URL, has a line of its own and stays whole, to be copied.
func wrap(text string, width int) (lines []string) {
	var line strings.Builder
	columns := 0
	for i, word := range strings.Split(text, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case columns+1+n > width:
			lines = append(lines, line.String())
			line.Reset()
			columns = 0
		default:
			line.WriteByte(' ')
			columns++
		}
		line.WriteString(word)
		columns += n
	}
	return append(lines, line.String())
}
