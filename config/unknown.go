package config

import (
	"maps"
	"slices"
	"strings"
)

// logPrefix is a prefix that many programs use. An unknown variable with it never prevents the
// start.
const logPrefix = "LOG_"

// prefixes returns the prefixes of our variables.
func prefixes() []string { return []string{"LDAP_", "AUTH_", "HTTP_", "ADMIN_", logPrefix} }

// later lists variables of future versions. They are rejected, because a variable that is accepted
// without an effect would mislead.
func later() []string {
	return []string{
		"AUTH_THROTTLE_REDIS_URL",
	}
}

// unknown reports variables that have one of our prefixes but are not ours. A variable is a problem
// if it looks like a misspelling. It is also a problem if less would be protected without it than
// the operator thinks. The others are warnings. Variables that other programs are known to set are
// ignored: HTTP_PROXY is used by many programs, HTTP_HOST is CGI's (RFC 3875 section 4.1.18); for
// the rest see linked and ofImage.
func unknown(given map[string]string, wrong *problems) (warnings []string) {
	known := names()
	for _, name := range slices.Sorted(maps.Keys(given)) {
		value := given[name]
		ours := slices.ContainsFunc(prefixes(), func(p string) bool { return strings.HasPrefix(name, p) })
		if !ours || value == "" || slices.Contains(known, name) || strings.HasPrefix(name, "HTTP_PROXY") || name == "HTTP_HOST" {
			continue
		}
		if slices.Contains(later(), name) {
			wrong.note(name, "", "is not supported by this version")
			continue
		}
		likely, stops := meant(name, known), true
		switch {
		case linked(name, value), likely == "" && ofImage(name, given):
			continue
		case likely == "":
			likely, stops = guessed(name)
			stops = stops && (!slices.Contains(imageSwitches(), name) || turnsOn(value))
		}
		text := "unknown variable, ignored"
		if likely != "" {
			text = "unknown variable; did you mean " + likely + "?"
		}
		if stops && !strings.HasPrefix(name, logPrefix) {
			wrong.note(name, "", text)
		} else {
			warnings = append(warnings, name+": "+text)
		}
	}
	return warnings
}

// names lists every variable that Load reads.
func names() []string {
	var all []string
	for _, v := range variables() {
		all = append(all, v.name)
		if v.secret {
			all = append(all, v.name+fileSuffix)
		}
	}
	return all
}

// meant returns the known variable that name is a misspelling of, or "".
func meant(name string, known []string) string {
	for _, likely := range []func(a, b string) bool{joined, misspelt, wordMissing} {
		for _, k := range known {
			if likely(name, k) {
				return k
			}
		}
	}
	return ""
}

// joined reports whether a and b differ only in where they have underscores.
func joined(a, b string) bool {
	return strings.ReplaceAll(a, "_", "") == strings.ReplaceAll(b, "_", "")
}

// misspelt reports whether a is b with at most two misspelt words.
func misspelt(a, b string) bool {
	wordsA, wordsB := strings.Split(a, "_"), strings.Split(b, "_")
	if len(wordsA) != len(wordsB) {
		return false
	}
	slips := 0
	for i, word := range wordsA {
		switch {
		case word == wordsB[i]:
		case alike(word, wordsB[i]):
			slips++
		default:
			return false
		}
	}
	return slips <= 2
}

// alike reports whether a word is another one with a letter wrong, missing, added or swapped with
// the next. It also reports true if the two begin alike (ADDRESS and ADDR, CONNECTIONS and CONNS,
// PASSWD and PASSWORD).
func alike(a, b string) bool {
	if least := min(len(a), len(b)); least < 3 { // DNS extends DN; DC is another word
		return least == 2 && len(a)+len(b) == 5 && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a))
	}
	if min(len(a), len(b)) >= 4 && a[:4] == b[:4] {
		return true
	}
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			continue
		}
		restA, restB := a[i:], b[i:]
		return restA[1:] == restB[1:] || restA[1:] == restB || restA == restB[1:] ||
			len(restA) > 1 && len(restB) > 1 && restA[0] == restB[1] && restA[1] == restB[0] && restA[2:] == restB[2:]
	}
	return max(len(a), len(b))-min(len(a), len(b)) == 1
}

// wordMissing reports whether a and b differ only in one word that one of them lacks. They must
// share two words in addition to the prefix.
func wordMissing(a, b string) bool {
	short, long := strings.Split(a, "_"), strings.Split(b, "_")
	if len(short) > len(long) {
		short, long = long, short
	}
	if len(short) < 3 || len(long) != len(short)+1 {
		return false
	}
	for skip := range long {
		if slices.Equal(slices.Delete(slices.Clone(long), skip, skip+1), short) {
			return true
		}
	}
	return false
}
