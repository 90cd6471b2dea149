package main

import (
	"bufio"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	soakRate = 300              // logins a second
	soakIdle = 5 * time.Second  // LDAP_POOL_MAX_IDLE_TIME, to be at rest soon
	soakCalm = 10 * time.Second // without a fault, at the beginning and at the end
)

// site is a directory of the soak, behind its proxy.
type site struct {
	slapd *ldaptest.Slapd
	proxy *ldaptest.Proxy
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{slapd: ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10})}
	s.proxy = ldaptest.NewProxy(t, s.slapd.Addr())
	return s
}

// affliction is a fault of a site: how it begins and how it ends.
type affliction struct {
	name       string
	begin, end func(*site)
}

// faulty returns an affliction that the proxy causes.
func faulty(name string, f ldaptest.Faults) affliction {
	return affliction{name, func(s *site) { s.proxy.SetFaults(f) }, func(s *site) { s.proxy.SetFaults(ldaptest.Faults{}) }}
}

// sudden returns an affliction that is over as soon as it has happened.
func sudden(name string, do func(*site)) affliction { return affliction{name, do, func(*site) {}} }

var afflictions = []affliction{
	faulty("delay", ldaptest.Faults{Delay: 100 * time.Millisecond}),
	faulty("idle cut", ldaptest.Faults{IdleCut: 200 * time.Millisecond}),
	faulty("idle reset", ldaptest.Faults{IdleCut: 200 * time.Millisecond, IdleReset: true}),
	faulty("idle drop", ldaptest.Faults{IdleDrop: 200 * time.Millisecond}),
	faulty("black hole", ldaptest.Faults{BlackHole: true}),
	faulty("corrupt", ldaptest.Faults{Corrupt: true}),
	faulty("half answers", ldaptest.Faults{HalfAnswer: true}),
	faulty("slow", ldaptest.Faults{BytesPerSecond: 20}),
	sudden("FIN", func(s *site) { s.proxy.CloseAll() }),
	sudden("RST", func(s *site) { s.proxy.ResetAll() }),
	{"not listening", func(s *site) { s.proxy.StopListening() }, func(s *site) { s.proxy.Listen() }},
	{"gone", func(s *site) { s.proxy.StopListening(); s.proxy.ResetAll() }, func(s *site) { s.proxy.Listen() }},
	{"killed", func(s *site) { s.slapd.Kill() }, func(s *site) { s.slapd.Start() }},
	{"paused", func(s *site) { s.slapd.Pause() }, func(s *site) { s.slapd.Resume() }},
	sudden("restarted", func(s *site) { s.slapd.Restart() }),
}

// TestSoak sends logins at a constant rate while faults occur at the two directories. A seed
// determines the faults. No verdict may be wrong, and no login may take longer than AUTH_TIMEOUT.
// After the last fault the program must return to its state before the first.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Skip("takes as long as -soak says: make soak")
	}
	require.Greater(t, *soak, 3*soakCalm, "-soak leaves no time for faults")
	sites := []*site{newSite(t), newSite(t)}
	p := startProgram(t, sites[0].proxy.URL()+","+sites[1].proxy.URL(), "LDAP_POOL_MAX_IDLE_TIME="+soakIdle.String())
	p.ready(t)
	c := client(t)
	figures(t, "before", streamBy(c, p.url, soakRate, soakCalm)) // then the program has what it needs for its work
	atFirst := p.atRest(t, c)

	began := time.Now()
	answers := make(chan []answer, 1)
	go func() { answers <- streamBy(c, p.url, soakRate, *soak) }()
	series := p.watch(t, *soak/10)
	afflict(t, sites, began.Add(*soak-soakCalm))
	well := time.Now()
	all := <-answers
	figures(t, "all", all)
	calm := between(all, well.Add(soakCalm/2), time.Now())
	figures(t, "the last, without a fault", calm)
	for _, a := range calm {
		assert.Equal(t, a.want, a.status, "after the last fault")
	}
	for _, a := range all {
		assert.Less(t, a.took, 11*time.Second, "longer than AUTH_TIMEOUT")
	}
	t.Logf("resident MiB by tenths: %v", series())
	atLast := p.atRest(t, c)
	t.Logf("at rest before: %v; after: %v", atFirst, atLast)
	assert.LessOrEqual(t, atLast.goroutines, atFirst.goroutines+5, "goroutines were left")
	assert.LessOrEqual(t, atLast.fds, atFirst.fds+5, "descriptors were left")
	assert.Less(t, atLast.rss, atFirst.rss+64<<20, "memory grew")
	assert.Zero(t, p.end(t))
	for _, s := range sites {
		ldaptest.Eventually(t, "the directory has no connection left", func() bool { return s.proxy.Open() == 0 })
	}
}

// afflict causes one fault after another at the sites until the given time, and leaves the sites
// without a fault.
func afflict(t *testing.T, sites []*site, until time.Time) {
	t.Helper()
	r := rand.New(rand.NewPCG(*soakSeed, 0)) //nolint:gosec // so that a seed repeats its faults
	counts := map[string]int{}
	for {
		a := afflictions[r.IntN(len(afflictions))]
		struck := sites[r.IntN(2):][:1]
		if r.IntN(5) == 0 {
			struck = sites
		}
		lasts, pause := time.Duration(r.IntN(4000))*time.Millisecond, time.Duration(r.IntN(3000))*time.Millisecond
		if time.Now().Add(lasts + pause).After(until) {
			break
		}
		counts[a.name] += len(struck)
		for _, s := range struck {
			a.begin(s)
		}
		<-time.After(lasts) // this waits for nothing: it is how long the fault lasts
		for _, s := range struck {
			a.end(s)
		}
		<-time.After(pause)
	}
	var told []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		told = append(told, fmt.Sprintf("%d %s", counts[name], name))
	}
	t.Logf("seed %d: %s", *soakSeed, strings.Join(told, ", "))
	<-time.After(time.Until(until))
}

// vitals are the figures that grow in a program that leaks.
type vitals struct{ goroutines, fds, rss int }

func (v vitals) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %.1f MiB resident", v.goroutines, v.fds, float64(v.rss)/(1<<20))
}

// vitals reads the figures from the program's metrics.
func (p *process) vitals() (v vitals, err error) {
	resp, err := http.Get(p.admin + "/metrics")
	if err != nil {
		return v, err
	}
	defer resp.Body.Close()
	fields := map[string]*int{"go_goroutines": &v.goroutines, "process_open_fds": &v.fds, "process_resident_memory_bytes": &v.rss}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if field := fields[name]; field != nil {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return v, err
			}
			*field = int(n)
		}
	}
	return v, lines.Err()
}

// atRest returns the vitals at their lowest without callers. It measures for as long as the pool
// needs to close surplus connections and to replace those that it keeps.
func (p *process) atRest(t *testing.T, c *http.Client) (least vitals) {
	t.Helper()
	c.CloseIdleConnections()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < 3*soakIdle; <-tick.C {
		now, err := p.vitals()
		require.NoError(t, err)
		if least.goroutines == 0 || now.goroutines < least.goroutines {
			least = now
		}
	}
	return least
}

// watch records the resident memory at a given interval. end stops that and returns the series, in
// MiB.
func (p *process) watch(t *testing.T, pace time.Duration) (end func() []int) {
	t.Helper()
	var series []int
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				v, err := p.vitals()
				assert.NoError(t, err)
				series = append(series, v.rss>>20)
			case <-stop:
				return
			}
		}
	}()
	return func() []int { close(stop); <-done; return series }
}
