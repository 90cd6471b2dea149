package main

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// connsTo returns how many connections the program has to a server, according to its metrics.
func (p *process) connsTo(t *testing.T, server string) int {
	t.Helper()
	return p.gauge(t, "authsvc_ldap_server_connections", server)
}

// uses reports whether the program considers a server usable.
func (p *process) uses(t *testing.T, server string) bool {
	t.Helper()
	return p.gauge(t, "authsvc_ldap_server_up", server) == 1
}

// gauge returns the value of a metric for a server.
func (p *process) gauge(t *testing.T, name, server string) (n int) {
	t.Helper()
	resp, err := http.Get(p.admin + "/metrics")
	require.NoError(t, err)
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), fmt.Sprintf("%s{server=%q} ", name, server)); ok {
			_, err := fmt.Sscan(value, &n)
			require.NoError(t, err)
			return n
		}
	}
	require.Fail(t, "the metrics do not know the server", server)
	return 0
}

// TestFailover_LoginsContinueAtTheSecondServer uses two directories, the service's
// defaults and 50 logins a second. Logins asked after the service has detected the fault get the
// right answer. With -long it sends 200 logins a second, on a machine that does nothing else. It
// then also bounds how many logins are lost and how long any takes, and waits until the first
// server is used again.
func TestFailover_LoginsContinueAtTheSecondServer(t *testing.T) {
	pause, resume := func(s *site) { s.slapd.Pause() }, func(s *site) { s.slapd.Resume() }
	for _, c := range []struct {
		name       string
		begin, end func(*site)
		delay      time.Duration // of each message, so that many logins are in flight
		most       int           // logins that may be lost, of 200 a second: those in flight whose answer cannot arrive any more
		wait       time.Duration // the longest that any login may take
	}{
		{"killed", func(s *site) { s.slapd.Kill() }, func(s *site) { s.slapd.Start() }, 0, 0, 3 * time.Second},
		{"paused", pause, resume, 0, 2, 8 * time.Second},
		{"paused with many in flight", pause, resume, 20 * time.Millisecond, 32, 8 * time.Second},
		{"black hole", func(s *site) { s.proxy.SetFaults(ldaptest.Faults{BlackHole: true}); s.proxy.HangDials() },
			func(s *site) { s.proxy.SetFaults(ldaptest.Faults{}); s.proxy.Listen() }, 0, 2, 8 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, second := newSite(t), newSite(t)
			for _, s := range []*site{first, second} {
				s.proxy.SetFaults(ldaptest.Faults{Delay: c.delay})
			}
			second.proxy.StopListening() // so that all connections go to the first
			p := startProgram(t, first.proxy.URL()+","+second.proxy.URL())
			p.ready(t)
			second.proxy.Listen()
			ldaptest.Eventually(t, "both servers are usable", func() bool {
				return p.uses(t, first.proxy.URL()) && p.uses(t, second.proxy.URL())
			})
			rate, away, back, total := 50, 2*time.Second, 8*time.Second, 10*time.Second
			if *long {
				rate, total = 200, 80*time.Second
			}
			began := time.Now()
			answers := make(chan []answer, 1)
			go func() { answers <- streamBy(client(t), p.url, rate, total) }()
			<-time.After(away)
			assert.Positive(t, p.connsTo(t, first.proxy.URL()))
			gone := time.Now()
			c.begin(first)
			ldaptest.Eventually(t, "the first is found out", func() bool { return !p.uses(t, first.proxy.URL()) })
			found := time.Now()
			ldaptest.Eventually(t, "the last connection to it is given up", func() bool { return p.connsTo(t, first.proxy.URL()) == 0 })
			<-time.After(time.Until(began.Add(back)))
			listens := time.Now()
			c.end(first)
			all := <-answers
			figures(t, "before", between(all, began, gone))
			during := between(all, gone, listens)
			figures(t, "away", during)
			figures(t, "back", between(all, listens, began.Add(time.Hour)))

			lost, longest, right, quick := 0, time.Duration(0), time.Duration(0), time.Duration(0)
			for _, a := range all {
				longest = max(longest, a.took)
				if a.took > 100*time.Millisecond+5*c.delay {
					quick = max(quick, a.asked.Sub(gone))
				}
				switch {
				case a.status == a.want:
				case a.asked.Before(gone.Add(-time.Second)), !a.asked.Before(found):
					assert.Fail(t, "a login was lost although it could have succeeded", "status %d", a.status)
				default:
					lost++
					right = max(right, a.asked.Sub(gone))
				}
			}
			t.Logf("%s: %d logins lost, the longest took %v; all asked %v later are right, and all asked %v later took less than %v",
				c.name, lost, longest, right, quick, 100*time.Millisecond+5*c.delay)
			t.Logf("the first was found out within %v", found.Sub(gone))
			if *long {
				assert.LessOrEqual(t, lost, c.most)
				assert.Less(t, longest, c.wait)
				assert.LessOrEqual(t, right, 3*time.Second)
				// One connection of each kind moves in each round of
				// LDAP_POOL_HEALTH_CHECK_INTERVAL.
				homeward := streamBy(client(t), p.url, 50, time.Second)
				for p.connsTo(t, second.proxy.URL()) > 0 && time.Since(listens) < 6*time.Minute {
					homeward = append(homeward, streamBy(client(t), p.url, 50, time.Second)...)
				}
				t.Logf("all connections go to the first again %v after it was back", time.Since(listens).Round(time.Second))
				figures(t, "on the way back", homeward)
				for _, a := range homeward {
					assert.Equal(t, a.want, a.status)
				}
				assert.Zero(t, p.connsTo(t, second.proxy.URL()), "not all went back to the first")
			}
			assert.Zero(t, p.end(t))
		})
	}
}

// userBinds returns how many binds as a user the directory has received.
func (s *site) userBinds() int { return s.slapd.LogCount("BIND dn=\"uid=") }

func TestRoundRobin_SpreadsLoginsAndSurvivesTheLossOfAServer(t *testing.T) {
	first, second := newSite(t), newSite(t)
	p := startProgram(t, first.proxy.URL()+","+second.proxy.URL(), "LDAP_SERVER_POLICY=round_robin")
	p.ready(t)
	ldaptest.Eventually(t, "both servers have connections", func() bool {
		return p.connsTo(t, first.proxy.URL()) > 1 && p.connsTo(t, second.proxy.URL()) > 1
	})
	one, two := first.userBinds(), second.userBinds()
	answers := stream(t, p.url, 200, 3*time.Second)
	one, two = first.userBinds()-one, second.userBinds()-two
	t.Logf("200 logins a second: %d lines of binds at one server, %d at the other", one, two)
	assert.InDelta(t, one, two, float64(one+two)/5, "no more than 60 to 40")

	killed := make(chan []answer, 1)
	go func() { killed <- streamBy(client(t), p.url, 200, 3*time.Second) }()
	<-time.After(time.Second)
	second.slapd.Kill()
	during := <-killed
	figures(t, "with one of them killed", during)
	for _, a := range append(answers, during...) {
		assert.Equal(t, a.want, a.status)
	}
	for line := range strings.Lines(p.logged()) {
		if strings.Contains(line, `"msg":"login","outcome":"directory_unavailable"`) {
			t.Logf("lost: %s", line)
		}
	}
	assert.Zero(t, p.connsTo(t, second.proxy.URL()))
	assert.Zero(t, p.end(t))
}
