package auth

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// fold makes one name of what the directory takes for one, where that is more than [throttle.Fold] knows. AD compares by Windows'
// sorting weights: marks do not count, nor a stroke through a letter, nor the kind of kana (Microsoft KB938447; Samba bug 14847 has
// what was tried). No document has all of it: what is not known here is a name of its own.
func (p Preset) fold(name string) string {
	if p != AD || !strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII }) {
		return name
	}
	name = strings.Map(func(r rune) rune {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
			return -1
		case r >= 'ぁ' && r <= 'ゖ':
			return r + 'ァ' - 'ぁ'
		}
		return unicode.ToLower(r)
	}, norm.NFKD.String(name))
	return strokes.Replace(name)
}

// strokes are letters that Unicode does not take apart.
var strokes = strings.NewReplacer("ø", "o", "ł", "l", "đ", "d", "ð", "d", "ħ", "h", "ŧ", "t", "ı", "i", "æ", "ae", "œ", "oe", "ß", "ss")
