package redact

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"authsvc/internal/memtest"

	"github.com/stretchr/testify/require"
)

// spellings are ways to write a text, of which none may get it past Repeats.
var spellings = map[string]func(string) string{
	"as it is":     func(s string) string { return s },
	"quoted":       strconv.Quote,
	"in ASCII":     strconv.QuoteToASCII,
	"upper case":   strings.ToUpper,
	"lower case":   strings.ToLower,
	"spaced":       func(s string) string { return strings.Join(strings.Split(s, ""), " ") },
	"hyphened":     func(s string) string { return strings.Join(strings.Split(s, ""), "-") },
	"zero width":   func(s string) string { return strings.Join(strings.Split(s, ""), "\u200b") },
	"backwards":    func(s string) string { r := []rune(s); slices.Reverse(r); return string(r) },
	"URL query":    url.QueryEscape,
	"URL path":     url.PathEscape,
	"percent":      func(s string) string { return "%" + strings.ToUpper(spacedHex(s, "%")) },
	"quoted-print": func(s string) string { return "=" + strings.ToUpper(spacedHex(s, "=")) },
	"HTML":         html.EscapeString,
	"HTML decimal": func(s string) string { return each(s, "&#%d;") },
	"HTML hex":     func(s string) string { return each(s, "&#x%x;") },
	"JSON":         func(s string) string { return each(s, `\u%04x`) },
	"octal":        func(s string) string { return eachByte(s, `\%03o`) },
	"LDAP":         func(s string) string { return eachByte(s, `\%02x`) },
	"C":            func(s string) string { return eachByte(s, `\x%02x`) },
	"hex":          func(s string) string { return hex.EncodeToString([]byte(s)) },
	"hex, spaced":  func(s string) string { return spacedHex(s, " ") },
	"hex, colons":  func(s string) string { return strings.ToUpper(spacedHex(s, ":")) },
	"decimal":      func(s string) string { return fmt.Sprint([]byte(s)) }, //nolint:staticcheck // the numbers are meant
	"UTF-16 LE":    func(s string) string { return wide(s, 0) },
	"UTF-16 BE":    func(s string) string { return wide(s, 1) },
	"full width":   fullWidth,
	"base64":       func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64, +1":   func(s string) string { return base64.StdEncoding.EncodeToString([]byte(":" + s)) },
	"base64, +2":   func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("x:" + s + "\n")) },
	"base64 UTF16": func(s string) string { return base64.StdEncoding.EncodeToString([]byte(wide(s, 0))) },
	"base64 upper": func(s string) string { return strings.ToUpper(base64.StdEncoding.EncodeToString([]byte(s))) },
	"C numbers":    func(s string) string { return eachByte(s, "0x%02x, ") },
	"octal digits": func(s string) string { return eachByte(s, "0%o ") },
	"binary":       func(s string) string { return eachByte(s, "%08b ") },
	"calls":        func(s string) string { return eachByte(s, "chr(%d).") },
	"percent u":    func(s string) string { return each(s, "%%u%04x") },
	"code points":  func(s string) string { return each(s, "U+%04X ") },
	"braces":       func(s string) string { return each(s, `\u{%x}`) },
	"long escape":  func(s string) string { return each(s, `\U%08x`) },
	"characters":   func(s string) string { return each(s, "then '%c' ") },
	"counted":      func(s string) string { return eachByte(s, "at %[1]d is %[1]q; ") },
	"hexdump":      func(s string) string { return "0000000 " + wordsOf(s) },
	"look-alikes":  strings.NewReplacer("e", "е", "o", "о", "a", "а", "p", "р", "c", "с", "x", "х").Replace,
	"turned":       strings.NewReplacer("e", "ǝ", "a", "ɐ", "r", "ɹ", "t", "ʇ", "h", "ɥ", "u", "n", "n", "u").Replace,
	"tags":         func(s string) string { return shifted(s, 0xE0000) },
	"private use":  func(s string) string { return shifted(s, 0xF000) },
	"Braille":      func(s string) string { return shifted(s, 0x2800) },
	"flags":        func(s string) string { return shifted(strings.ToLower(s), 0x1F1E6-'a') },
	"base32":       func(s string) string { return base32.StdEncoding.EncodeToString([]byte("xyz" + s)) },
}

func each(s, format string) (out string) {
	for _, r := range s {
		out += fmt.Sprintf(format, r)
	}
	return out
}

func eachByte(s, format string) (out string) {
	for _, c := range []byte(s) {
		out += fmt.Sprintf(format, c)
	}
	return out
}

// shifted is each byte of s as the character so much further on.
func shifted(s string, by rune) (out string) {
	for _, c := range []byte(s) {
		out += string(by + rune(c))
	}
	return out
}

// wordsOf is s as od(1) shows it, in words of two bytes.
func wordsOf(s string) (out string) {
	for pair := range slices.Chunk([]byte(s+s), 2) {
		out += fmt.Sprintf("%02x%02x ", pair[len(pair)-1], pair[0])
	}
	return out
}

func spacedHex(s, sep string) string {
	return strings.ReplaceAll(fmt.Sprintf("% x", s), " ", sep)
}

func wide(s string, low int) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		pair := []byte{byte(u), byte(u >> 8)}
		b = append(b, pair[low], pair[1-low])
	}
	return string(b)
}

func fullWidth(s string) string {
	return strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f {
			return r + 0xfee0
		}
		return r
	}, s)
}

// secrets are passwords of the kinds that people and programs make.
var secrets = []string{"hunter2", "Tr0ub4dor&3", "correct horse battery staple", "Sömmer-2026!", "пароль123", "秘密の言葉", "a\"b'c<d>&e%20f", strings.Repeat("xK9", 300)}

func TestRepeats_FindsASecretInAnyForm(t *testing.T) {
	t.Parallel()
	for _, secret := range secrets {
		for name, spell := range spellings {
			require.True(t, Repeats("cannot check "+spell(secret)+" now", secret), "%q %s", secret, name)
			runes := []rune(secret)
			head, tail := 4, len(runes)-4
			for len(letters(string(runes[:head]))) < edge {
				head++
			}
			for len(letters(string(runes[tail:]))) < edge {
				tail--
			}
			require.True(t, Repeats("cannot check "+spell(string(runes[:head]))+"***", secret), "the beginning of %q %s", secret, name)
			require.True(t, Repeats("..."+spell(string(runes[tail:])), secret), "the end of %q %s", secret, name)
		}
	}
}

func TestTells_FindsAWholeSecretBesideNumbersAndLongWords(t *testing.T) {
	t.Parallel()
	for _, secret := range secrets[:len(secrets)-1] {
		for _, name := range []string{
			"as it is", "upper case", "spaced", "zero width", "backwards", "URL query", "HTML decimal", "JSON", "LDAP", "hex", "hex, colons",
			"decimal", "UTF-16 LE", "full width", "base64", "base64, +1", "base64, +2", "base64 UTF16", "base32",
		} {
			require.True(t, Tells("cn="+spellings[name](secret)+",dc=example", secret), "%q %s", secret, name)
		}
	}
	for _, text := range []string{
		"cn=Directory-Service-Configuration,dc=hunter,dc=example", "389-Directory/2.3.1 B2024.017.0000", "10.0.0.2:636, 10.0.0.3:636", "hunte",
	} {
		require.False(t, Tells(text, "hunter2"), text)
	}
	require.False(t, Tells("", "hunter2"))
	require.False(t, Tells("x", ""))
	require.True(t, Tells("dc=!?!?", "!?!?"))
	require.True(t, Tells(strings.Repeat("no ", maxText), "hunter2"))
}

func TestRepeats_WithholdsWhatCannotBeJudged(t *testing.T) {
	t.Parallel()
	require.True(t, Repeats("no", "p4"), "too short a secret")
	require.True(t, Repeats("no", "!?!?!?!?"), "a secret without letters")
	require.True(t, Repeats("sum 2ab96390c7dbe3439de74d0c9b0b1767", "hunter2"), "a hash")
	require.True(t, Repeats(strings.Repeat("no ", maxText), "hunter2"), "too long a text")
	require.True(t, Repeats("h****r", "hunter2"), "a mask")
	require.True(t, Repeats("it is h####2", "hunter2"), "a mask")
	require.True(t, Repeats("no \xe9", "hunter2"), "no UTF-8")
}

func TestDiagnostic_ShowsWhatHoldsNoSecret(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"said so", "Duo: access denied by policy 17", "the entry cn=x,ou=people,dc=example,dc=org is missing", "NDS error: failed authentication (-669)",
		"Zugriff verweigert: das Konto „x“ ist bis 12 Uhr gesperrt", "認証に失敗しました。", "no such entry,\n\tas of the server's log",
		"0000208D: NameErr: DSID-03152D2E, problem 2001 (NO_OBJECT), data 0, best match of:\n\t'DC=ad,DC=example'",
	} {
		require.Equal(t, text, Diagnostic(text, "hunter2"))
	}
	for _, text := range []string{
		"80090308: LdapErr: DSID-0C090446, comment: AcceptSecurityContext error, data 52e, v3839",
		"00002028: LdapErr: DSID-0C090276, comment: The server requires binds to turn on integrity checking if SSL\\TLS are not already active on the connection, data 0, v3839",
		"0000208D: NameErr: DSID-03100241, problem 2001 (NO_OBJECT), data 0, v1db1",
		"Exceed password retry limit. Please try later.", "Account inactivated. Contact system administrator.",
	} {
		require.True(t, Known(text), text)
		require.Equal(t, text, Diagnostic(text+"\x00", "Password-data"), "whatever letters they share")
	}
	require.Equal(t, Withheld, Diagnostic("Exceed password retry limit. Please try later, password.", "password"))
	require.Equal(t, Withheld, Diagnostic("80090308: LdapErr: DSID-0C090446, comment: hunter2, data 52e, v3839", "hunter2"))
	require.Empty(t, Diagnostic("", "hunter2"))
}

func FuzzRepeats(f *testing.F) {
	for _, spell := range spellings {
		f.Add("no: "+spell("hunter2"), "hunter2")
	}
	f.Add(strings.Repeat("\uFDFA", 300), strings.Repeat("\uFDFA", 300))
	f.Fuzz(func(t *testing.T, text, secret string) {
		if len(secret) > 1024 { // no password is longer
			return
		}
		memtest.Bound(t, len(text)+len(secret), 1<<20, 20_000, func() {
			shown := Diagnostic(text, secret)
			if shown != Withheld && secret != "" {
				require.NotContains(t, strings.ToLower(shown), strings.ToLower(secret))
			}
		})
	})
}

// TestRepeats_AnEmptyTextHoldsNothing, and to know that costs nothing: most answers have no words.
func TestRepeats_AnEmptyTextHoldsNothing(t *testing.T) { //nolint:paralleltest // it measures allocations
	for _, secret := range []string{"", "x", "correct horse battery staple"} {
		require.False(t, Repeats("", secret))
		require.Zero(t, testing.AllocsPerRun(100, func() { Holds("", secret) }))
	}
}
