package config

import (
	"slices"
	"strings"
)

// prefixes are what our variables begin with.
func prefixes() []string { return []string{"LDAP_", "AUTH_", "HTTP_", "ADMIN_"} }

// later are variables of versions to come. To accept one that does nothing would be a lie.
func later() []string {
	return []string{
		"AUTH_THROTTLE_REDIS_URL",
	}
}

// unknown reports variables that are not ours and were probably meant to be. What merely begins like ours is left alone:
// HTTP_PROXY is everybody's, and Kubernetes and Docker set LDAP_PORT or LDAP_SERVICE_HOST for a neighbour called ldap.
func unknown(given map[string]string, wrong *problems) {
	known := names()
	names := make([]string, 0, len(given))
	for name := range given {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		ours := slices.ContainsFunc(prefixes(), func(p string) bool { return strings.HasPrefix(name, p) })
		switch {
		case !ours || given[name] == "" || slices.Contains(known, name) || strings.HasPrefix(name, "HTTP_PROXY"):
		case slices.Contains(later(), name):
			wrong.note(name, "", "is not supported by this version")
		default:
			if likely := meant(name, known); likely != "" {
				wrong.note(name, "", "there is no such variable; "+likely+" was probably meant")
			}
		}
	}
}

// names lists every variable that is read.
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

// meant is the known variable that name is a misspelling of, or "".
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

// joined tells whether a is b with its underscores elsewhere.
func joined(a, b string) bool {
	return strings.ReplaceAll(a, "_", "") == strings.ReplaceAll(b, "_", "")
}

// misspelt tells whether a is b with slips of the pen, in at most two words.
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

// alike tells whether a word is another one with a letter wrong, missing, too many or in its neighbour's place, or
// begins like it (ADDRESS and ADDR, CONNECTIONS and CONNS, PASSWD and PASSWORD).
func alike(a, b string) bool {
	if least := min(len(a), len(b)); least < 3 { // DNS is DN drawn out; DC is another word
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

// wordMissing tells whether a and b differ in one word that only one of them has, and share two more than the prefix.
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
