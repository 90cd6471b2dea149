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

// guess is a variable that was probably meant by names with certain words.
type guess struct {
	prefix  string // any of the prefixes, by |
	words   string // any of the words, by |; each matches at the beginning of a word of the name
	with    string // any of these too; empty: none is needed
	likely  string
	weakens bool // if it is not set, less is protected than the operator thinks
}

// guesses lists them, the most specific first.
func guesses() []guess {
	const callers = "KEY|KEYS|APIKEY"
	return []guess{
		{"LDAP|AUTH", "GROUP|MEMBEROF", "FILTER", "LDAP_GROUP_FILTER", true},
		{"LDAP|AUTH", "GROUP|MEMBEROF", "NEST|RECURS", "LDAP_GROUP_NESTED", true},
		{"LDAP|AUTH", "GROUP", "ATTR|NAME", "LDAP_GROUP_NAME_ATTRIBUTE", true},
		{"LDAP|AUTH", "GROUP", "BASE|DN|OU|SEARCH", "LDAP_GROUP_BASE_DN", true},
		{"LDAP|AUTH", "GROUP|MEMBEROF", "", "LDAP_REQUIRED_GROUPS", true},

		{"LDAP", "INSECURE|SKIP|VERIFY|REQCERT|VALIDATE", "", "LDAP_TLS_INSECURE_SKIP_VERIFY", true},
		{"LDAP", "CA|CACERT|CAFILE|ROOTCA|TRUST", "", "LDAP_CA_FILE", true},
		{"LDAP", "TLS|SSL|CERT|CLIENT", "KEY", "LDAP_KEY_FILE", true},
		{"LDAP", "CERT|CRT", "", "LDAP_CERT_FILE", true},
		{"LDAP", "TLS|SSL|STARTTLS", "VERSION|MIN|PROTOCOL", "LDAP_TLS_MIN_VERSION", true},
		{"LDAP", "TLS|SSL|STARTTLS|SECURE|ENCRYPT", "", "LDAP_START_TLS", true},
		{"HTTP", "CLIENT|MTLS", "CA|CACERT|CERT|TLS", "HTTP_TLS_CLIENT_CA_FILE", true},
		{"HTTP", "TLS|SSL|CERT", "KEY", "HTTP_TLS_KEY_FILE", true},
		{"HTTP", "TLS|SSL|CERT|CRT|HTTPS", "", "HTTP_TLS_CERT_FILE", true},
		{"AUTH|HTTP", "MTLS|TLS|SSL|CERT", "", "HTTP_TLS_CLIENT_CA_FILE", true},

		{"AUTH|LDAP|HTTP", "THROTTL|LOCKOUT|RATE|RATELIMIT|BRUTE", "ACCOUNT|USER", "AUTH_THROTTLE_ACCOUNT_FAILURES", true},
		{"AUTH|LDAP|HTTP", "THROTTL|LOCKOUT|RATE|RATELIMIT|BRUTE", "CLIENT|IP", "AUTH_THROTTLE_CLIENT_FAILURES", true},
		{"AUTH|LDAP|HTTP", "THROTTL|LOCKOUT|RATE|RATELIMIT|BRUTE", "WINDOW|PERIOD|INTERVAL|TIME|DURATION", "AUTH_THROTTLE_WINDOW", true},
		{"AUTH|LDAP|HTTP", "THROTTL|LOCKOUT|RATE|RATELIMIT|BRUTE|ATTEMPT|FAILURES", "", "AUTH_THROTTLE_FAILURES", true},
		{"AUTH", "MAX", "FAIL|TRIES|RETRIES|LOGINS", "AUTH_THROTTLE_FAILURES", true},
		{"AUTH", "UNIFORM", "DELAY|TIME", "AUTH_UNIFORM_DELAY", true},
		{"AUTH", "DECOY", "", "AUTH_UNIFORM_DECOY_DN", true},
		{"AUTH", "UNIFORM|DETAIL|ENUMERATION", "", "AUTH_FAILURE_DETAIL", true},
		{"AUTH", callers, "", "AUTH_API_KEYS_FILE", true},
		{"HTTP|LDAP", "API", callers, "AUTH_API_KEYS_FILE", true},

		{"LDAP", "TIMEOUT|TIMELIMIT", "DIAL|CONN|NETWORK|OPEN|TCP", "LDAP_DIAL_TIMEOUT", false},
		{"LDAP", "TIMEOUT|TIMELIMIT", "IDLE", "LDAP_POOL_MAX_IDLE_TIME", false},
		{"LDAP", "TIMEOUT|TIMELIMIT", "WAIT|ACQUIRE|POOL", "LDAP_POOL_MAX_WAIT", false},
		{"LDAP", "TIMEOUT|TIMELIMIT", "", "LDAP_REQUEST_TIMEOUT", false},
		{"LDAP", "POOL|CONN", "IDLE|MIN", "LDAP_POOL_MIN_IDLE_CONNS", false},
		{"LDAP", "POOL|CONN", "LIFE|AGE", "LDAP_POOL_MAX_LIFETIME", false},
		{"LDAP", "WAITERS|QUEUE", "", "LDAP_POOL_MAX_WAITERS", false},
		{"LDAP", "WAIT", "", "LDAP_POOL_MAX_WAIT", false},
		{"LDAP", "HEALTH|PING|KEEPALIVE", "", "LDAP_POOL_HEALTH_CHECK_INTERVAL", false},
		{"LDAP", "POOL|CONN|MAX", "", "LDAP_POOL_MAX_CONNS", false},
		{"LDAP", "FILTER|QUERY", "", "LDAP_USER_FILTER", false},
		{"LDAP", "TEMPLATE|PATTERN", "", "LDAP_USER_DN_TEMPLATE", false},
		{"LDAP", "SCOPE", "", "LDAP_USER_SCOPE", false},
		{"LDAP", "ATTR|FIELD", "USER|NAME|LOGIN|UID|ID", "LDAP_USER_NAME_ATTRIBUTE", false},
		{"LDAP", "ATTR|FIELDS", "", "LDAP_ATTRIBUTES", false},
		{"LDAP", "RETR", "", "LDAP_BIND_RETRY", false},
		{"LDAP", "POLICY|BALANC|STRATEGY", "", "LDAP_SERVER_POLICY", false},
		{"LDAP", "TYPE|VENDOR|SCHEMA|FLAVOR|FLAVOUR|KIND", "", "LDAP_PRESET", false},
		{"LDAP", "PASS|PW|PWD|BINDPW|BINDPASS|ROOTPW|SECRET|CREDENTIAL", "FILE", "LDAP_BIND_PASSWORD_FILE", false},
		{"LDAP", "PASS|PW|PWD|BINDPW|BINDPASS|ROOTPW|SECRET|CREDENTIAL", "", "LDAP_BIND_PASSWORD", false},
		{"LDAP", "BASE|BASEDN|SUFFIX|SEARCH|ROOT|OU|DOMAIN|DC", "", "LDAP_BASE_DN", false},
		{"LDAP", "HOST|SERVER|PORT|ADDR|ENDPOINT|URL|URI", "", "LDAP_URL", false},
		{"LDAP", "BIND|USER|MANAGER|ADMIN|DN|ACCOUNT|SERVICE", "", "LDAP_BIND_DN", false},
		{"LDAP", "LOG|DEBUG", "", "LOG_LEVEL", false},

		{"AUTH", "TIMEOUT|TIME", "", "AUTH_TIMEOUT", false},
		{"AUTH", "200|STATUS|CODE", "", "AUTH_ALWAYS_200", false},
		{"AUTH", "URL|SERVER|HOST|LDAP", "", "LDAP_URL", false},
		{"AUTH", "TOKEN|SECRET|PASS|USER", "", "AUTH_API_KEYS_FILE", false},
		{"HTTP", "PROX|TRUST|FORWARD|REAL", "", "HTTP_TRUSTED_PROXIES", false},
		{"HTTP", "SHUTDOWN|DRAIN|GRACE|STOP", "DELAY|WAIT|SLEEP", "HTTP_SHUTDOWN_DELAY", false},
		{"HTTP", "SHUTDOWN|DRAIN|GRACE|STOP", "", "HTTP_SHUTDOWN_TIMEOUT", false},
		{"HTTP", "CONN|MAX", "", "HTTP_MAX_CONNS", false},
		{"HTTP", "HOSTS|ORIGIN|CORS|DOMAIN|ALLOWED|NAME", "", "HTTP_HOSTS", false},
		{"HTTP", "PORT|ADDR|LISTEN|BIND|HOST|IP|SERVER|URL|INTERFACE", "", "HTTP_ADDR", false},
		{"HTTP", "TIMEOUT", "", "AUTH_TIMEOUT", false},
		{"ADMIN", "TLS|SSL|CERT", "", "ADMIN_ADDR", true}, // it has none: it belongs on loopback
		{"ADMIN", "PPROF|PROFIL|DEBUG", "", "ADMIN_PPROF", false},
		{"ADMIN", "HOSTS|ORIGIN|CORS|DOMAIN|NAME", "", "ADMIN_HOSTS", false},
		{"ADMIN", "PORT|ADDR|LISTEN|BIND|HOST|IP|URL|ENABLE", "", "ADMIN_ADDR", false},
		{"LOG", "FORMAT|FMT|JSON|TYPE|ENCOD|STYLE|OUTPUT", "", "LOG_FORMAT", false},
		{"LOG", "LEVEL|LVL|DEBUG|VERBOS|SEVERITY", "", "LOG_LEVEL", false},
	}
}

// guessed returns what was probably meant by a name that is none of ours, and whether less is
// protected without it.
func guessed(name string) (likely string, weakens bool) {
	prefix, rest, _ := strings.Cut(name, "_")
	words := strings.Split(rest, "_")
	for _, g := range guesses() {
		if slices.Contains(strings.Split(g.prefix, "|"), prefix) && hasWord(words, g.words) && (g.with == "" || hasWord(words, g.with)) {
			return g.likely, g.weakens
		}
	}
	return "", false
}

// hasWord reports whether one of the words begins with one of those wanted; one of up to three
// letters is a whole word.
func hasWord(words []string, wanted string) bool {
	for w := range strings.SplitSeq(wanted, "|") {
		for _, word := range words {
			if word == w || len(w) > 3 && strings.HasPrefix(word, w) {
				return true
			}
		}
	}
	return false
}
