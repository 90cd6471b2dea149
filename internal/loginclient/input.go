package loginclient

import (
	"bytes"
	"errors"
	"strings"
)

// Errors of standard input. They say how it must be.
var (
	errNoPair     = errors.New("must be the name and the password, each on a line; -u gives the name instead")
	errMoreThan2  = errors.New("must end after two lines, the name and the password")
	errOneLine    = errors.New("must be one line with the password")
	errNULWithout = errors.New("a password that ends with NUL needs the name from PAM_USER or -u")
)

// SplitPair splits "name\npassword\n"; the last newline may be absent. A third line is an error
// instead of being ignored: a name with a newline in it must not be read as another name and its
// password.
func SplitPair(input []byte) (name, password string, err error) {
	if bytes.IndexByte(input, 0) >= 0 {
		return "", "", errNULWithout
	}
	name, rest, _ := strings.Cut(string(input), "\n")
	if rest == "" {
		return "", "", errNoPair
	}
	password = trimNewline(rest)
	if strings.Contains(password, "\n") {
		return "", "", errMoreThan2
	}
	return strings.TrimSuffix(name, "\r"), password, nil
}

// OnlyPassword is the password in an input that holds nothing else: one line, or any bytes before a
// NUL, as pam_exec sends them.
func OnlyPassword(input []byte) (string, error) {
	if password, ok := bytes.CutSuffix(input, []byte{0}); ok {
		return string(password), nil
	}
	password := trimNewline(string(input))
	if strings.Contains(password, "\n") {
		return "", errOneLine
	}
	return password, nil
}

// trimNewline removes the newline that a shell's echo adds.
func trimNewline(s string) string {
	if line, ok := strings.CutSuffix(s, "\n"); ok {
		return strings.TrimSuffix(line, "\r")
	}
	return s
}
