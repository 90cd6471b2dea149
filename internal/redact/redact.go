// Package redact says what may be shown of a directory's own words. A directory, or a proxy before
// it, may repeat in them the password that it was sent, in whatever form.
package redact

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Withheld stands for words that are not shown. All of them go: around a gap in a text that is
// known, one could read what filled it.
const Withheld = "[withheld]"

// Bounds of what is looked through.
const (
	maxText = 1 << 10 // bytes; a longer text is withheld
	// edge is how many of a secret's first or last letters a text may not have, piece how many from
	// anywhere in it. A secret that somebody shortened has its beginning or its end.
	edge, piece = 3, 5
	// longWord is from how many letters, digits and signs of base64 in a row a word is taken for
	// something encoded.
	longWord = 20
)

// Diagnostic gives a directory's diagnostic message as it may be shown, where the directory was
// sent secret: as it is, or [Withheld]. A message that directories are known to send is shown
// unless it holds the secret as it is; any other one, if no piece of the secret is in it in any
// form that [Repeats] knows.
func Diagnostic(text, secret string) string {
	text = strings.TrimRight(text, "\x00\r\n ") // AD ends its own by NUL, FreeIPA by a newline
	switch {
	case text == "", secret == "" && len(text) <= maxText:
		return text
	case len(text) > maxText:
		return Withheld
	case Known(text) && !strings.Contains(strings.ToLower(text), strings.ToLower(secret)):
		return text
	case Known(text), Repeats(text, secret):
		return Withheld
	}
	return text
}

// Repeats reports whether a text holds a piece of a secret: as it is, in another case or script
// form, quoted or escaped, spaced, backwards, in base64 or base32 at any offset, in hexadecimal or
// decimal. Every text counts that may spell letters in numbers or signs, masks some, or has a word
// so long that it may be any encoding, and so does any text where the secret is too short to be
// recognised.
//
// In addition to a run of letters from anywhere in the secret, its first or last few count, since a
// text may shorten it.
func Repeats(text, secret string) bool { return repeats(text, secret, true) }

// Holds is Repeats for a text that no secret was sent for: the first and last few letters of a
// secret that is nothing to it are in many texts.
func Holds(text, secret string) bool { return repeats(text, secret, false) }

// Tells reports whether a text of at most 1 KiB holds all of a secret, as it is or in a form that
// [Repeats] knows; of a longer one it is always true. It is for texts that have numbers and long
// words of their own, such as DNs and versions.
func Tells(text, secret string) bool {
	switch {
	case secret == "":
		return false
	case len(text) > maxText, len(secret) >= edge && strings.Contains(text, secret):
		return true
	}
	texts := readings(text)
	for i, t := range texts {
		texts[i] = string(letters(t))
	}
	return slices.ContainsFunc(forms(secret), func(f form) bool {
		whole := string(letters(f.text))
		return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(t, whole) })
	})
}

func repeats(text, secret string, atEnds bool) bool {
	if secret == "" || text == "" {
		return false
	}
	if len(text) > maxText || len(letters(secret)) < edge || encoded.MatchString(text) || spelt(text) {
		return true
	}
	texts := readings(text)
	pieces := map[int]map[string]bool{} // of the text, by their length
	for _, form := range forms(secret) {
		runes := letters(form.text)
		has := func(from, size int) bool {
			if pieces[size] == nil {
				pieces[size] = piecesOf(texts, size)
			}
			return pieces[size][string(runes[from:from+size])]
		}
		ends := min(form.per(edge), len(runes))
		if atEnds && (has(0, ends) || has(len(runes)-ends, ends)) {
			return true
		}
		for i, size := 0, min(form.per(piece), len(runes)); i+size <= len(runes); i++ {
			if has(i, size) {
				return true
			}
		}
	}
	return false
}

// piecesOf are all runs of so many letters in texts.
func piecesOf(texts []string, size int) map[string]bool {
	found := map[string]bool{}
	for _, t := range texts {
		runes := letters(t)
		for i := 0; i+size <= len(runes); i++ {
			found[string(runes[i:i+size])] = true
		}
	}
	return found
}

// encoded finds a word of base64, base32, hexadecimal or a hash.
var encoded = regexp.MustCompile(`[0-9A-Za-z+/_-]{` + strconv.Itoa(longWord) + `,}`)

// word is a run of letters and digits, mask a run of signs that may stand for some.
var (
	word = regexp.MustCompile(`[\pL\pM\pN]+`)
	mask = regexp.MustCompile(`[*#_•]{2}`)
)

// spelt reports whether a text may be another one spelt character by character, in whatever numbers
// or signs: it has a character that no plain text has, a mask, a word of two scripts that look
// alike, or as many words as edge that are one character or have a digit. The number and codes at
// the beginning of a message of Active Directory's do not count.
func spelt(text string) bool {
	text = microsoftHead.ReplaceAllString(text, "")
	if !utf8.ValidString(text) || mask.MatchString(text) || strings.ContainsFunc(text, isOdd) {
		return true
	}
	parts := 0
	for _, w := range word.FindAllString(text, -1) {
		if strings.ContainsFunc(w, isASCIILetter) && strings.ContainsFunc(w, isLookAlike) {
			return true
		}
		if utf8.RuneCountInString(w) == 1 || strings.ContainsFunc(w, unicode.IsNumber) {
			parts++
		}
	}
	return parts >= edge
}

func isASCIILetter(r rune) bool { return r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' }

// isLookAlike reports whether r is of a script with letters that look like Latin ones.
func isLookAlike(r rune) bool {
	return unicode.In(r, unicode.Cyrillic, unicode.Greek, unicode.Armenian, unicode.Cherokee)
}

// isOdd reports whether r is in no plain text of any language: a control other than of lines and
// tabs, a format character, a symbol or number outside of ASCII, a letter of phonetics, many of
// which are turned ones, a private or unassigned character.
func isOdd(r rune) bool {
	switch {
	case r == '\t', r == '\n', r == '\r', r >= ' ' && r < 0x7f:
		return false
	case r >= '\u0250' && r <= '\u02af':
		return true
	}
	return !unicode.In(r, unicode.L, unicode.M, unicode.P, unicode.Nd)
}

// letters are a text's letters and digits in one form: compatibility forms, case, marks, spaces and
// signs make no difference.
func letters(s string) []rune {
	var kept []rune
	for _, r := range norm.NFKD.String(cases.Fold().String(norm.NFKC.String(strings.ToValidUTF8(s, "")))) {
		if unicode.IsLetter(r) || unicode.IsNumber(r) {
			kept = append(kept, r)
		}
	}
	return kept
}

// escape is a byte or character that an encoding for URLs, mail or source code wrote in digits.
var escape = regexp.MustCompile(`(?i)[%=]([0-9a-f]{2})|\\x([0-9a-f]{2})|\\u\{?([0-9a-f]{4})\}?|\\([0-7]{3})|\\([0-9a-f]{2})`)

// readings are what a text may stand for: itself, and without its escapes.
func readings(text string) []string {
	unescaped := escape.ReplaceAllStringFunc(text, func(match string) string {
		m := escape.FindStringSubmatch(match)
		switch {
		case m[3] != "":
			n, _ := strconv.ParseUint(m[3], 16, 32)
			return string(rune(n)) //nolint:gosec // four digits
		case m[4] != "":
			n, _ := strconv.ParseUint(m[4], 8, 16)
			return string([]byte{byte(n)}) //nolint:gosec // more than a byte is no escape
		}
		n, _ := strconv.ParseUint(m[1]+m[2]+m[5], 16, 8)
		return string([]byte{byte(n)})
	})
	all := []string{text, unescaped, html.UnescapeString(text)}
	if decoded, err := url.QueryUnescape(text); err == nil {
		all = append(all, decoded)
	}
	odd := text[min(1, len(text)):] // UTF-16 may begin behind an odd number of bytes
	return append(all, fromUTF16(text, 0), fromUTF16(text, 1), fromUTF16(odd, 0), fromUTF16(odd, 1))
}

// fromUTF16 reads pairs of bytes as UTF-16, the byte at high being the first of a pair's value.
func fromUTF16(text string, high int) string {
	var units []uint16
	for i := 0; i+1 < len(text); i += 2 {
		units = append(units, uint16(text[i+high])<<8|uint16(text[i+1-high]))
	}
	return string(utf16.Decode(units))
}

// form is a secret in some encoding, in which a character stands for so many bits.
type form struct {
	text string
	bits int
}

// per is how many characters so many letters of a secret take at least.
func (f form) per(letters int) int { return (8*letters + f.bits - 1) / f.bits }

// forms are those of a secret.
func forms(secret string) []form {
	backwards := []rune(secret)
	slices.Reverse(backwards)
	var wide strings.Builder
	for _, u := range utf16.Encode([]rune(secret)) {
		wide.WriteByte(byte(u)) //nolint:gosec // the low byte comes first
		wide.WriteByte(byte(u >> 8))
	}
	decimal := strings.Trim(fmt.Sprint([]byte(secret)), "[]") //nolint:staticcheck // the numbers are meant
	all := []form{{secret, 8}, {string(backwards), 8}, {decimal, 4}}
	for _, s := range []string{secret, string(backwards), wide.String()} {
		all = append(all, form{hex.EncodeToString([]byte(s)), 4})
		// Whatever stands before it: what the first and last bytes share with others is left out.
		for offset := range 3 {
			all = append(all, inner(base64.RawStdEncoding.EncodeToString, s, offset, 3, 4))
		}
		for offset := range 5 {
			all = append(all, inner(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString, s, offset, 5, 8))
		}
	}
	return slices.DeleteFunc(all, func(f form) bool { return len(letters(f.text)) < edge })
}

// inner encodes s behind so many other bytes, in groups of in bytes and out characters, and leaves
// out the characters that are not of s alone.
func inner(encode func([]byte) string, s string, offset, in, out int) form {
	whole := encode(append(make([]byte, offset), s...))
	bits := 8 * in / out
	first := (8*offset + bits - 1) / bits
	last := 8 * (offset + len(s)) / bits
	if first > last {
		return form{}
	}
	return form{whole[first:min(last, len(whole))], bits}
}
