package ldapname

import "strings"

// SplitList splits a list of names at the semicolons that no backslash escapes (RFC 4514 section
// 2.4), and removes white space around each name, but for an escaped space.
func SplitList(s string) (names []string) {
	start := 0
	for i := 0; i <= len(s); i++ {
		switch {
		case i < len(s)-1 && s[i] == '\\':
			i++ // whatever follows is escaped
		case i == len(s) || s[i] == ';':
			names = append(names, trimName(s[start:i]))
			start = i + 1
		}
	}
	return names
}

// trimName removes white space at both ends, but for an escaped space.
func trimName(s string) string {
	s = strings.TrimLeft(s, " \t\r\n")
	end := strings.TrimRight(s, " \t\r\n")
	backslashes := len(end) - len(strings.TrimRight(end, `\`))
	if backslashes%2 == 1 && len(end) < len(s) && s[len(end)] == ' ' {
		return end + " "
	}
	return end
}
