package auth_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode"

	"authsvc/internal/auth"

	"github.com/stretchr/testify/require"
)

// secret is part of every value that is refused below, and must not be part of the refusal.
const secret = "tr0ub4dor"

// The refusals of the contract's Input. Callers get them, so they are compared word for word.
const (
	usernameLength  = "username: must be 1 to 256 bytes"
	usernameUTF8    = "username: must be valid UTF-8"
	usernameControl = "username: must not contain a control character"
	usernameSpace   = "username: must not begin or end with white space"
	passwordLength  = "password: must be 1 to 1024 bytes"
	passwordUTF8    = "password: must be valid UTF-8"
	passwordNUL     = "password: must not contain NUL"
)

// filled is secret and as many more of pad that the whole has n bytes.
func filled(n int, pad string) string {
	s := secret + strings.Repeat("x", (n-len(secret))%len(pad))
	return s + strings.Repeat(pad, (n-len(s))/len(pad))
}

func TestContract_UsernamesThatAreTaken(t *testing.T) {
	t.Parallel()
	for name, username := range map[string]string{
		"one byte":                                "a",
		"one character of four bytes":             "🙂",
		"256 bytes":                               filled(256, "x"),
		"256 bytes in characters of two":          filled(256, "ü"),
		"256 bytes in characters of four":         filled(256, "🙂"),
		"a space inside":                          "jo doe",
		"a no-break space inside":                 "jo\u00a0doe",
		"a line separator inside, which is no Cc": "jo\u2028doe",
		"a zero width space at the end, which is no white space": "jo\u200b",
		"a byte order mark at the start":                         "\ufeffjo",
		"the replacement character":                              "jo\ufffd",
		"everything that filters and DNs treat as special":       `*()\,+"<>;=#/&|!~:{}%`,
		"the placeholder itself":                                 "{username}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, auth.Credentials{Username: username, Password: "x"}.Validate())
		})
	}
}

func TestContract_UsernamesThatAreRefused(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ username, want string }{
		"empty":                                {"", usernameLength},
		"257 bytes":                            {filled(257, "x"), usernameLength},
		"257 bytes but 129 characters":         {"x" + strings.Repeat("ü", 128), usernameLength},
		"a megabyte":                           {filled(1<<20, "x"), usernameLength},
		"a lone byte of a character":           {secret + "\xc3", usernameUTF8},
		"an overlong slash":                    {secret + "\xc0\xaf", usernameUTF8},
		"a surrogate that was encoded alone":   {secret + "\xed\xa0\x80", usernameUTF8},
		"a pair of surrogates, each encoded":   {secret + "\xed\xa0\xbd\xed\xb8\x80", usernameUTF8},
		"beyond the last code point":           {secret + "\xf4\x90\x80\x80", usernameUTF8},
		"NUL at the end":                       {secret + "\x00", usernameControl},
		"a newline at the end":                 {secret + "\n", usernameControl},
		"DEL":                                  {secret + "\x7f" + secret, usernameControl},
		"a C1 control that is white space too": {secret + "\u0085", usernameControl},
		"spaces only":                          {"   ", usernameSpace},
	}
	for c := range rune(0xa0) { // C0, DEL and C1: all there is of Cc
		if unicode.Is(unicode.Cc, c) {
			cases[fmt.Sprintf("the control character %U inside", c)] = struct{ username, want string }{secret + string(c) + secret, usernameControl}
		}
	}
	for _, c := range "\u0020\u00a0\u1680\u2000\u2003\u200a\u2028\u2029\u202f\u205f\u3000" {
		cases[fmt.Sprintf("white space %U at the start", c)] = struct{ username, want string }{string(c) + secret, usernameSpace}
		cases[fmt.Sprintf("white space %U at the end", c)] = struct{ username, want string }{secret + string(c), usernameSpace}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := auth.Credentials{Username: c.username, Password: "x"}.Validate()
			require.EqualError(t, err, c.want)
			require.NotContains(t, err.Error(), secret)
		})
	}
}

func TestContract_PasswordsThatAreTaken(t *testing.T) {
	t.Parallel()
	for name, password := range map[string]string{
		"one byte":                         "x",
		"a space":                          " ",
		"spaces at both ends":              "  x  ",
		"a newline":                        "x\n",
		"a control character but NUL":      "\x01\x7f\u0085",
		"1024 bytes":                       filled(1024, "x"),
		"1024 bytes in characters of two":  filled(1024, "ü"),
		"1024 bytes in characters of four": filled(1024, "🙂"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, auth.Credentials{Username: "x", Password: password}.Validate())
		})
	}
}

func TestContract_PasswordsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ password, want string }{
		"empty":                              {"", passwordLength},
		"1025 bytes":                         {filled(1025, "x"), passwordLength},
		"1025 bytes but 513 characters":      {"x" + strings.Repeat("ü", 512), passwordLength},
		"a lone byte of a character":         {secret + "\xff", passwordUTF8},
		"a surrogate that was encoded alone": {secret + "\xed\xbf\xbf", passwordUTF8},
		"NUL alone":                          {"\x00", passwordNUL},
		"NUL at the start, which C reads as the empty password": {"\x00" + secret, passwordNUL},
		"NUL at the end": {secret + "\x00", passwordNUL},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := auth.Credentials{Username: secret, Password: c.password}.Validate()
			require.EqualError(t, err, c.want)
			require.NotContains(t, err.Error(), secret)
		})
	}
}

func FuzzValidate_ErrorRepeatsNoValue(f *testing.F) {
	f.Add("user0", "password0")
	f.Add("", "")
	f.Add("\u00a0user0", "\x00")
	f.Fuzz(func(t *testing.T, username, password string) {
		err := auth.Credentials{Username: username, Password: password}.Validate()
		if err == nil {
			require.NotEmpty(t, username)
			require.NotEmpty(t, password)
			return
		}
		require.Contains(t, []string{usernameLength, usernameUTF8, usernameControl, usernameSpace,
			passwordLength, passwordUTF8, passwordNUL}, err.Error())
	})
}
