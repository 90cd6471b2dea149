package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// figures logs the number, statuses and times of answers. It fails on a wrong verdict and on a
// missing answer.
func figures(t *testing.T, what string, answers []answer) {
	t.Helper()
	byStatus := map[int]int{}
	var took []time.Duration
	for _, a := range answers {
		byStatus[a.status]++
		took = append(took, a.took)
		assert.False(t, a.wrongVerdict(), "status %d instead of %d", a.status, a.want)
		assert.NotEqual(t, -1, a.status, "no answer: %v", a.err)
	}
	slices.Sort(took)
	var counts []string
	for _, s := range slices.Sorted(maps.Keys(byStatus)) {
		counts = append(counts, fmt.Sprintf("%d of status %d", byStatus[s], s))
	}
	if len(took) > 0 {
		t.Logf("%s: %d answers (%s), p50 %v, p99 %v, slowest %v", what, len(answers), strings.Join(counts, ", "),
			took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
	}
}

// between returns the answers to logins that were asked from one moment to another.
func between(answers []answer, from, to time.Time) []answer {
	return slices.DeleteFunc(slices.Clone(answers), func(a answer) bool { return a.asked.Before(from) || !a.asked.Before(to) })
}

// TestIdleLimit_IsLearnedWhileLoginsSucceed sends logins in bursts and one at a time.
// With -long it does so for five minutes.
func TestIdleLimit_IsLearnedWhileLoginsSucceed(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10, IdleTimeout: 2 * time.Second})
	p := startProgram(t, slapd.URL())
	p.ready(t)
	rounds := 4
	if *long {
		rounds = 100
	}
	c := client(t)
	var answers []answer
	pause := time.NewTicker(3 * time.Second) // this waits for nothing: the silence itself is tested
	defer pause.Stop()
	round := func(n int) {
		burst := make([]answer, 1+9*(n%2))
		var wg sync.WaitGroup
		for n := range burst {
			wg.Go(func() { burst[n] = ask(c, p.url, n) })
		}
		wg.Wait()
		answers = append(answers, burst...)
		<-pause.C
	}
	const learnt = "directory connection limit detected"
	for n := 0; !strings.Contains(p.logged(), learnt); n++ {
		require.Less(t, n, 20, "a minute has passed and no limit is learnt")
		round(n)
	}
	round(1) // what was left of before
	before := slapd.ClosedIdle()
	assert.Positive(t, before, "slapd cut no connection, so nothing was tested")
	for n := range rounds {
		round(n)
	}
	for line := range strings.Lines(p.logged()) {
		if strings.Contains(line, learnt) {
			t.Log(line)
		}
	}
	figures(t, "logins 3 s apart, one or ten, idletimeout 2", answers)
	for _, a := range answers {
		assert.Equal(t, a.want, a.status)
	}
	t.Logf("slapd cut %d idle connections until that was learnt, and %d in %v thereafter", before, slapd.ClosedIdle()-before,
		time.Duration(rounds)*3*time.Second)
	assert.Equal(t, before, slapd.ClosedIdle(), "slapd cut idle connections after its limit was learnt")
	assert.Zero(t, p.end(t))
}

// outage takes the directory away in the middle of a stream of logins. It returns the answers of
// that time, the answers after it, and how long after it logins still failed. back returns when the
// directory listens again.
func outage(t *testing.T, p *process, away, back func()) (during, after []answer, recovered time.Duration) {
	t.Helper()
	total, goes, returns := 8*time.Second, 2*time.Second, 4*time.Second
	if *long {
		total, goes, returns = 20*time.Second, 5*time.Second, 10*time.Second
	}
	began := time.Now()
	var gone, listens time.Time
	var wg sync.WaitGroup
	wg.Go(func() {
		<-time.After(goes)
		gone = time.Now()
		away()
		<-time.After(returns - goes)
		back()
		listens = time.Now()
	})
	answers := stream(t, p.url, 200, total)
	wg.Wait()
	figures(t, "before", between(answers, began, gone))
	figures(t, "away", between(answers, gone, listens))
	after = between(answers, listens, began.Add(time.Hour))
	figures(t, "back", after)
	last := listens
	for _, a := range after {
		if a.status != a.want {
			last = a.asked
		}
	}
	t.Logf("right verdicts again %v after it listened", last.Sub(listens))
	return between(answers, gone, listens), after, last.Sub(listens)
}

func TestFault_KilledDirectoryGivesOnlyRightVerdicts(t *testing.T) {
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10})
	p := startProgram(t, slapd.URL())
	p.ready(t)
	during, after, recovered := outage(t, p, slapd.Kill, slapd.Start)
	quick := 0
	for _, a := range during {
		if a.took <= 100*time.Millisecond {
			quick++
		}
		if a.status == 11 {
			assert.Equal(t, http.StatusServiceUnavailable, a.http)
			assert.NotEmpty(t, a.retryAfter)
		}
		assert.Less(t, a.took, 2*time.Second, "longer than LDAP_POOL_MAX_WAIT")
	}
	t.Logf("while it was away, %d of %d answers came within 100 ms", quick, len(during))
	assert.Greater(t, quick, len(during)/2)
	assert.NotEmpty(t, after)
	assert.Less(t, recovered, 3*time.Second)
	assert.Zero(t, p.end(t))
}

func TestFault_PausedDirectoryDelaysLoginsByTheTimeoutAtMost(t *testing.T) {
	const maxConns = 16
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10})
	p := startProgram(t, slapd.URL(), fmt.Sprintf("LDAP_POOL_MAX_CONNS=%d", maxConns))
	p.ready(t)
	most := watchConnections(t, slapd.Addr())
	during, after, _ := outage(t, p, slapd.Pause, slapd.Resume)
	for _, a := range append(during, after...) {
		assert.Less(t, a.took, 11*time.Second, "longer than AUTH_TIMEOUT")
	}
	require.NotEmpty(t, after)
	assert.Equal(t, after[len(after)-1].want, after[len(after)-1].status)
	t.Logf("at most %d connections at one time", most())
	assert.LessOrEqual(t, most(), maxConns)
	assert.Zero(t, p.end(t))
}

// watchConnections looks at the established connections to addr, as the kernel counts them, and
// tells the most it saw.
func watchConnections(t *testing.T, addr string) (most func() int) {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	remote := fmt.Sprintf(" 0100007F:%04X 01 ", number) // proc_pid_net_tcp(5): the address in network order, then the state
	var seen atomic.Int64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			table, err := os.ReadFile("/proc/net/tcp")
			assert.NoError(t, err)
			seen.Store(max(seen.Load(), int64(strings.Count(string(table), remote))))
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
	return func() int { return int(seen.Load()) }
}

func TestFault_GarbageAffectsOnlyItsOwnLogins(t *testing.T) {
	directory := ldaptest.NewDirectory()
	server := ldaptest.NewServer(t, directory.Handle)
	p := startProgram(t, server.URL(), "AUTH_TIMEOUT=3s", "LDAP_REQUEST_TIMEOUT=500ms", "LDAP_DIAL_TIMEOUT=500ms")
	p.ready(t)
	c := client(t)
	for _, m := range ldaptest.MalformedAnswers() {
		isSearchAnswer := bytes.Equal(m.Bytes(7), ldaptest.SearchDoneToBind(7)) // malformed to a bind only
		for _, op := range []ldaptest.Op{ldaptest.OpSearch, ldaptest.OpBind} {
			if op == ldaptest.OpSearch && isSearchAnswer {
				continue
			}
			server.SetHandler(func(conn *ldaptest.Conn, req ldaptest.Request) {
				// Only logins: the pool's own binds, checks and probes, which read one entry, are
				// answered well.
				if req.Op == op && (op == ldaptest.OpBind && req.DN != ldaptest.ServiceDN || op == ldaptest.OpSearch && req.Scope != ldap.ScopeBaseObject) {
					conn.WriteRaw(m.Bytes(req.MessageID))
					return
				}
				directory.Handle(conn, req)
			})
			a := login(c, p.url, ldaptest.Username(1), ldaptest.Password(1), 0)
			assert.Contains(t, []int{11, 12, 13, 14}, a.status, "%s to a %v", m.Name, op)
			assert.Less(t, a.took, 4*time.Second, "%s to a %v", m.Name, op)
			server.SetHandler(directory.Handle)
			a = login(c, p.url, ldaptest.Username(1), ldaptest.Password(1), 0)
			assert.Equal(t, 0, a.status, "right after %s to a %v", m.Name, op)
		}
	}
	assert.Zero(t, p.end(t))
}

func TestSignal_SIGTERMUnderLoadAnswersWhatIsUnderWayAndExitsZero(t *testing.T) {
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10})
	p := startProgram(t, slapd.URL())
	p.ready(t)
	c := client(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	answered, cut := 0, []error{}
	for n := range 32 {
		wg.Go(func() {
			for {
				a := ask(c, p.url, n)
				mu.Lock()
				if a.err == nil {
					answered++
				} else {
					cut = append(cut, a.err)
				}
				mu.Unlock()
				if a.err != nil {
					return
				}
			}
		})
	}
	ldaptest.Eventually(t, "the load runs", func() bool { mu.Lock(); defer mu.Unlock(); return answered > 500 })
	code := p.end(t)
	wg.Wait()
	assert.Zero(t, code)
	for _, err := range cut {
		assert.NotContains(t, err.Error(), "EOF", "a request that was taken was not answered")
	}
	t.Logf("%d logins answered; each of the 32 callers then found nobody listening", answered)
	assert.Contains(t, p.logged(), `"stopped"`)
}

func TestSignal_SecondOneEndsTheProgramAtOnce(t *testing.T) {
	stuck := make(chan struct{}, 10)
	var ready atomic.Bool // before that the service looks for its base DN
	directory := ldaptest.NewDirectory()
	server := ldaptest.NewServer(t, func(c *ldaptest.Conn, req ldaptest.Request) {
		if req.Op == ldaptest.OpSearch && req.DN != "" && ready.Load() {
			stuck <- struct{}{}
			c.Stall()
			return
		}
		directory.Handle(c, req)
	})
	p := startProgram(t, server.URL(), "LDAP_REQUEST_TIMEOUT=1m", "AUTH_TIMEOUT=1m", "HTTP_SHUTDOWN_TIMEOUT=1m")
	p.ready(t)
	ready.Store(true)
	c := client(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go login(c, p.url, ldaptest.Username(1), ldaptest.Password(1), 0)
	select {
	case <-stuck:
	case <-ctx.Done():
	}
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	ldaptest.Eventually(t, "the program drains", func() bool { return strings.Contains(p.logged(), `"draining"`) })
	assert.Equal(t, -1, p.end(t), "ended by the signal")
}
