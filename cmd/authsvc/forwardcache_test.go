package main

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// basic asks as a reverse proxy does, for a client at an address unless that is empty. It gives the
// answer and its time like fail.
func basic(c *http.Client, url, address, username, password string) (answer string, took time.Duration) {
	req, err := http.NewRequest(http.MethodGet, url+"/auth/basic", nil)
	if err != nil {
		return err.Error(), 0
	}
	req.SetBasicAuth(username, password)
	if address != "" {
		req.Header.Set("X-Forwarded-For", address)
	}
	return timedRequest(c, req)
}

// TestForwardCache_AThousandUsersAreAThousandBinds: each user's browser sends fifty requests. With
// -long there are a thousand users, and otherwise a hundred with twenty requests each.
func TestForwardCache_AThousandUsersAreAThousandBinds(t *testing.T) {
	t.Parallel()
	const page = 30
	users, requests := 100, 20
	if *long {
		users, requests = 1000, 50
	}
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: users + 1})
	p := startProgram(t, slapd.URL(), "LOG_LEVEL=info", "AUTH_BASIC_CACHE_TTL=1h")
	p.ready(t)
	c := client(t)
	binds := func() int { return slapd.LogCount("," + ldaptest.PeopleDN + `" method=128`) }
	require.Zero(t, binds())

	var cold sync.WaitGroup // a page of another user
	for range page {
		cold.Go(func() {
			text, _ := basic(c, p.url, "", ldaptest.Username(users), ldaptest.Password(users))
			assert.Contains(t, text, "200 OK")
		})
	}
	cold.Wait()
	require.Equal(t, 1, binds(), "a page with a cold cache is one bind")

	var wrong, next atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for range 32 {
		all.Go(func() {
			for n := int(next.Add(1)) - 1; n < users*requests; n = int(next.Add(1)) - 1 {
				user := n % users
				text, _ := basic(c, p.url, "", ldaptest.Username(user), ldaptest.Password(user))
				if !strings.HasPrefix(text, "200 OK") || !strings.Contains(text, "Remote-User: "+ldaptest.Username(user)+"\r\n") {
					wrong.Add(1)
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d requests of %d users in %v", users*requests, users, time.Since(began))
	require.Zero(t, wrong.Load())
	require.Equal(t, 1+users, binds())
}

// strangersKind is a way to be denied. Each of its requests comes from a client of its own.
type strangersKind struct {
	name, username string
	accepted       bool // the user has logged in with the right password before
	failures       int  // other wrong passwords before
	repeat         bool // the same wrong password was tried before
	right          bool // the request has the right password
}

// strangersKinds are all of what one who does not know the password can meet, those that are to be
// answered with the same bytes one after another. Three failures exhaust a client's budget.
var strangersKinds = [][]strangersKind{
	{
		{name: "unknown name", username: "nobody"},
		{name: "wrong", username: ldaptest.Username(0)},
		{name: "locked", username: "locked"},
		{name: "wrong beside the accepted one", username: ldaptest.Username(1), accepted: true},
	}, {
		{name: "repeated, unknown name", username: "nobody", repeat: true},
		{name: "repeated", username: ldaptest.Username(0), repeat: true},
		{name: "repeated, locked", username: "locked", repeat: true},
		{name: "repeated beside the accepted one", username: ldaptest.Username(1), repeat: true, accepted: true},
	}, {
		{name: "exhausted, unknown name", username: "nobody", failures: 3},
		{name: "exhausted", username: ldaptest.Username(0), failures: 3},
		{name: "exhausted, locked", username: "locked", failures: 3},
		{name: "exhausted, and the right one", username: ldaptest.Username(1), accepted: true, failures: 3, right: true},
	},
}

// TestForwardCache_TimeOfARefusalRevealsNothing is TestUniform_TimeOfAnAnswerRevealsNothing for
// reverse proxies: whether a name exists, is locked, is exhausted or is remembered, with which
// password, shows neither in the time of a refusal nor in its bytes. What is not secret shows:
// that this client has repeated a password (Authsvc-Cache), and that it has no attempt left. Each
// kind is compared with all others together, each time less the median of its round, since the
// machine's load differs between rounds. With -long there are 500 of each, and |z| must be
// below 3.3, which twelve comparisons of what does not differ exceed once in 80 runs. Otherwise
// there are 20, and a bound that they exceed once in 100,000: z is 5.4 for a kind that is quicker
// than all but three others that are as quick.
func TestForwardCache_TimeOfARefusalRevealsNothing(t *testing.T) {
	n, bound := 20, 5.0
	if *long {
		n, bound = 500, 3.3
	}
	p, _ := startWithFailures(t, nil, "AUTH_UNIFORM_DELAY=20ms", "HTTP_TRUSTED_PROXIES=127.0.0.1",
		"AUTH_THROTTLE_FAILURES=3", "AUTH_THROTTLE_CLIENT_FAILURES=0")
	c := client(t)
	var kinds []strangersKind
	group := map[string]int{}
	for g, same := range strangersKinds {
		for _, k := range same {
			kinds, group[k.name] = append(kinds, k), g
		}
	}
	tries := 0
	right := ldaptest.Password(1) // of all that exist, in startWithFailures
	measure := func(k strangersKind) (string, time.Duration) {
		tries++
		address := fmt.Sprintf("198.18.%d.%d", tries>>8, tries&255)
		guess := func(i int) string { return fmt.Sprintf("%s-%06d-%d", mistaken, tries, i) }
		if k.accepted {
			text, _ := basic(c, p.url, address, k.username, right)
			assert.Contains(t, text, "200 OK")
		}
		for i := range k.failures {
			basic(c, p.url, address, k.username, guess(i+1))
		}
		if k.repeat {
			basic(c, p.url, address, k.username, guess(0))
		}
		if k.right {
			return basic(c, p.url, address, k.username, right)
		}
		return basic(c, p.url, address, k.username, guess(0))
	}
	retryAfter := regexp.MustCompile(`Retry-After: \d+`)
	answers := make([]map[string]int, len(strangersKinds))
	times := make([][]time.Duration, len(kinds))
	var hit, missed []time.Duration
	for range n {
		for _, of := range []*[]time.Duration{&missed, &hit} {
			text, took := basic(c, p.url, fmt.Sprintf("198.19.%d.%d", tries>>8, tries&255), ldaptest.Username(1), right)
			assert.Contains(t, text, "200 OK")
			*of = append(*of, took)
		}
		for _, i := range rand.Perm(len(kinds)) { //nolint:gosec // an order that nobody has to guess
			text, took := measure(kinds[i])
			g := group[kinds[i].name]
			if answers[g] == nil {
				answers[g] = map[string]int{}
			}
			answers[g][retryAfter.ReplaceAllString(text, "Retry-After: N")]++
			times[i] = append(times[i], took)
		}
	}
	var texts []string
	for _, all := range answers {
		require.Len(t, all, 1, "the answers are one, but for the request's ID")
		texts = slices.AppendSeq(texts, maps.Keys(all))
	}
	assert.Contains(t, texts[0], "Authsvc-Cache: miss\r\n")
	assert.Equal(t, strings.Replace(texts[0], "Authsvc-Cache: miss", "Authsvc-Cache: hit", 1), texts[1])
	assert.Contains(t, texts[2], "429 Too Many Requests")
	for round := range n {
		var all []time.Duration
		for i := range times {
			all = append(all, times[i][round])
		}
		slices.Sort(all)
		for i := range times {
			times[i][round] -= all[len(all)/2]
		}
	}
	for i, k := range kinds {
		var others []time.Duration
		for j := range kinds {
			if j != i {
				others = append(others, times[j]...)
			}
		}
		z := compare(t, k.name+" and all others", slices.Clone(times[i]), others)
		assert.Less(t, math.Abs(z), bound, "%s can be told from the others", k.name)
	}
	compare(t, "for comparison, the right password, remembered and not", hit, missed)
}
