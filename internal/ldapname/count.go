package ldapname

import (
	"encoding/hex"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// CountKey returns the same key for names that are one to a directory that compares as RFC 4518
// says, or as OpenLDAP, 389 DS or Samba do: compatibility forms and case do not count, nor what RFC
// 4518 section 2.2 maps to nothing, nor how much white space there is. Only the first 8 KiB of a
// name count.
func CountKey(name string) string {
	name = name[:min(len(name), maxBytes)] // the key of a longer one could be 18 times as long
	if isPlain(name) {
		return strings.ToLower(name)
	}
	// Decomposed first, since a fold makes a letter of U+0345, which marks may stand behind.
	name = norm.NFKD.String(strings.Map(significant, name))
	// cases.Fold makes Cherokee capitals of small letters: ToLower makes all of them small.
	name = norm.NFKD.String(strings.Map(lowerAs389DS, strings.ToLower(cases.Fold().String(name))))
	return strings.Join(strings.Fields(norm.NFKC.String(onlyI(name))), " ")
}

// isPlain reports whether a name is printable ASCII without a space. Only its case is folded.
func isPlain(name string) bool {
	for i := range len(name) {
		if name[i] <= ' ' || name[i] >= 0x7f {
			return false
		}
	}
	return true
}

// significant maps to nothing (-1) what RFC 4518 section 2.2 does.
func significant(r rune) rune {
	switch {
	case r == '\u034f', r == '\u1806', r == '\ufffc', unicode.In(r, unicode.Cf, unicode.Variation_Selector):
		return -1
	case unicode.IsControl(r) && !unicode.IsSpace(r):
		return -1
	}
	return r
}

// lowerAs389DS makes one letter of two that 389 DS takes for the small letters of one capital: it
// knows the small letters of Ǝ and of the Georgian capitals by an older or another table than
// Unicode has today.
func lowerAs389DS(r rune) rune {
	switch {
	case r == 'ǝ':
		return 'ɘ'
	case r >= 'ⴀ' && r <= 'ⴥ':
		return r - 'ⴀ' + 'ა'
	}
	return r
}

// onlyI makes an i of all that has to do with the Turkish i, in a decomposed name. İ (U+0130) is i
// to OpenLDAP, i with a dot above (U+0307) by Unicode, and ı (U+0131) to 389 DS.
func onlyI(name string) string {
	if !strings.ContainsAny(name, "\u0307ı") {
		return name
	}
	var base rune
	return strings.Map(func(r rune) rune {
		if r == 'ı' {
			r = 'i'
		}
		if !unicode.Is(unicode.M, r) {
			base = r
		}
		if r == '\u0307' && base == 'i' {
			return -1
		}
		return r
	}, name)
}

// CountKeyAD returns the same key for names that are one to Active Directory. AD compares by the
// sorting weights of Windows: marks do not count, nor a stroke through a letter, nor the kind of
// kana (Microsoft KB938447; Samba bug 14847 has what was tried). No document lists all of it. The
// keys are never finer than those of [CountKey].
func CountKeyAD(name string) string {
	name = name[:min(len(name), maxBytes)]
	if isPlain(name) {
		return strings.ToLower(name)
	}
	name = strings.Map(func(r rune) rune {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me):
			return -1
		case r >= 'ぁ' && r <= 'ゖ':
			return r + 'ァ' - 'ぁ'
		}
		return r
	}, norm.NFKD.String(CountKey(name)))
	return strings.Join(strings.Fields(strokes.Replace(name)), " ")
}

// strokes are letters that Unicode does not decompose.
var strokes = strings.NewReplacer("ø", "o", "ł", "l", "đ", "d", "ð", "d", "ħ", "h", "ŧ", "t", "æ", "ae", "œ", "oe")

// CountDNKey returns the same key for DNs that are one to a directory: of each part the value
// counts, as for [CountKeyAD], and not the attribute type, which has several names. ok is false for
// a DN that cannot be parsed: it may be the same as any other.
func CountDNKey(dn string) (key string, ok bool) {
	rdns, ok := parseDN(dn)
	if !ok {
		return "", false
	}
	return joinDN(rdns, func(a attributeValue) string {
		value := a.value
		if a.encoded {
			value = decoded(value)
		}
		return hex.EncodeToString([]byte(CountKeyAD(value)))
	}), true
}

// MayBeSameDN reports whether a directory may take two DNs for one. false is certain.
func MayBeSameDN(a, b string) bool {
	keyA, okA := CountDNKey(a)
	keyB, okB := CountDNKey(b)
	return !okA || !okB || keyA == keyB
}

// decoded returns the content of an encoded value (X.690): what follows its tag and length. What is
// not encoded so is returned as it is.
func decoded(digits string) string {
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) < 2 {
		return "#" + digits
	}
	header := 2
	if b[1] >= 0x80 { // the long form: the lower bits count the octets of the length
		header += int(b[1] & 0x7f)
	}
	if header > len(b) {
		return "#" + digits
	}
	return string(b[header:])
}
