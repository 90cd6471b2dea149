package main

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// failureKinds are names to fail with, and what the log says of them.
var failureKinds = []struct{ name, username string }{
	{"unknown user", "nobody"},
	{"wrong password", ldaptest.Username(0)},
	{"ambiguous user", "twin"},
	{"locked account", "locked"},
}

// mistaken is a password that nobody has.
const mistaken = "mistaken-password"

// decoyDN is an entry that never logs in, with decoyPassword, and withDecoy names it to the
// service.
const (
	decoyDN       = "cn=decoy," + ldaptest.BaseDN
	decoyPassword = "decoy-password"
	withDecoy     = "AUTH_UNIFORM_DECOY_DN=" + decoyDN
)

// startWithFailures runs slapd with the ppolicy overlay and an account of each kind, and the
// service on it.
func startWithFailures(t *testing.T, hash func(string) string, environ ...string) (*process, *ldaptest.Slapd) {
	t.Helper()
	stored, ofDecoy := ldaptest.Password(1), decoyPassword
	if hash != nil {
		stored, ofDecoy = hash(stored), hash(ofDecoy)
	}
	person := func(name, parent, more string) string {
		return fmt.Sprintf("dn: uid=%s,%s\nobjectClass: inetOrgPerson\nuid: %s\ncn: x\nsn: x\nuserPassword: %s\n%s\n", name, parent, name, stored, more)
	}
	staff := "ou=staff," + ldaptest.BaseDN
	policy := "cn=policy," + ldaptest.BaseDN
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		Users: 2, Hash: hash,
		ExtraGlobal:   "moduleload ppolicy",
		ExtraDatabase: "overlay ppolicy\nppolicy_default " + policy + "\nppolicy_use_lockout\n",
		LDIF: "dn: " + staff + "\nobjectClass: organizationalUnit\nou: staff\n\n" +
			"dn: " + policy + "\nobjectClass: device\nobjectClass: pwdPolicy\ncn: policy\npwdAttribute: userPassword\npwdLockout: TRUE\npwdMaxFailure: 0\n\n" +
			person("twin", staff, "") + person("twin", ldaptest.PeopleDN, "") +
			person("locked", ldaptest.PeopleDN, "pwdAccountLockedTime: 000001010000Z\n") +
			"\ndn: " + decoyDN + "\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: decoy\nuserPassword: " + ofDecoy + "\n",
	})
	p := startProgram(t, s.URL(), append([]string{"AUTH_FAILURE_DETAIL=uniform", "LDAP_BASE_DN=" + ldaptest.BaseDN, "LOG_LEVEL=info"}, environ...)...)
	p.ready(t)
	everything.Secret(ldaptest.Password(1), mistaken, decoyPassword)
	return p, s
}

// slowHash is a {CRYPT} of SHA-512 with so many rounds (crypt(5)): with 60,000 some 30 ms of a
// processor.
func slowHash(t *testing.T, rounds int) func(string) string {
	t.Helper()
	return func(password string) string {
		salt := fmt.Sprintf("$6$rounds=%d$%%.16s", rounds)
		out, err := exec.Command("/usr/sbin/slappasswd", "-n", "-h", "{CRYPT}", "-c", salt, "-s", password).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
}

// fail asks for a login that fails, and gives the whole answer but for the request's ID and the
// date, and its time.
func fail(c *http.Client, url, username string) (answer string, took time.Duration) {
	return timed(c, url, username, mistaken)
}

// timed asks for a login, and gives its answer and time like fail.
func timed(c *http.Client, url, username, password string) (answer string, took time.Duration) {
	body := fmt.Sprintf(`{"username":%q,"password":%q}`, username, password)
	req, err := http.NewRequest(http.MethodPost, url+"/auth", strings.NewReader(body))
	if err != nil {
		return err.Error(), 0
	}
	req.Header.Set("Content-Type", "application/json")
	return timedRequest(c, req)
}

// timedRequest sends a request, and gives its answer and time like fail.
func timedRequest(c *http.Client, req *http.Request) (answer string, took time.Duration) {
	began := time.Now()
	resp, err := c.Do(req)
	if err != nil {
		return err.Error(), 0
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	took = time.Since(began)
	if err != nil {
		return err.Error(), 0
	}
	id := resp.Header.Get("X-Request-Id")
	resp.Header.Del("Date")
	var header strings.Builder
	_ = resp.Header.Write(&header) // to memory
	everything.Wrote("answers", text)
	everything.Wrote("answers", []byte(header.String()))
	return resp.Status + "\n" + strings.ReplaceAll(header.String()+"\n"+string(text), id, "ID"), took
}

// mannWhitney is the z of the Mann-Whitney U test of two samples without equal values: how many
// standard deviations the sum of ranks is from what it would be if both were drawn from one
// distribution. (Mann and Whitney, "On a test of whether one of two random variables is
// stochastically larger than the other", 1947.)
func mannWhitney(a, b []time.Duration) float64 {
	type value struct {
		d     time.Duration
		first bool
	}
	all := make([]value, 0, len(a)+len(b))
	for _, d := range a {
		all = append(all, value{d, true})
	}
	for _, d := range b {
		all = append(all, value{d, false})
	}
	slices.SortFunc(all, func(x, y value) int { return int(x.d - y.d) })
	sum := 0.0
	for i, v := range all {
		if v.first {
			sum += float64(i + 1)
		}
	}
	n, m := float64(len(a)), float64(len(b))
	return (sum - n*(n+1)/2 - n*m/2) / math.Sqrt(n*m*(n+m+1)/12)
}

func TestUniform_MannWhitneySeparatesDifferentSamples(t *testing.T) {
	t.Parallel()
	draw := func(seed uint64, shift float64) []time.Duration {
		r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test that is the same at each run
		out := make([]time.Duration, 1000)
		for i := range out {
			out[i] = time.Duration(1e6 * (r.NormFloat64() + shift))
		}
		return out
	}
	assert.Less(t, math.Abs(mannWhitney(draw(1, 0), draw(2, 0))), 3.0)
	assert.Less(t, mannWhitney(draw(1, 0), draw(2, 0.3)), -5.0)
	assert.InDelta(t, -math.Sqrt(3*1000*1000/2001.0), mannWhitney(draw(1, 0), draw(2, 100)), 1e-9, "no value of one below one of the other")
}

// pairs measures two things n times each, in random order of the two.
func pairs(n int, first, second func() time.Duration) (a, b []time.Duration) {
	for range n {
		if rand.IntN(2) == 0 { //nolint:gosec // an order that nobody has to guess
			a, b = append(a, first()), append(b, second())
		} else {
			b, a = append(b, second()), append(a, first())
		}
	}
	return a, b
}

// compare logs two samples and returns the z of their Mann-Whitney test.
func compare(t *testing.T, what string, a, b []time.Duration) float64 {
	t.Helper()
	z := mannWhitney(a, b)
	for _, s := range [][]time.Duration{a, b} {
		slices.Sort(s)
	}
	quantile := func(s []time.Duration, percent int) time.Duration {
		return s[(len(s)-1)*percent/100].Round(time.Microsecond)
	}
	t.Logf("%s: z = %.2f; medians %v and %v, 1%% below %v and %v, 1%% above %v and %v", what, z,
		quantile(a, 50), quantile(b, 50), quantile(a, 1), quantile(b, 1), quantile(a, 99), quantile(b, 99))
	return z
}

// TestUniform_TimeOfAnAnswerRevealsNothing compares the times of the kinds of failures, each with
// each, as one sequential client of an idle service sees them: others that ask at the same time
// would hide a difference. With -long there are 1,000 of each, and |z| must be below 3, which six
// comparisons of what does not differ exceed once in 60 runs. Otherwise there are 25, and a bound
// that they exceed once in 200,000: if all of one are quicker than all of another, z is 6.06.
func TestUniform_TimeOfAnAnswerRevealsNothing(t *testing.T) {
	n, bound := 25, 5.0
	if *long {
		n, bound = 1000, 3
	}
	for name, environ := range map[string][]string{"without a decoy": nil, "with a decoy": {withDecoy}} {
		t.Run(name, func(t *testing.T) {
			p, _ := startWithFailures(t, nil, environ...)
			c, answers := client(t), map[string]int{}
			times := make([][]time.Duration, len(failureKinds))
			for range n {
				for _, kind := range rand.Perm(len(failureKinds)) { //nolint:gosec // an order that nobody has to guess
					text, took := fail(c, p.url, failureKinds[kind].username)
					times[kind] = append(times[kind], took)
					answers[text]++
				}
			}
			assert.Len(t, answers, 1, "all answers are one, but for the request's ID")
			for i, a := range failureKinds {
				for j, b := range failureKinds[:i] {
					z := compare(t, a.name+" and "+b.name, times[i], times[j])
					assert.Less(t, math.Abs(z), bound, "%s and %s can be told apart", a.name, b.name)
				}
			}
			logged := map[string]int{}
			for _, m := range regexp.MustCompile(`"msg":"login","outcome":"(\w+)"`).FindAllStringSubmatch(p.logged(), -1) {
				logged[m[1]]++
			}
			t.Logf("the log has %v", logged)
			assert.Equal(t, 2*n, logged["invalid_user"], "the log still tells them apart")
		})
	}
}

// Afterwards the response clock has measured the time of the hash.
func learnt(t *testing.T, p *process) {
	t.Helper()
	c := client(t)
	ldaptest.Eventually(t, "failures of names without an entry are answered as late as others", func() bool {
		fail(c, p.url, ldaptest.Username(0))
		_, unknown := fail(c, p.url, "nobody")
		return unknown > 90*time.Millisecond
	})
}

// sendTen sends ten wrong passwords for a name at once and returns the time of the last answer.
func sendTen(c *http.Client, url, username string) time.Duration {
	var all sync.WaitGroup
	began := time.Now()
	for range 10 {
		all.Go(func() { fail(c, url, username) })
	}
	all.Wait()
	return time.Since(began)
}

// TestUniform_LongPasswordRevealsNothing: a password of 511 bytes costs the directory some 200
// ms with a hash that otherwise takes 20 ms. With a decoy it does so for every name. If every
// answer for one name is quicker than all for the other, as without the decoy, z is 4.67.
func TestUniform_LongPasswordRevealsNothing(t *testing.T) {
	const n, bound = 15, 4.3 // what does not differ exceeds it once in 60,000 runs
	p, _ := startWithFailures(t, slowHash(t, 40_000), withDecoy)
	assert.Less(t, math.Abs(longPasswords(t, p, n)), bound, "known and unknown names can be told apart")
}

func longPasswords(t *testing.T, p *process, n int) float64 {
	t.Helper()
	c := client(t)
	measure := func(username string) func() time.Duration {
		return func() time.Duration {
			_, took := timed(c, p.url, username, strings.Repeat("x", 511))
			return took
		}
	}
	known, unknown := pairs(n, measure(ldaptest.Username(0)), measure("nobody"))
	return compare(t, "one password of 511 bytes, known and unknown name", known, unknown)
}

// TestUniform_WorkOfTheDirectoryRevealsNothing sends ten wrong passwords at once, and together
// with them the attacker's own right login. It does so for a name with an entry and for one
// without. With a decoy the directory computes as many hashes for one as for the other. With -long,
// when a hash takes some 30 ms, the test also checks that the times do not differ. It then logs
// what they reveal without a decoy.
func TestUniform_WorkOfTheDirectoryRevealsNothing(t *testing.T) {
	const bound = 3.3 // what does not differ exceeds it once in 1,000 comparisons
	n, rounds := 1, 5_000
	environs := map[string][]string{"with a decoy": {withDecoy}}
	if *long {
		n, rounds = 60, 60_000
		environs["without a decoy"] = nil
	}
	hash := slowHash(t, rounds)
	for name, environ := range environs {
		t.Run(name, func(t *testing.T) {
			// Nothing is to time out on a loaded machine.
			p, s := startWithFailures(t, hash, append(environ, "LDAP_POOL_MAX_WAIT=60s", "LDAP_REQUEST_TIMEOUT=60s", "AUTH_TIMEOUT=2m")...)
			c := client(t)
			if *long {
				learnt(t, p)
			}
			check := func(what string, z float64) {
				if *long && environ != nil {
					assert.Less(t, math.Abs(z), bound, "%s: known and unknown names can be told apart", what)
				}
			}
			measure := func(what string, one func(username string) time.Duration) {
				known, unknown := pairs(n,
					func() time.Duration { return one(ldaptest.Username(0)) }, func() time.Duration { return one("nobody") })
				check(what, compare(t, what+", known and unknown name", known, unknown))
			}
			measure("ten wrong passwords at once", func(username string) time.Duration { return sendTen(c, p.url, username) })
			measure("a right login beside ten wrong passwords of another name", func(username string) time.Duration {
				var ten sync.WaitGroup
				ten.Go(func() { sendTen(c, p.url, username) })
				defer ten.Wait()
				text, took := timed(c, p.url, ldaptest.Username(1), ldaptest.Password(1))
				assert.Contains(t, text, `"status":0`)
				return took
			})
			check("long passwords", longPasswords(t, p, n)) // last: it makes the step a second long
			binds := func(dn string) int { return s.LogCount(`BIND dn="` + dn + `" method=128`) }
			assert.GreaterOrEqual(t, binds(ldaptest.UserDN(0)), 21*n)
			if environ != nil {
				assert.Equal(t, binds(ldaptest.UserDN(0)), binds(decoyDN), "hashes that the directory computes")
			}
		})
	}
}
