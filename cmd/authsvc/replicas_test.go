package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authsvc/internal/haproxytest"
	"authsvc/internal/ldaptest"
	"authsvc/internal/redistest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// budget is AUTH_THROTTLE_FAILURES of the replicas. What is used of it is not given back within the
// test.
const budget = 10

func limited() []string {
	return []string{fmt.Sprint("AUTH_THROTTLE_FAILURES=", budget), "AUTH_THROTTLE_ACCOUNT_FAILURES=100", "AUTH_THROTTLE_WINDOW=24h"}
}

// alone returns how many attempts were decided without the server.
func (r *replicas) alone(t *testing.T) (sum int) {
	t.Helper()
	for _, p := range r.services {
		n, err := strconv.Atoi(metric(t, p, "authsvc_throttle_shared_alone_total"))
		require.NoError(t, err)
		sum += n
	}
	return sum
}

// binds returns how many passwords of the user that is attacked the directory was asked for.
func (r *replicas) binds() int {
	return r.slapd.LogCount(`BIND dn="` + ldaptest.UserDN(0) + `" method=128`)
}

// attack sends wrong passwords of one account, by many callers over all replicas, and returns the
// answers.
func (r *replicas) attack(t *testing.T) (answers []answer) {
	t.Helper()
	attempts, guessers := 200, 16
	if *long {
		attempts, guessers = 1000, 64
	}
	c := client(t)
	answers = make([]answer, attempts)
	var next atomic.Int64
	var callers sync.WaitGroup
	for range guessers {
		callers.Go(func() {
			for n := int(next.Add(1)) - 1; n < attempts; n = int(next.Add(1)) - 1 {
				answers[n] = login(c, r.balancer.URL, ldaptest.Username(0), "wr0ng-w0rd", 2)
			}
		})
	}
	callers.Wait()
	for _, a := range answers {
		assert.Contains(t, []int{2, 9}, a.status, "HTTP %d, %v", a.http, a.err)
	}
	return answers
}

// others log in with the right passwords of other accounts while steps run, and returns their
// answers.
func (r *replicas) others(t *testing.T, steps func()) []answer {
	t.Helper()
	c := client(t)
	var mu sync.Mutex
	var answers []answer
	var callers sync.WaitGroup
	var stop atomic.Bool
	for i := range 4 {
		callers.Go(func() {
			for !stop.Load() {
				a := login(c, r.balancer.URL, ldaptest.Username(1+i), ldaptest.Password(1+i), 0)
				mu.Lock()
				answers = append(answers, a)
				mu.Unlock()
			}
		})
	}
	func() {
		defer callers.Wait()
		defer stop.Store(true)
		steps()
	}()
	return answers
}

// redisFault is what happens to the server during an attack.
type redisFault struct {
	name string
	// start starts the server. It returns its URL, and what begins the fault and ends it.
	start func(t *testing.T) (url string, begin, end func())
	down  bool // the replicas find out that the server is away
	loses bool // the server may lose what it has counted
	long  bool // only with -long: package sharedthrottle has it too
}

func redisFaults() []redisFault {
	type server = redistest.Server
	nothing := func(*server, *ldaptest.Proxy) {}
	single := func(begin, end func(*server, *ldaptest.Proxy)) func(*testing.T) (string, func(), func()) {
		return func(t *testing.T) (string, func(), func()) {
			t.Helper()
			s := redistest.Start(t)
			link := ldaptest.NewProxy(t, s.Addr)
			return "redis://" + link.Addr(), func() { begin(s, link) }, func() { end(s, link) }
		}
	}
	slow := func(d time.Duration) func(*server, *ldaptest.Proxy) {
		return func(_ *server, link *ldaptest.Proxy) { link.SetFaults(ldaptest.Faults{Delay: d}) }
	}
	run := func(command ...string) func(*server, *ldaptest.Proxy) {
		return func(s *server, _ *ldaptest.Proxy) { s.Run(command...) }
	}
	kill, up := func(s *server, _ *ldaptest.Proxy) { s.Kill() }, func(s *server, _ *ldaptest.Proxy) { s.Up() }
	faults := []redisFault{
		{name: "healthy", start: single(nothing, nothing)},
		{name: "killed", start: single(kill, up), down: true, loses: true},
		{name: "paused", start: single(func(s *server, _ *ldaptest.Proxy) { s.Pause() }, func(s *server, _ *ldaptest.Proxy) { s.Resume() }), down: true, long: true},
		{name: "slow", start: single(slow(100*time.Millisecond), slow(0)), down: true, long: true}, // each way
		{name: "read-only", start: single(run("REPLICAOF", "127.0.0.1", "1"), run("REPLICAOF", "NO", "ONE")), down: true, long: true},
		{name: "restarted empty", start: single(func(s *server, _ *ldaptest.Proxy) { s.Kill(); s.Up() }, nothing), loses: true, long: true},
		{name: "Sentinel fails over", start: startFailover, loses: true, long: true},
	}
	for n := range 3 { // one of the nodes has the account
		faults = append(faults, redisFault{name: fmt.Sprint("Cluster loses master ", n), start: startCluster(n), loses: true, long: true})
	}
	return faults
}

// startFailover starts Sentinels whose master is killed.
func startFailover(t *testing.T) (url string, begin, end func()) {
	t.Helper()
	s := redistest.StartSentinels(t)
	return "redis://" + s.Addrs[0] + "?master_name=main&addr=" + s.Addrs[1] + "&addr=" + s.Addrs[2], s.Master.Kill, func() {
		ldaptest.Eventually(t, "the replica has taken over", func() bool {
			role, err := s.Replica.Try("ROLE") // Sentinel ends its connections
			return err == nil && strings.HasPrefix(role, "master")
		})
	}
}

// startCluster starts a Cluster of which the n-th master is killed.
func startCluster(n int) func(t *testing.T) (url string, begin, end func()) {
	return func(t *testing.T) (string, func(), func()) {
		t.Helper()
		c := redistest.StartCluster(t)
		return "redis://" + c.Nodes[0].Addr + "?addr=" + c.Nodes[1].Addr, c.Masters()[n].Kill, func() {
			ldaptest.Eventually(t, "a replica has taken over", func() bool { return len(c.Masters()) == 3 })
		}
	}
}

// TestReplicas_AttackerGetsOneBudget: three replicas behind HAProxy get wrong passwords of one
// account, while the server in which they count has a fault and after it. The directory is asked
// for one budget of them, and for those that a replica has decided alone; never for more than one
// budget of each replica. Right logins of other accounts succeed.
func TestReplicas_AttackerGetsOneBudget(t *testing.T) {
	for _, f := range redisFaults() {
		if f.long && !*long {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			url, begin, end := f.start(t)
			r := startReplicas(t, 3, haproxytest.Quick, url, limited()...)
			var first, second []answer
			before := r.others(t, func() { <-time.After(time.Second) })
			during := r.others(t, func() {
				begin()
				first = r.attack(t)
				if f.down {
					r.await(t, "0")
				}
			})
			after := r.others(t, func() {
				end()
				r.await(t, "1")
				second = r.attack(t)
			})
			r.report(t, before, during, after, first, second)
			granted := budget // by the server
			if f.loses {
				granted *= 2
			}
			assert.GreaterOrEqual(t, r.binds(), budget)
			assert.LessOrEqual(t, r.binds(), min(granted+r.alone(t), len(r.services)*budget))
		})
	}
}

// report logs what the directory was asked and how long logins took, and requires that no right
// login has failed.
func (r *replicas) report(t *testing.T, before, during, after, first, second []answer) {
	t.Helper()
	figures(t, "right logins before", before)
	figures(t, "right logins during", during)
	figures(t, "right logins after", after)
	figures(t, "wrong passwords during", first)
	figures(t, "wrong passwords after", second)
	rights, failed := slices.Concat(before, during, after), 0
	for _, a := range rights {
		if a.status != 0 {
			failed++
		}
	}
	slowest := func(answers []answer) time.Duration {
		return slices.MaxFunc(answers, func(a, b answer) int { return cmp.Compare(a.took, b.took) }).took
	}
	t.Logf("%d binds for %d wrong passwords, %d attempts decided by one replica alone; %d of %d right logins failed, the slowest took %v longer than the slowest before",
		r.binds(), len(first)+len(second), r.alone(t), failed, len(rights), slowest(slices.Concat(during, after))-slowest(before))
	assert.Zero(t, failed)
}
